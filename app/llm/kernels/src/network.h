// The network and a step's work as Python hands them over; native.py has the same fields in the same order.
#pragma once

#include <cstdint>

#include "matrix.h"

struct Norm {
    const float* scale;
    const float* shift;  // null: root mean square alone, no mean, no shift
};

struct Layer {
    Norm attention_norm;
    Matrix qkv;  // queries, keys and values, one below the other
    Matrix out;
    Norm feed_forward_norm;
    Matrix up;  // gated: the gate above the rest
    Matrix down;
};

struct Network {
    int32_t layer_count;
    int32_t emb_dim;
    int32_t heads;
    int32_t kv_heads;
    int32_t head_dim;
    int32_t mlp_dim;
    int32_t vocab_size;
    int32_t is_gated;  // SwiGLU, else GELU
    int32_t format;  // of the layers' matrices
    int32_t is_kv_half;  // keys and values as bfloat16, else float32
    float norm_eps;
    int32_t block_count;  // of the key-value memory, 16 tokens each
    const Layer* layers;
    Norm final_norm;
    Matrix embedding;
    Matrix head;
    const float* positions;  // (context, emb_dim), learned; or null
    const float* cosines;  // (context, head_dim / 2), rotary; or null
    const float* sines;
    void* keys;  // (block, layer, kv_head, head_dim, 16)
    void* values;  // (block, layer, kv_head, 16, head_dim)
};

// What an adapter adds to the outputs of a matrix: B (A x), the scale being in B.
struct Delta {
    int32_t rank;  // 0: nothing
    int32_t inputs;
    int32_t outputs;
    int32_t reserved;
    const float* a;  // (rank, inputs)
    const float* b;  // (rank, outputs)
};

struct BlockDeltas {
    Delta qkv;
    Delta out;
    Delta up;
    Delta down;
};

struct Step {
    int32_t tokens;
    int32_t rows;  // whose logits are wanted
    const int32_t* ids;
    const int32_t* positions;
    const int32_t* tables;  // of each token: where its sequence's blocks begin in `blocks`
    const int32_t* blocks;
    const int32_t* wanted;  // tokens, one a row
    float* logits;  // (rows, vocab_size)
    const BlockDeltas* const* adapters;  // of each token: its adapter's blocks, or null; null where no token has one
    int32_t most_rank;  // of all these
    int32_t reserved;
};
