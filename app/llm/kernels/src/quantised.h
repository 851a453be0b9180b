// What the formats of whole numbers have in common: activations in blocks of 32 signed bytes with one scale.
#pragma once

#include <cmath>

#include "matrix.h"
#include "vectors.h"

struct Quantised {
    static constexpr int VALUE_BYTES = 1;

    static void prepare(const float* x, int columns, const Prepared& to, int row) {
        uint32_t* out = to.tile(row);
        size_t at = to.block(row);
        for (int block = 0; block < to.blocks; block++, at += to.height) {
            const int k = block * BLOCK;
            const f32x16 v[] = {load_some(x + k, columns - k), load_some(x + k + LANES, columns - k - LANES)};
            const float most = largest(max(absolute(v[0]), absolute(v[1])));
            const bool is_finite = sum(v[0] * 0.f + v[1] * 0.f) == 0;  // what is no number must not become one
            const f32x16 inverse = splat(is_finite && most > 0 ? 127 / most : 0);
            const i32x16 q[] = {to_nearest(v[0] * inverse), to_nearest(v[1] * inverse)};
            i8x16 bytes[] = {__builtin_convertvector(q[0], i8x16), __builtin_convertvector(q[1], i8x16)};
            uint32_t units[BLOCK / 4];
            std::memcpy(units, bytes, BLOCK);
            for (int i = 0; i < BLOCK / 4; i++, out += to.height) *out = units[i];
            to.scales[at] = is_finite ? most / 127 : NAN;
            to.sums[at] = sum(q[0] + q[1]);
        }
    }
};
