// A few threads that pass through the same phases together. They wait in a short loop first, then asleep.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
inline void relax() { _mm_pause(); }
#else
inline void relax() { std::this_thread::yield(); }
#endif

class Threads {
  public:
    explicit Threads(int count) : count_(count), phases_(new std::atomic<int>[MOST_PHASES]) {
        for (int i = 1; i < count; i++) workers_.emplace_back([this, i] { work(i); });
    }

    ~Threads() {
        job_ = nullptr;
        started_.fetch_add(1);
        started_.notify_all();
        for (auto& worker : workers_) worker.join();
    }

    int count() const { return count_; }

    // Have every thread run `job(number)`, the caller as number 0; back when all are done. Whoever waits for another one
    // meanwhile stays `awake` for so long.
    void run(std::chrono::microseconds awake, const std::function<void(int)>& job) {
        awake_ = awake;
        for (int i = 0; i < MOST_PHASES; i++) phases_[i].store(0, std::memory_order_relaxed);
        job_ = &job;
        done_.store(0, std::memory_order_relaxed);
        started_.fetch_add(1);
        started_.notify_all();
        job(0);
        await([&] { return done_.load(std::memory_order_acquire) == count_ - 1; }, done_, awake_);
    }

    // All threads meet; the last to come runs `then` before any goes on.
    template <class F>
    void meet(F then) {
        const int turn = turn_.load(std::memory_order_acquire);
        if (arrived_.fetch_add(1, std::memory_order_acq_rel) == count_ - 1) {
            arrived_.store(0, std::memory_order_relaxed);
            then();
            turn_.store(turn + 1, std::memory_order_release);
            turn_.notify_all();
            return;
        }
        await([&] { return turn_.load(std::memory_order_acquire) != turn; }, turn_, awake_);
    }

    void meet() {
        meet([] {});
    }

    // The numbers 0 to `count` - 1, in pieces of `grain`, each to whichever thread is free. `phase` is new in each run.
    template <class F>
    void share(int phase, int count, int grain, F work) {
        auto& next = phases_[phase];
        for (int i; (i = next.fetch_add(grain, std::memory_order_relaxed)) < count;)
            work(i, i + grain < count ? i + grain : count);
    }

    // About what stands between two steps; whoever falls asleep there is woken too late for the next one, and the
    // processor may have slowed down (docs/performance.md).
    static constexpr std::chrono::microseconds BETWEEN_STEPS{500};

    static constexpr int MOST_PHASES = 20 << 9;  // 512 layers, as many as native.py lets in, have up to 18 phases each

  private:
    template <class Done, class T>
    void await(Done done, std::atomic<T>& changes, std::chrono::microseconds awake) {
        const auto until = std::chrono::steady_clock::now() + awake;
        do {
            for (int i = 0; i < 64; i++) {  // looking at the clock takes as long as some of these
                if (done()) return;
                relax();
            }
        } while (std::chrono::steady_clock::now() < until);
        for (;;) {
            const T seen = changes.load(std::memory_order_acquire);
            if (done()) return;
            changes.wait(seen, std::memory_order_acquire);
        }
    }

    void work(int number) {
        for (int seen = 0;;) {
            await([&] { return started_.load(std::memory_order_acquire) != seen; }, started_, BETWEEN_STEPS);
            seen++;
            if (job_ == nullptr) return;
            (*job_)(number);
            done_.fetch_add(1, std::memory_order_release);
            done_.notify_all();
        }
    }

    const int count_;
    std::unique_ptr<std::atomic<int>[]> phases_;
    std::vector<std::thread> workers_;
    std::chrono::microseconds awake_ = BETWEEN_STEPS;
    const std::function<void(int)>* job_ = nullptr;
    alignas(64) std::atomic<int> started_{0};
    alignas(64) std::atomic<int> done_{0};
    alignas(64) std::atomic<int> arrived_{0};
    alignas(64) std::atomic<int> turn_{0};
};
