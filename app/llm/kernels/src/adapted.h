// What adapters add to the outputs of a matrix, token by token: the sums of one token hang on no other token.
#pragma once

#include "network.h"
#include "vectors.h"

constexpr int RANKS_AT_ONCE = 8;
constexpr int OUTPUTS_AT_ONCE = 256;  // a multiple of the lanes

// Numbers `first` and up to RANKS_AT_ONCE - 1 after it of A x.
inline void lower(const Delta& delta, int first, const float* x, float* lowered) {
    const int end = first + RANKS_AT_ONCE < delta.rank ? first + RANKS_AT_ONCE : delta.rank;
    for (int r = first; r < end; r++) {
        const float* row = delta.a + (size_t)r * delta.inputs;
        f32x16 sums = splat(0.f);
        int i = 0;
        for (; i + LANES <= delta.inputs; i += LANES) sums = fma(load<f32x16>(row + i), load<f32x16>(x + i), sums);
        float total = sum(sums);
        for (; i < delta.inputs; i++) total += row[i] * x[i];
        lowered[r] = total;
    }
}

// Add outputs `first` and up to OUTPUTS_AT_ONCE - 1 after it of B (A x) to `y`.
inline void raise(const Delta& delta, int first, const float* lowered, float* y) {
    const int end = first + OUTPUTS_AT_ONCE < delta.outputs ? first + OUTPUTS_AT_ONCE : delta.outputs;
    int i = first;
    for (; i + LANES <= end; i += LANES) {
        f32x16 sums = splat(0.f);
        for (int r = 0; r < delta.rank; r++)
            sums = fma(load<f32x16>(delta.b + (size_t)r * delta.outputs + i), splat(lowered[r]), sums);
        store(y + i, load<f32x16>(y + i) + sums);
    }
    for (; i < end; i++) {
        float total = 0;
        for (int r = 0; r < delta.rank; r++) total += delta.b[(size_t)r * delta.outputs + i] * lowered[r];
        y[i] += total;
    }
}
