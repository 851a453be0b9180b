// int8: blocks of 32 inputs share a float16 scale (GGUF's Q8_0). A panel is [blocks][8][16][4] bytes, each 128 more than
// its value, since the processor multiplies unsigned by signed bytes; 128 times the activations' sum is taken off again.
#pragma once

#include "quantised.h"

struct Int8 : Quantised {
    static constexpr int MOST_ROWS = 8;

    static size_t panel_bytes(const Matrix& w) { return (size_t)w.padded() * LANES; }
    static size_t scale_count(const Matrix& w) { return (size_t)w.panels() * w.blocks() * LANES; }

    template <int M, int N>
    static void tile(const Matrix& w, int panel, const Prepared& a, int row, f32x16 (&out)[M][N]) {
        f32x16 y[M][N] = {};  // of this function alone, so that it stays in registers
        const int blocks = w.blocks();
        const uint32_t* x = a.tile(row);
        size_t at_block = a.block(row);
        for (int block = 0; block < blocks; block++, at_block += a.height) {
            i32x16 dots[M][N];
            for (int m = 0; m < M; m++)
                for (int n = 0; n < N; n++) dots[m][n] = splat(-128 * a.sums[at_block + m]);
            for (int group = 0; group < BLOCK / 4; group++, x += a.height) {
                u8x64 v[N];
                for (int n = 0; n < N; n++)
                    v[n] = load<u8x64>((const uint8_t*)w.values + at(w, panel + n, block) + group * 64);
                for (int m = 0; m < M; m++)
                    for (int n = 0; n < N; n++) dots[m][n] = dot4(dots[m][n], v[n], (int32_t)x[m]);
            }
            for (int n = 0; n < N; n++) {
                const f32x16 scale = from_half(w.scales + ((size_t)(panel + n) * blocks + block) * LANES);
                for (int m = 0; m < M; m++)
                    y[m][n] = fma(to_float(dots[m][n]), scale * splat(a.scales[at_block + m]), y[m][n]);
            }
        }
        std::memcpy(out, y, sizeof y);
    }

    static void row(const Matrix& w, int output, float* x) {
        const int panel = output / LANES, lane = output % LANES;
        for (int k = 0; k < w.columns; k++) {
            const int block = k / BLOCK, within = k % BLOCK;
            const uint8_t q = ((const uint8_t*)w.values)[at(w, panel, block) + within / 4 * 64 + lane * 4 + within % 4];
            x[k] = (q - 128) * from_half(w.scales[((size_t)panel * w.blocks() + block) * LANES + lane]);
        }
    }

    static void pack(const Matrix& w, int panel, const float* weights, int count) {
        for (int lane = 0; lane < LANES; lane++)
            for (int block = 0; block < w.blocks(); block++) {
                float v[BLOCK], most = 0;
                for (int i = 0; i < BLOCK; i++) {
                    const int k = block * BLOCK + i;
                    v[i] = lane < count && k < w.columns ? weights[(size_t)lane * w.columns + k] : 0;
                    most = std::fabs(v[i]) > most ? std::fabs(v[i]) : most;
                }
                const float scale = from_half(w.scales[((size_t)panel * w.blocks() + block) * LANES + lane] =
                                                  to_half(most / 127));
                uint8_t* to = (uint8_t*)w.values + at(w, panel, block);
                for (int i = 0; i < BLOCK; i++) {
                    const float q = scale > 0 ? std::nearbyint(v[i] / scale) : 0;
                    to[i / 4 * 64 + lane * 4 + i % 4] = (uint8_t)(128 + (q > 127 ? 127 : q < -127 ? -127 : q));
                }
            }
    }

  private:
    static size_t at(const Matrix& w, int panel, int block) {
        return ((size_t)panel * w.blocks() + block) * BLOCK * LANES;
    }
};
