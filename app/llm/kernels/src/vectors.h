// Sixteen lanes at a time. GCC's vector types where they do, intrinsics only for what they cannot say; every function has
// a plain form, so that the same code runs on any machine, if slower.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

constexpr int LANES = 16;

typedef float f32x16 __attribute__((vector_size(64)));
typedef int32_t i32x16 __attribute__((vector_size(64)));
typedef uint32_t u32x16 __attribute__((vector_size(64)));
typedef uint16_t u16x16 __attribute__((vector_size(32)));
typedef int8_t i8x16 __attribute__((vector_size(16)));
typedef uint8_t u8x64 __attribute__((vector_size(64)));

template <class V>
inline V load(const void* from) {
    V v;
    std::memcpy(&v, from, sizeof v);
    return v;
}

template <class V>
inline void store(void* to, V v) {
    std::memcpy(to, &v, sizeof v);
}

inline f32x16 splat(float x) { return f32x16{x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x}; }
inline i32x16 splat(int32_t x) { return i32x16{x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x}; }

// Up to 16 floats, zeros where there are fewer.
inline f32x16 load_some(const float* from, int count) {
    if (count >= LANES) return load<f32x16>(from);
    f32x16 v = {};
    if (count > 0) std::memcpy(&v, from, count * sizeof(float));
    return v;
}

template <class To, class From>
inline To bits(From from) {
    static_assert(sizeof(To) == sizeof(From));
    To to;
    std::memcpy(&to, &from, sizeof to);
    return to;
}

// a * b + c, rounded once where the machine can: the same everywhere, so that no result hangs on how loops were unrolled.
inline f32x16 fma(f32x16 a, f32x16 b, f32x16 c) {
#if defined(__AVX512F__)
    return (f32x16)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#else
    for (int i = 0; i < LANES; i++) c[i] = __builtin_fmaf(a[i], b[i], c[i]);
    return c;
#endif
}

inline f32x16 absolute(f32x16 v) { return bits<f32x16>(bits<u32x16>(v) & 0x7fffffff); }

inline f32x16 max(f32x16 a, f32x16 b) { return a > b ? a : b; }

inline float sum(f32x16 v) {
    for (int width = LANES / 2; width; width /= 2)
        for (int i = 0; i < width; i++) v[i] += v[i + width];
    return v[0];
}

inline int32_t sum(i32x16 v) {
    for (int width = LANES / 2; width; width /= 2)
        for (int i = 0; i < width; i++) v[i] += v[i + width];
    return v[0];
}

inline float largest(f32x16 v) {
    float m = v[0];
    for (int i = 1; i < LANES; i++) m = v[i] > m ? v[i] : m;
    return m;
}

inline f32x16 to_float(i32x16 v) { return __builtin_convertvector(v, f32x16); }

// bfloat16: the upper half of a float32.
inline f32x16 from_bf16(const uint16_t* from) {
    return bits<f32x16>(__builtin_convertvector(load<u16x16>(from), u32x16) << 16);
}
inline float from_bf16(uint16_t x) { return bits<float>((uint32_t)x << 16); }
inline uint16_t to_bf16(float x) {  // to nearest, ties to even; what is no number stays none
    uint32_t u = bits<uint32_t>(x);
    if ((u & 0x7fffffff) > 0x7f800000) return (uint16_t)(u >> 16 | 0x40);
    return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

inline u16x16 to_bf16(f32x16 x) {
    const u32x16 u = bits<u32x16>(x);
    const u32x16 rounded = (u + 0x7fff + (u >> 16 & 1)) >> 16, kept = u >> 16 | 0x40;
    return __builtin_convertvector((u & 0x7fffffff) > 0x7f800000 ? kept : rounded, u16x16);
}

// To the nearest whole number, ties to even; |x| < 2^22.
inline i32x16 to_nearest(f32x16 x) {
    const f32x16 magic = splat(12582912.f);
    return bits<i32x16>(x + magic) - bits<i32x16>(magic);
}

// float16, for scales.
inline float from_half(uint16_t h) {
    const uint32_t exponent = h >> 10 & 31, mantissa = h & 1023;
    float x;
    if (exponent == 0) x = mantissa * 0x1p-24f;
    else x = bits<float>(((exponent + 112) << 23) | (mantissa << 13));  // scales are finite: no infinity to care for
    return h & 0x8000 ? -x : x;
}
inline uint16_t to_half(float x) {  // to nearest, ties to even; |x| <= 65504
    const uint32_t u = bits<uint32_t>(x), sign = u >> 16 & 0x8000;
    const float a = x < 0 ? -x : x;
    if (a < 0x1p-14f) return (uint16_t)(sign | (uint32_t)__builtin_nearbyintf(a * 0x1p24f));
    const uint32_t v = u & 0x7fffffff;
    return (uint16_t)(sign | ((v + 0xfff + (v >> 13 & 1) - (112u << 23)) >> 13));
}
inline f32x16 from_half(const uint16_t* from) {
#if defined(__AVX512F__)
    return (f32x16)_mm512_cvtph_ps((__m256i)load<u16x16>(from));
#else
    f32x16 v;
    for (int i = 0; i < LANES; i++) v[i] = from_half(from[i]);
    return v;
#endif
}

// Per lane: acc + the dot product of its four unsigned bytes of `w` with the four signed bytes of `a4`.
inline i32x16 dot4(i32x16 acc, u8x64 w, int32_t a4) {
#if defined(__AVX512VNNI__)
    return (i32x16)_mm512_dpbusd_epi32((__m512i)acc, (__m512i)w, _mm512_set1_epi32(a4));
#else
    int8_t a[4];
    std::memcpy(a, &a4, 4);
    for (int i = 0; i < LANES; i++)
        for (int j = 0; j < 4; j++) acc[i] += (int32_t)w[4 * i + j] * a[j];
    return acc;
#endif
}

// Per lane: acc + the dot product of its two bfloat16 of `w` with the two of `a2`.
inline f32x16 dot2(f32x16 acc, u32x16 w, uint32_t a2) {
#if defined(__AVX512BF16__)
    return (f32x16)_mm512_dpbf16_ps((__m512)acc, (__m512bh)w, (__m512bh)_mm512_set1_epi32((int)a2));
#else
    acc = fma(bits<f32x16>(w << 16), splat(bits<float>(a2 << 16)), acc);
    return fma(bits<f32x16>(w & 0xffff0000u), splat(bits<float>(a2 & 0xffff0000u)), acc);
#endif
}

// e to the x, within 2 units of the last place; 0 far below, large but finite far above.
inline f32x16 exp(f32x16 x) {
    const f32x16 low = splat(-87.3f), high = splat(88.3f);
    const auto vanishes = x < low;
    const auto is_number = x == x;
    f32x16 v = x > high ? high : x;
    v = v < low ? low : v;
    const f32x16 scaled = v * splat(1.44269504088896341f);
    const i32x16 n = __builtin_convertvector(scaled + (scaled > splat(0.f) ? splat(.5f) : splat(-.5f)), i32x16);
    const f32x16 fn = to_float(n);
    f32x16 r = fma(fn, splat(-0.693359375f), v);  // ln 2 in two parts
    r = fma(fn, splat(2.12194440e-4f), r);
    f32x16 p = splat(1.9875691500e-4f);
    p = fma(p, r, splat(1.3981999507e-3f));
    p = fma(p, r, splat(8.3334519073e-3f));
    p = fma(p, r, splat(4.1665795894e-2f));
    p = fma(p, r, splat(1.6666665459e-1f));
    p = fma(p, r, splat(5.0000001201e-1f));
    p = fma(p, r * r, r + splat(1.f));
    f32x16 y = p * bits<f32x16>((n + 127) << 23);
    y = vanishes ? splat(0.f) : y;
    return is_number ? y : x;
}
