// One step of the whole network for tokens of many sequences: what native.py calls. The threads go through the same
// phases; between two matrices stands little work, which for few tokens the last thread to arrive does alone.
#include <cstdlib>
#include <new>
#include <vector>

#include "adapted.h"
#include "attention.h"
#include "layers.h"
#include "linear.h"
#include "network.h"
#include "threads.h"

namespace {

constexpr int FEW_TOKENS = 2;
constexpr int HEADS_AT_ONCE = 4;

// Memory that grows to what the largest step needed.
template <class T>
class Room {
  public:
    Room() = default;
    Room(const Room&) = delete;
    Room& operator=(const Room&) = delete;
    ~Room() { std::free(data_); }

    T* of(size_t count) {
        if (count > count_) {
            std::free(data_);
            count_ = 0;
            data_ = static_cast<T*>(std::aligned_alloc(64, (count * sizeof(T) + 63) / 64 * 64));
            if (!data_) throw std::bad_alloc();
            count_ = count;
        }
        return data_;
    }

  private:
    T* data_ = nullptr;
    size_t count_ = 0;
};

struct PreparedRoom {
    Room<uint32_t> values;
    Room<float> scales;
    Room<int32_t> sums;

    template <class F>
    Prepared of(int rows, int columns) {
        const int blocks = (columns + BLOCK - 1) / BLOCK, units = blocks * BLOCK * F::VALUE_BYTES / 4;
        const int height = tile_height(rows, F::MOST_ROWS);
        const size_t filled = (size_t)(rows + height - 1) / height * height;
        return {values.of(filled * units), scales.of(filled * blocks), sums.of(filled * blocks), blocks, units, height};
    }
};

}  // namespace

struct Runner {
    Network net;
    Threads& threads;
    Room<float> states, normed, qkv, contexts, wide, scores, lowered;
    PreparedRoom prepared;

    Runner(const Network& network, Threads& pool) : net(network), threads(pool) {}

    void run(const Step& step);
};

namespace {

// One thread's way through a step.
template <class F, class KV>
struct Pass {
    Runner& runner;
    const Step& step;
    const int thread;
    const Network& net = runner.net;
    const int tokens = step.tokens;
    const int width = net.emb_dim;
    const int q_width = net.heads * net.head_dim;
    const int kv_width = net.kv_heads * net.head_dim;
    const int qkv_width = q_width + 2 * kv_width;
    const int wide_width = net.is_gated ? 2 * net.mlp_dim : net.mlp_dim;
    float* const states = runner.states.of(0);
    float* const normed = runner.normed.of(0);
    float* const qkv = runner.qkv.of(0);
    float* const contexts = runner.contexts.of(0);
    float* const wide = runner.wide.of(0);
    int phase = 0;

    void go() {
        share(tokens, 1, [&](int i) { embed(i); });
        for (int number = 0; number < net.layer_count; number++) layer(net.layers[number], number);
        if (!step.rows) return runner.threads.meet();
        with_format(net.head.format, [&](auto head) {
            typedef decltype(head) H;
            const Prepared ready = runner.prepared.template of<H>(step.rows, width);
            between(step.rows, [&](int i) {
                normalise(net.final_norm, states + (size_t)step.wanted[i] * width, width, net.norm_eps, normed + (size_t)i * width);
                H::prepare(normed + (size_t)i * width, width, ready, i);
            });
            product<H>(net.head, ready, step.rows, {step.logits, (size_t)net.vocab_size, false});
        });
    }

    void layer(const Layer& layer, int number) {
        const Prepared narrow = runner.prepared.template of<F>(tokens, width);
        between(tokens, [&](int i) { prepare_normed(layer.attention_norm, i, narrow); });
        product<F>(layer.qkv, narrow, tokens, {qkv, (size_t)qkv_width, false});
        add(number, &BlockDeltas::qkv, normed, width, qkv, qkv_width);
        const Attention<KV> attention{net, number};
        between(tokens, [&](int i) { place(attention, i); });
        attend(attention);
        const Prepared mixed = runner.prepared.template of<F>(tokens, q_width);
        between(tokens, [&](int i) { F::prepare(contexts + (size_t)i * q_width, q_width, mixed, i); });
        product<F>(layer.out, mixed, tokens, {states, (size_t)width, true});
        add(number, &BlockDeltas::out, contexts, q_width, states, width);
        between(tokens, [&](int i) { prepare_normed(layer.feed_forward_norm, i, narrow); });
        product<F>(layer.up, narrow, tokens, {wide, (size_t)wide_width, false});
        add(number, &BlockDeltas::up, normed, width, wide, wide_width);
        const Prepared gated = runner.prepared.template of<F>(tokens, net.mlp_dim);
        between(tokens, [&](int i) {
            float* x = wide + (size_t)i * wide_width;
            activate(x, net.is_gated ? x + net.mlp_dim : nullptr, net.mlp_dim, x);
            F::prepare(x, net.mlp_dim, gated, i);
        });
        product<F>(layer.down, gated, tokens, {states, (size_t)width, true});
        add(number, &BlockDeltas::down, wide, wide_width, states, width);
    }

    void embed(int i) {
        float* x = states + (size_t)i * width;
        with_format(net.embedding.format, [&](auto table) { decltype(table)::row(net.embedding, step.ids[i], x); });
        if (!net.positions) return;
        const float* at = net.positions + (size_t)step.positions[i] * width;
        for (int k = 0; k < width; k++) x[k] += at[k];
    }

    void prepare_normed(const Norm& norm, int i, const Prepared& to) {
        float* y = normed + (size_t)i * width;
        normalise(norm, states + (size_t)i * width, width, net.norm_eps, y);
        F::prepare(y, width, to, i);
    }

    // Turn a token's queries and keys by its position, and keep its keys and values.
    void place(const Attention<KV>& attention, int i) {
        float* x = qkv + (size_t)i * qkv_width;
        const int position = step.positions[i];
        if (net.cosines) {
            const size_t at = (size_t)position * (net.head_dim / 2);
            rotate(x, net.heads + net.kv_heads, net.head_dim, net.cosines + at, net.sines + at);
        }
        attention.keep(x + q_width, x + q_width + kv_width, position, step.blocks + step.tables[i]);
        const float scale = 1 / std::sqrt((float)net.head_dim);
        for (int k = 0; k < q_width; k++) x[k] *= scale;
    }

    void attend(const Attention<KV>& attention) {
        const int group = net.heads / net.kv_heads;
        const bool is_little = tokens * net.kv_heads < 4 * runner.threads.count();
        const int at_once = is_little ? 1 : group < HEADS_AT_ONCE ? group : HEADS_AT_ONCE;
        const int pieces = (group + at_once - 1) / at_once;  // of the heads that share keys
        const int tasks = net.kv_heads * pieces;
        float* scores = runner.scores.of(0) + (size_t)thread * score_room();
        runner.threads.share(phase++, tokens * tasks, 1, [&](int begin, int end) {
            for (int task = begin; task < end; task++) {
                const int i = tokens - 1 - task / tasks;  // the longest first
                const int kv_head = task % tasks / pieces, first = task % pieces * at_once;
                const int heads = group - first < at_once ? group - first : at_once;
                const int head = kv_head * group + first;
                const float* queries = qkv + (size_t)i * qkv_width + (size_t)head * net.head_dim;
                float* to = contexts + (size_t)i * q_width + (size_t)head * net.head_dim;
                const int32_t* blocks = step.blocks + step.tables[i];
                switch (heads) {
                    case 1: attention.template attend<1>(queries, kv_head, step.positions[i], blocks, scores, to); break;
                    case 2: attention.template attend<2>(queries, kv_head, step.positions[i], blocks, scores, to); break;
                    case 3: attention.template attend<3>(queries, kv_head, step.positions[i], blocks, scores, to); break;
                    default: attention.template attend<4>(queries, kv_head, step.positions[i], blocks, scores, to);
                }
            }
        });
    }

    size_t score_room() const {
        int most = 0;
        for (int i = 0; i < tokens; i++) most = step.positions[i] > most ? step.positions[i] : most;
        return (size_t)HEADS_AT_ONCE * (most + 1 + BLOCK_TOKENS);
    }

    template <class G>
    void product(const Matrix& w, const Prepared& a, int rows, const Output& out) {
        const int panels = w.panels(), pieces = 8 * runner.threads.count();
        const int grain = (panels + pieces - 1) / pieces + 1 & ~1;  // even: panels go in pairs
        runner.threads.share(phase++, panels, rows > 3 || grain > 4 ? grain : 4,
                             [&](int begin, int end) { linear<G>(w, a, rows, begin, end, out); });
    }

    // What adapters add to the outputs `y` of a matrix for its inputs `x`; strides in floats. Steps without any adapter
    // do nothing here.
    void add(int number, Delta BlockDeltas::*matrix, const float* x, int x_stride, float* y, int y_stride) {
        if (!step.adapters) return;
        float* const lowered = runner.lowered.of(0);
        auto each = [&](int i, auto work) {
            if (const BlockDeltas* blocks = step.adapters[i]) work(blocks[number].*matrix, lowered + (size_t)i * step.most_rank);
        };
        const int lower_pieces = (step.most_rank + RANKS_AT_ONCE - 1) / RANKS_AT_ONCE;
        share(tokens * lower_pieces, 1, [&](int task) {
            const int i = task / lower_pieces, first = task % lower_pieces * RANKS_AT_ONCE;
            each(i, [&](const Delta& delta, float* low) { lower(delta, first, x + (size_t)i * x_stride, low); });
        });
        runner.threads.meet();
        const int raise_pieces = (y_stride + OUTPUTS_AT_ONCE - 1) / OUTPUTS_AT_ONCE;
        share(tokens * raise_pieces, 1, [&](int task) {
            const int i = task / raise_pieces, first = task % raise_pieces * OUTPUTS_AT_ONCE;
            each(i, [&](const Delta& delta, float* low) {
                if (delta.rank) raise(delta, first, low, y + (size_t)i * y_stride);
            });
        });
    }

    template <class Work>
    void share(int count, int grain, Work work) {
        runner.threads.share(phase++, count, grain, [&](int begin, int end) {
            for (int i = begin; i < end; i++) work(i);
        });
    }

    // A little work a token, between what came before and what comes after.
    template <class Work>
    void between(int count, Work work) {
        if (count <= FEW_TOKENS)
            return runner.threads.meet([&] {
                for (int i = 0; i < count; i++) work(i);
            });
        runner.threads.meet();
        share(count, 1, work);
        runner.threads.meet();
    }
};

}  // namespace

void Runner::run(const Step& step) {
    const size_t tokens = step.tokens, q_width = (size_t)net.heads * net.head_dim;
    const size_t wide_width = net.is_gated ? 2 * net.mlp_dim : net.mlp_dim;
    int longest = net.emb_dim > net.mlp_dim ? net.emb_dim : net.mlp_dim;
    if ((int)q_width > longest) longest = (int)q_width;
    int last = 0;
    for (size_t i = 0; i < tokens; i++) last = step.positions[i] > last ? step.positions[i] : last;
    states.of(tokens * net.emb_dim);
    normed.of(tokens * net.emb_dim);
    qkv.of(tokens * (q_width + 2 * (size_t)net.kv_heads * net.head_dim));
    contexts.of(tokens * q_width);
    wide.of(tokens * wide_width);
    scores.of((size_t)threads.count() * HEADS_AT_ONCE * (last + 1 + BLOCK_TOKENS));
    if (step.adapters) lowered.of(tokens * step.most_rank);
    prepared.of<Float32>(step.tokens + Float32::MOST_ROWS, longest);  // all rooms are made before the threads begin
    // A short step is waited for by whoever reads it, and waking up takes longer than its phases. In a longer one who waits
    // for long waits for a thread that lost its core to the server, and does better to give its own away.
    const auto awake = tokens < 4 ? Threads::BETWEEN_STEPS : std::chrono::microseconds(50);
    with_format(net.format, [&](auto format) {
        typedef decltype(format) F;
        threads.run(awake, [&](int thread) {
            if (net.is_kv_half) Pass<F, HalfKV>{*this, step, thread}.go();
            else Pass<F, FullKV>{*this, step, thread}.go();
        });
    });
}

extern "C" {

size_t inkling_value_bytes(const Matrix* w) {
    return with_format(w->format, [&](auto f) { return decltype(f)::panel_bytes(*w) * w->panels(); });
}

size_t inkling_scale_count(const Matrix* w) {
    return with_format(w->format, [&](auto f) { return decltype(f)::scale_count(*w); });
}

void inkling_pack(const Matrix* w, const float* weights) {
    with_format(w->format, [&](auto f) {
        for (int panel = 0; panel < w->panels(); panel++) {
            const int first = panel * LANES, count = w->rows - first < LANES ? w->rows - first : LANES;
            decltype(f)::pack(*w, panel, weights + (size_t)first * w->columns, count);
        }
    });
}

void inkling_row(const Matrix* w, int32_t output, float* x) {
    with_format(w->format, [&](auto f) { decltype(f)::row(*w, output, x); });
}

Threads* inkling_threads(int32_t count) { return new (std::nothrow) Threads(count); }
void inkling_threads_end(Threads* threads) { delete threads; }

Runner* inkling_runner(const Network* network, Threads* threads) { return new (std::nothrow) Runner(*network, *threads); }
void inkling_runner_end(Runner* runner) { delete runner; }

// 0, or 1 where there was no memory for the step.
int32_t inkling_run(Runner* runner, const Step* step) {
    try {
        runner->run(*step);
        return 0;
    } catch (const std::bad_alloc&) {
        return 1;
    }
}
}
