// float32: a panel is [columns][16]. One chain of sums an output, in the order of the inputs, whatever else is computed
// beside it: an output is the same number alone and in a batch.
#pragma once

#include "matrix.h"
#include "vectors.h"

struct Float32 {
    static constexpr int MOST_ROWS = 12;  // a tile's; sums and operands fit into 32 registers
    static constexpr int VALUE_BYTES = 4;

    static size_t panel_bytes(const Matrix& w) { return (size_t)w.padded() * LANES * 4; }
    static size_t scale_count(const Matrix&) { return 0; }

    static void prepare(const float* x, int columns, const Prepared& to, int row) {
        uint32_t* out = to.tile(row);
        for (int k = 0; k < to.units; k++, out += to.height) *out = k < columns ? bits<uint32_t>(x[k]) : 0;
    }

    template <int M, int N>
    static void tile(const Matrix& w, int panel, const Prepared& a, int row, f32x16 (&out)[M][N]) {
        f32x16 y[M][N] = {};  // of this function alone, so that it stays in registers
        const int columns = w.padded();
        const float* weights[N];
        const uint32_t* x = a.tile(row);
        for (int n = 0; n < N; n++) weights[n] = (const float*)w.values + (size_t)(panel + n) * columns * LANES;
        for (int k = 0; k < columns; k++, x += a.height) {
            f32x16 v[N];
            for (int n = 0; n < N; n++) v[n] = load<f32x16>(weights[n] + (size_t)k * LANES);
            for (int m = 0; m < M; m++)
                for (int n = 0; n < N; n++) y[m][n] = fma(v[n], splat(bits<float>(x[m])), y[m][n]);
        }
        std::memcpy(out, y, sizeof y);
    }

    static void row(const Matrix& w, int output, float* x) {
        const float* panel = (const float*)w.values + (size_t)(output / LANES) * w.padded() * LANES;
        for (int k = 0; k < w.columns; k++) x[k] = panel[(size_t)k * LANES + output % LANES];
    }

    // Put one panel's outputs, `count` of 16, from `weights` (count, columns) into `w`.
    static void pack(const Matrix& w, int panel, const float* weights, int count) {
        float* to = (float*)w.values + (size_t)panel * w.padded() * LANES;
        for (int k = 0; k < w.padded(); k++)
            for (int i = 0; i < LANES; i++)
                to[(size_t)k * LANES + i] = i < count && k < w.columns ? weights[(size_t)i * w.columns + k] : 0;
    }
};
