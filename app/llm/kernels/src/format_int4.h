// int4: blocks of 32 inputs share a float16 scale and a float16 minimum (GGUF's Q4_1): weight = minimum + scale * 0..15.
// A panel is [blocks][4][16][4] bytes: the low halves are inputs 8 g to 8 g + 3 of the block, the high ones the next four.
// Minima are met by the activations' sum alone.
#pragma once

#include "quantised.h"

struct Int4 : Quantised {
    static constexpr int MOST_ROWS = 6;

    static size_t panel_bytes(const Matrix& w) { return (size_t)w.padded() * LANES / 2; }
    static size_t scale_count(const Matrix& w) { return (size_t)w.panels() * w.blocks() * 2 * LANES; }

    template <int M, int N>
    static void tile(const Matrix& w, int panel, const Prepared& a, int row, f32x16 (&out)[M][N]) {
        f32x16 y[M][N] = {};  // of this function alone, so that it stays in registers
        const int blocks = w.blocks();
        const uint32_t* x = a.tile(row);
        size_t at_block = a.block(row);
        for (int block = 0; block < blocks; block++, at_block += a.height) {
            i32x16 dots[M][N] = {};
            for (int group = 0; group < BLOCK / 8; group++, x += 2 * a.height) {
                u8x64 low[N], high[N];
                for (int n = 0; n < N; n++) {
                    const u8x64 v = load<u8x64>((const uint8_t*)w.values + at(w, panel + n, block) + group * 64);
                    low[n] = v & 15;
                    high[n] = (u8x64)((u32x16)v >> 4) & 15;
                }
                for (int m = 0; m < M; m++)
                    for (int n = 0; n < N; n++) dots[m][n] = dot4(dots[m][n], low[n], (int32_t)x[m]);
                for (int m = 0; m < M; m++)
                    for (int n = 0; n < N; n++) dots[m][n] = dot4(dots[m][n], high[n], (int32_t)x[a.height + m]);
            }
            for (int n = 0; n < N; n++) {
                const uint16_t* scales = w.scales + ((size_t)(panel + n) * blocks + block) * 2 * LANES;
                const f32x16 scale = from_half(scales), minimum = from_half(scales + LANES);
                for (int m = 0; m < M; m++) {
                    const float unit = a.scales[at_block + m];
                    y[m][n] = fma(to_float(dots[m][n]), scale * splat(unit), y[m][n]);
                    y[m][n] = fma(minimum, splat(unit * (float)a.sums[at_block + m]), y[m][n]);
                }
            }
        }
        std::memcpy(out, y, sizeof y);
    }

    static void row(const Matrix& w, int output, float* x) {
        const int panel = output / LANES, lane = output % LANES;
        for (int k = 0; k < w.columns; k++) {
            const int block = k / BLOCK, within = k % BLOCK;
            const uint8_t pair = ((const uint8_t*)w.values)[at(w, panel, block) + within / 8 * 64 + lane * 4 + within % 4];
            const uint16_t* scales = w.scales + ((size_t)panel * w.blocks() + block) * 2 * LANES;
            x[k] = from_half(scales[LANES + lane]) + (within % 8 < 4 ? pair & 15 : pair >> 4) * from_half(scales[lane]);
        }
    }

    static void pack(const Matrix& w, int panel, const float* weights, int count) {
        for (int lane = 0; lane < LANES; lane++)
            for (int block = 0; block < w.blocks(); block++) {
                float v[BLOCK], least = 0, most = 0;
                for (int i = 0; i < BLOCK; i++) {
                    const int k = block * BLOCK + i;
                    v[i] = lane < count && k < w.columns ? weights[(size_t)lane * w.columns + k] : 0;
                    least = i == 0 || v[i] < least ? v[i] : least;
                    most = i == 0 || v[i] > most ? v[i] : most;
                }
                uint16_t* scales = w.scales + ((size_t)panel * w.blocks() + block) * 2 * LANES;
                const float scale = from_half(scales[lane] = to_half((most - least) / 15));
                const float minimum = from_half(scales[LANES + lane] = to_half(least));
                uint8_t* to = (uint8_t*)w.values + at(w, panel, block);
                for (int i = 0; i < BLOCK; i++) {
                    const float q = scale > 0 ? std::nearbyint((v[i] - minimum) / scale) : 0;
                    const int whole = q < 0 ? 0 : q > 15 ? 15 : (int)q;
                    uint8_t& pair = to[i / 8 * 64 + lane * 4 + i % 4];
                    pair = i % 8 < 4 ? (uint8_t)((pair & 0xf0) | whole) : (uint8_t)((pair & 0x0f) | whole << 4);
                }
            }
    }

  private:
    static size_t at(const Matrix& w, int panel, int block) {
        return ((size_t)panel * w.blocks() + block) * BLOCK / 2 * LANES;
    }
};
