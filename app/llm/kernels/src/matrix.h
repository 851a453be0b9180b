// A weight matrix as the kernels read it, and rows of numbers made ready to meet it.
//
// The matrix has `rows` outputs and `columns` inputs. It lies in panels of 16 outputs; within a panel the inputs follow
// each other, a group of them for each of the 16 outputs (`format.h` of each format says how many). Both sides are
// filled with zeros: outputs to a multiple of 16, inputs to a multiple of 32.
#pragma once

#include <cstddef>
#include <cstdint>

constexpr int BLOCK = 32;  // inputs that share a scale

struct Matrix {
    int32_t format;  // an index into FORMATS (formats.h)
    int32_t rows;
    int32_t columns;
    int32_t reserved;
    void* values;
    uint16_t* scales;   // float16; absent where a format has none
    const float* bias;  // of each output, or null

    int panels() const { return (rows + 15) / 16; }
    int blocks() const { return (columns + BLOCK - 1) / BLOCK; }
    int padded() const { return blocks() * BLOCK; }
};

// Rows of activations, in the form that a format's kernels want them: tiles of up to `height` rows; within a tile the
// first 4 bytes of each row, then the next 4 of each, so that a kernel walks through a tile with one pointer.
struct Prepared {
    uint32_t* values;  // (tile, unit of 4 bytes, height)
    float* scales;     // (tile, block, height), of quantised formats
    int32_t* sums;     // of a block's quantised values, likewise
    int blocks;
    int units;
    int height;

    uint32_t* tile(int row) const { return values + (size_t)(row / height) * units * height + row % height; }
    size_t block(int row) const { return (size_t)(row / height) * blocks * height + row % height; }
};

// Rows a tile, where `rows` are to be spread evenly over tiles of at most `most`.
inline int tile_height(int rows, int most) {
    const int tiles = (rows + most - 1) / most;
    return (rows + tiles - 1) / tiles;
}
