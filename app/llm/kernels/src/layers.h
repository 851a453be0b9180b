// What stands between the matrices, a token at a time: norms, rotary positions, gates.
#pragma once

#include <cmath>

#include "network.h"
#include "vectors.h"

inline void normalise(const Norm& norm, const float* x, int width, float eps, float* y) {
    float mean = 0;
    if (norm.shift) {
        for (int i = 0; i < width; i++) mean += x[i];
        mean /= width;
    }
    f32x16 squares = splat(0.f);
    int i = 0;
    for (; i + LANES <= width; i += LANES) {
        const f32x16 v = load<f32x16>(x + i) - splat(mean);
        squares = fma(v, v, squares);
    }
    float total = sum(squares);
    for (; i < width; i++) total += (x[i] - mean) * (x[i] - mean);
    const float inverse = 1 / std::sqrt(total / width + eps);
    if (norm.shift)
        for (int i = 0; i < width; i++) y[i] = (x[i] - mean) * inverse * norm.scale[i] + norm.shift[i];
    else
        for (int i = 0; i < width; i++) y[i] = x[i] * inverse * norm.scale[i];
}

// Turn each pair (i, i + width / 2) of `heads` heads by its position's angle.
inline void rotate(float* x, int heads, int width, const float* cosines, const float* sines) {
    const int half = width / 2;
    for (int head = 0; head < heads; head++, x += width)
        for (int i = 0; i < half; i++) {
            const float first = x[i], second = x[i + half];
            x[i] = first * cosines[i] - second * sines[i];
            x[i + half] = second * cosines[i] + first * sines[i];
        }
}

inline f32x16 sigmoid(f32x16 x) { return splat(1.f) / (splat(1.f) + exp(-x)); }

// GELU in its tanh form: x times the sigmoid of twice the tanh's argument.
inline f32x16 gelu(f32x16 x) { return x * sigmoid(splat(1.5957691216f) * (x + splat(0.044715f) * x * x * x)); }

inline f32x16 silu(f32x16 x) { return x * sigmoid(x); }

// y = activation of `x`, times `with` where it is gated (`with` may not be null then).
inline void activate(const float* x, const float* with, int width, float* y) {
    for (int i = 0; i < width; i += LANES) {
        const int count = width - i < LANES ? width - i : LANES;
        f32x16 v = splat(0.f), w = splat(0.f);
        std::memcpy(&v, x + i, count * sizeof(float));
        if (with) std::memcpy(&w, with + i, count * sizeof(float));
        v = with ? silu(v) * w : gelu(v);
        std::memcpy(y + i, &v, count * sizeof(float));
    }
}
