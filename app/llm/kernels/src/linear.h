// y = W x for the rows of a step, any format: panels of 16 outputs are shared out among the threads.
#pragma once

#include "format_bfloat16.h"
#include "format_float32.h"
#include "format_int4.h"
#include "format_int8.h"

enum Format { FLOAT32, BFLOAT16, INT8, INT4, FORMATS };

// Call `f` with an object of the class of `format`.
template <class F>
inline auto with_format(int format, F f) {
    switch (format) {
        case BFLOAT16: return f(Bfloat16{});
        case INT8: return f(Int8{});
        case INT4: return f(Int4{});
        default: return f(Float32{});
    }
}

// Where results go: row-major, `stride` floats from row to row; added to what is there, or put in its place.
struct Output {
    float* values;
    size_t stride;
    bool is_added;
};

inline void write(const Matrix& w, int panel, f32x16 y, float* to, bool is_added) {
    const int first = panel * LANES, count = w.rows - first < LANES ? w.rows - first : LANES;
    if (count == LANES) {
        if (w.bias) y += load<f32x16>(w.bias + first);
        if (is_added) y += load<f32x16>(to + first);
        store(to + first, y);
        return;
    }
    for (int i = 0; i < count; i++) {
        const float biased = w.bias ? y[i] + w.bias[first + i] : y[i];
        to[first + i] = is_added ? biased + to[first + i] : biased;
    }
}

template <class F, int M, int N>
inline void tile(const Matrix& w, int panel, const Prepared& a, int row, const Output& out) {
    f32x16 y[M][N] = {};
    F::template tile<M, N>(w, panel, a, row, y);
    for (int m = 0; m < M; m++)
        for (int n = 0; n < N; n++) write(w, panel + n, y[m][n], out.values + (row + m) * out.stride, out.is_added);
}

// `N` panels against a tile of `rows` rows, at most `M`.
template <class F, int M, int N>
inline void tall(int rows, const Matrix& w, int panel, const Prepared& a, int row, const Output& out) {
    if constexpr (M > 0) {
        if (rows == M) return tile<F, M, N>(w, panel, a, row, out);
        tall<F, M - 1, N>(rows, w, panel, a, row, out);
    }
}

// Few rows: several panels side by side keep the adders busy and the memory streaming.
template <class F, int M>
inline void wide(const Matrix& w, int panel, int end, const Prepared& a, const Output& out) {
    for (; panel + 4 <= end; panel += 4) tile<F, M, 4>(w, panel, a, 0, out);
    for (; panel < end; panel++) tile<F, M, 1>(w, panel, a, 0, out);
}

// Panels `begin` to `end` - 1 of the product with the first `rows` rows of `a`.
template <class F>
inline void linear(const Matrix& w, const Prepared& a, int rows, int begin, int end, const Output& out) {
    switch (rows) {
        case 1: return wide<F, 1>(w, begin, end, a, out);
        case 2: return wide<F, 2>(w, begin, end, a, out);
        case 3: return wide<F, 3>(w, begin, end, a, out);
    }
    for (int panel = begin; panel < end; panel += 2)  // two: a number that is spread over the lanes serves both
        for (int row = 0; row < rows; row += a.height) {
            const int height = rows - row < a.height ? rows - row : a.height;
            if (panel + 1 < end) tall<F, F::MOST_ROWS, 2>(height, w, panel, a, row, out);
            else tall<F, F::MOST_ROWS, 1>(height, w, panel, a, row, out);
        }
}
