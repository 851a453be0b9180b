// Attention of one token over its sequence's keys and values in blocks of 16 tokens. Keys lie transposed, so that 16 of
// them are scored at once. Each head is computed by itself in the order of the tokens: nothing hangs on the batch.
#pragma once

#include <cmath>

#include "network.h"
#include "vectors.h"

constexpr int BLOCK_TOKENS = 16;

struct FullKV {
    typedef float Stored;
    static f32x16 load16(const float* from) { return load<f32x16>(from); }
    static float one(float x) { return x; }
    static float keep(float x) { return x; }
};

struct HalfKV {
    typedef uint16_t Stored;
    static f32x16 load16(const uint16_t* from) { return from_bf16(from); }
    static float one(uint16_t x) { return from_bf16(x); }
    static uint16_t keep(float x) { return to_bf16(x); }
};

template <class KV>
struct Attention {
    typedef typename KV::Stored Stored;

    const Network& net;
    int layer;

    size_t block_size() const { return (size_t)net.kv_heads * net.head_dim * BLOCK_TOKENS; }
    Stored* block(void* store, int number, int head) const {
        return (Stored*)store + ((size_t)number * net.layer_count + layer) * block_size() +
               (size_t)head * net.head_dim * BLOCK_TOKENS;
    }

    // Keep the keys and values (kv_heads, head_dim) of the token at `position`.
    void keep(const float* keys, const float* values, int position, const int32_t* blocks) const {
        const int number = blocks[position / BLOCK_TOKENS], slot = position % BLOCK_TOKENS, width = net.head_dim;
        for (int head = 0; head < net.kv_heads; head++) {
            Stored* k = block(net.keys, number, head) + slot;
            Stored* v = block(net.values, number, head) + (size_t)slot * width;
            for (int i = 0; i < width; i++) k[(size_t)i * BLOCK_TOKENS] = KV::keep(keys[head * width + i]);
            for (int i = 0; i < width; i++) v[i] = KV::keep(values[head * width + i]);
        }
    }

    // Contexts of `H` heads that share keys and values; queries and contexts are (H, head_dim), scores has room for
    // H times the tokens, filled up to 16.
    template <int H>
    void attend(const float* queries, int kv_head, int position, const int32_t* blocks, float* scores, float* contexts)
        const {
        const int count = position + 1, groups = (count + BLOCK_TOKENS - 1) / BLOCK_TOKENS, width = net.head_dim;
        const size_t room = (size_t)groups * BLOCK_TOKENS;
        f32x16 most[H];
        for (int h = 0; h < H; h++) most[h] = splat(-INFINITY);
        for (int group = 0; group < groups; group++) {
            const Stored* k = block(net.keys, blocks[group], kv_head);
            f32x16 dots[H] = {};
            for (int i = 0; i < width; i++) {
                const f32x16 key = KV::load16(k + (size_t)i * BLOCK_TOKENS);
                for (int h = 0; h < H; h++) dots[h] = fma(key, splat(queries[h * width + i]), dots[h]);
            }
            for (int h = 0; h < H; h++) {
                if (group == groups - 1)
                    for (int i = count - group * BLOCK_TOKENS; i < BLOCK_TOKENS; i++) dots[h][i] = -INFINITY;
                most[h] = max(dots[h], most[h]);
                store(scores + h * room + group * BLOCK_TOKENS, dots[h]);
            }
        }
        float inverse[H];
        for (int h = 0; h < H; h++) {
            const f32x16 top = splat(largest(most[h]));
            f32x16 total = splat(0.f);
            for (int group = 0; group < groups; group++) {
                float* at = scores + h * room + group * BLOCK_TOKENS;
                const f32x16 share = exp(load<f32x16>(at) - top);
                total += share;
                store(at, share);
            }
            inverse[h] = 1 / sum(total);
        }
        for (int h = 0; h < H; h++)
            for (int i = 0; i < width; i++) contexts[h * width + i] = 0;
        int first = 0;
        for (; first + LANES <= width; first += LANES) gather<H>(kv_head, count, groups, room, blocks, scores, first, inverse, contexts);
        for (; first < width; first++)
            for (int h = 0; h < H; h++) {
                float context = 0;
                for (int j = 0; j < count; j++) {
                    const Stored* v = block(net.values, blocks[j / BLOCK_TOKENS], kv_head);
                    context += scores[h * room + j] * KV::one(v[(size_t)(j % BLOCK_TOKENS) * width + first]);
                }
                contexts[h * width + first] = context * inverse[h];
            }
    }

  private:
    template <int H>
    void gather(int kv_head, int count, int groups, size_t room, const int32_t* blocks, const float* scores, int first,
                const float* inverse, float* contexts) const {
        const int width = net.head_dim;
        f32x16 context[H] = {};
        for (int group = 0; group < groups; group++) {
            const Stored* v = block(net.values, blocks[group], kv_head) + first;
            const int here = count - group * BLOCK_TOKENS < BLOCK_TOKENS ? count - group * BLOCK_TOKENS : BLOCK_TOKENS;
            for (int j = 0; j < here; j++) {
                const f32x16 value = KV::load16(v + (size_t)j * width);
                for (int h = 0; h < H; h++)
                    context[h] = fma(value, splat(scores[h * room + group * BLOCK_TOKENS + j]), context[h]);
            }
        }
        for (int h = 0; h < H; h++) store(contexts + h * width + first, context[h] * splat(inverse[h]));
    }
};
