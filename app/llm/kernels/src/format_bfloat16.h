// bfloat16: a panel is [columns / 2][16][2]; products of pairs are summed in float32.
#pragma once

#include "matrix.h"
#include "vectors.h"

struct Bfloat16 {
    static constexpr int MOST_ROWS = 12;
    static constexpr int VALUE_BYTES = 2;

    static size_t panel_bytes(const Matrix& w) { return (size_t)w.padded() * LANES * 2; }
    static size_t scale_count(const Matrix&) { return 0; }

    static void prepare(const float* x, int columns, const Prepared& to, int row) {
        uint32_t* out = to.tile(row);
        for (int k = 0; k < 2 * to.units; k += LANES) {
            uint32_t pairs[LANES / 2];
            store(pairs, to_bf16(load_some(x + k, columns - k)));
            for (int i = 0; i < LANES / 2; i++, out += to.height) *out = pairs[i];
        }
    }

    template <int M, int N>
    static void tile(const Matrix& w, int panel, const Prepared& a, int row, f32x16 (&out)[M][N]) {
        f32x16 y[M][N] = {};  // of this function alone, so that it stays in registers
        const int pairs = w.padded() / 2;
        const uint32_t* weights[N];
        const uint32_t* x = a.tile(row);
        for (int n = 0; n < N; n++) weights[n] = (const uint32_t*)w.values + (size_t)(panel + n) * pairs * LANES;
        for (int k = 0; k < pairs; k++, x += a.height) {
            u32x16 v[N];
            for (int n = 0; n < N; n++) v[n] = load<u32x16>(weights[n] + (size_t)k * LANES);
            for (int m = 0; m < M; m++)
                for (int n = 0; n < N; n++) y[m][n] = dot2(y[m][n], v[n], x[m]);
        }
        std::memcpy(out, y, sizeof y);
    }

    static void row(const Matrix& w, int output, float* x) {
        const uint16_t* panel = (const uint16_t*)w.values + (size_t)(output / LANES) * w.padded() * LANES;
        for (int k = 0; k < w.columns; k++) x[k] = from_bf16(panel[(k / 2 * LANES + output % LANES) * 2 + k % 2]);
    }

    static void pack(const Matrix& w, int panel, const float* weights, int count) {
        uint16_t* to = (uint16_t*)w.values + (size_t)panel * w.padded() * LANES;
        for (int k = 0; k < w.padded(); k++)
            for (int i = 0; i < LANES; i++)
                to[(k / 2 * LANES + i) * 2 + k % 2] =
                    i < count && k < w.columns ? to_bf16(weights[(size_t)i * w.columns + k]) : 0;
    }
};
