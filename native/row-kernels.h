// Row kernels: loops over contiguous floats, compiled for several instruction sets and chosen at run time.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

#include "instruction-sets.h"

#if PREFTUNE_X86_LEVELS
#include <immintrin.h>
#endif

namespace preftune {

// Eight floats at once, the width of AVX2: compilers take wider vectors apart into single floats where they compare them.
constexpr int64_t kLanes = 8;
using Lanes = float __attribute__((vector_size(32)));
using IntLanes = int32_t __attribute__((vector_size(32)));
// The width of AVX-512, for code that compares by its instructions.
using Sixteen = float __attribute__((vector_size(64)));
using IntSixteen = int32_t __attribute__((vector_size(64)));
using UnsignedSixteen = uint32_t __attribute__((vector_size(64)));
template <typename V>
using Ints = std::conditional_t<sizeof(V) == sizeof(Sixteen), IntSixteen, IntLanes>;

PREFTUNE_INLINE Lanes load(const float* from) {
  Lanes to;
  std::memcpy(&to, from, sizeof to);
  return to;
}
PREFTUNE_INLINE void store(float* to, const Lanes& from) { std::memcpy(to, &from, sizeof from); }

// The `n` < 8 floats of a row's end; the other lanes hold `rest`.
PREFTUNE_INLINE Lanes loadEnd(const float* from, int64_t n, float rest = 0) {
  Lanes to = Lanes{} + rest;
  std::memcpy(&to, from, static_cast<size_t>(n) * sizeof(float));
  return to;
}
PREFTUNE_INLINE void storeEnd(float* to, const Lanes& from, int64_t n) { std::memcpy(to, &from, static_cast<size_t>(n) * sizeof(float)); }

#define PREFTUNE_EACH(...) [&](__VA_ARGS__) __attribute__((always_inline))

// f(i, get, put) for i = 0, 8, … below n, where get and put move up to eight floats at a time.
template <typename F>
PREFTUNE_INLINE void walkRow(int64_t n, const F& f) {
  int64_t i = 0;
  const auto get = PREFTUNE_EACH(const float* from) { return load(from); };
  const auto put = PREFTUNE_EACH(float* to, const Lanes& x) { store(to, x); };
  for (; i + kLanes <= n; i += kLanes) f(i, get, put);
  const int64_t rest = n - i;
  const auto getEnd = PREFTUNE_EACH(const float* from) { return loadEnd(from, rest); };
  const auto putEnd = PREFTUNE_EACH(float* to, const Lanes& x) { storeEnd(to, x, rest); };
  if (rest > 0) f(i, getEnd, putEnd);
}

// out[i] = f(in[i]…) for i in [0, n); `out` may be one of the inputs.
template <typename F, typename... In>
PREFTUNE_INLINE void mapRow(float* out, int64_t n, const F& f, const In*... in) {
  walkRow(n, PREFTUNE_EACH(int64_t i, const auto& get, const auto& put) { put(out + i, f(get(in + i)...)); });
}

// Σ f(in[i]…) for i in [0, n); f of zeros must be zero.
template <typename F, typename... In>
PREFTUNE_INLINE float sumRow(int64_t n, const F& f, const In*... in) {
  Lanes sum = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) sum += f(load(in + i)...);
  if (i < n) sum += f(loadEnd(in + i, n - i)...);
  float total = 0;
  for (int64_t l = 0; l < kLanes; ++l) total += sum[l];
  return total;
}

// e^x by range reduction and a polynomial (Cephes' coefficients); relative error below 2e-7, 0 below -87, as if 88 above it.
PREFTUNE_INLINE Lanes expLanes(const Lanes& x) {
  const Lanes least = Lanes{} - 87.0f, most = Lanes{} + 88.0f;
  const Lanes low = x < least ? least : x;
  const Lanes clipped = low > most ? most : low;
  const Lanes shifted = clipped * 1.44269504088896341f + 12582912.0f;  // round to nearest by losing the fraction
  const Lanes n = shifted - 12582912.0f;
  const Lanes r = (clipped - n * 0.693359375f) + n * 2.12194440e-4f;
  Lanes p = r * 1.9875691500e-4f + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  const IntLanes bits = (__builtin_convertvector(n, IntLanes) + 127) << 23;
  Lanes power;
  std::memcpy(&power, &bits, sizeof power);
  return x < least ? Lanes{} : p * power;
}

PREFTUNE_INLINE Lanes sigmoidLanes(const Lanes& x) { return 1.0f / (1.0f + expLanes(-x)); }

// The same of sixteen floats on AVX-512, bit for bit what eight are.
#if PREFTUNE_X86_LEVELS
constexpr int64_t kWideLanes = 16;

PREFTUNE_WIDE Sixteen loadWide(const float* from) { return _mm512_loadu_ps(from); }
PREFTUNE_WIDE void storeWide(float* to, const Sixteen& from) { _mm512_storeu_ps(to, from); }

// Of NaN both give the second. Without a mask, GCC before 13 warns of the operand that its own header leaves undefined.
PREFTUNE_WIDE Sixteen greaterWide(const Sixteen& a, const Sixteen& b) { return _mm512_maskz_max_ps(0xffff, a, b); }
PREFTUNE_WIDE Sixteen smallerWide(const Sixteen& a, const Sixteen& b) { return _mm512_maskz_min_ps(0xffff, a, b); }

PREFTUNE_WIDE Sixteen expWide(const Sixteen& x) {
  const Sixteen least = Sixteen{} - 87.0f, most = Sixteen{} + 88.0f;
  const Sixteen clipped = smallerWide(most, greaterWide(least, x));
  const Sixteen shifted = clipped * 1.44269504088896341f + 12582912.0f;
  const Sixteen n = shifted - 12582912.0f;
  const Sixteen r = (clipped - n * 0.693359375f) + n * 2.12194440e-4f;
  Sixteen p = r * 1.9875691500e-4f + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  const IntSixteen bits = (__builtin_convertvector(n, IntSixteen) + 127) << 23;
  Sixteen power;
  std::memcpy(&power, &bits, sizeof power);
  return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, least, _CMP_NLT_UQ), p * power);
}
#endif

// What `rowMax` does from `i` on; `most` has the greatest before it.
PREFTUNE_INLINE float rowMaxFrom(int64_t i, Lanes most, const float* row, int64_t n) {
  for (; i + kLanes <= n; i += kLanes) {
    const Lanes x = load(row + i);
    most = x > most ? x : most;
  }
  float max = most[0];
  for (int64_t l = 1; l < kLanes; ++l) max = std::max(max, most[l]);
  for (; i < n; ++i) max = std::max(max, row[i]);
  return max;
}

// max of row[0, n)
PREFTUNE_INLINE float rowMaxBody(const float* row, int64_t n) { return rowMaxFrom(0, Lanes{} - std::numeric_limits<float>::infinity(), row, n); }
#if PREFTUNE_X86_LEVELS
PREFTUNE_WIDE float rowMaxWide(const float* row, int64_t n) {
  Sixteen most = Sixteen{} - std::numeric_limits<float>::infinity();
  int64_t i = 0;
  // NaN is passed over
  for (; i + kWideLanes <= n; i += kWideLanes) most = greaterWide(loadWide(row + i), most);
  float halves[kWideLanes];
  storeWide(halves, most);
  const Lanes low = load(halves), high = load(halves + kLanes);
  return rowMaxFrom(i, low > high ? low : high, row, n);
}
#endif
PREFTUNE_WIDE_KERNEL(rowMax);

// What `rowExp` does from `i` on; `sum` has the numbers before it.
PREFTUNE_INLINE float rowExpFrom(int64_t i, Lanes sum, float* row, int64_t n, float shift) {
  for (; i + kLanes <= n; i += kLanes) {
    const Lanes e = expLanes(load(row + i) - shift);
    store(row + i, e);
    sum += e;
  }
  if (i < n) {
    const Lanes e = expLanes(loadEnd(row + i, n - i, -std::numeric_limits<float>::infinity()) - shift);
    storeEnd(row + i, e, n - i);
    sum += e;
  }
  float total = 0;
  for (int64_t l = 0; l < kLanes; ++l) total += sum[l];
  return total;
}

// row[i] = e^(row[i] - shift) for i in [0, n); gives the sum
PREFTUNE_INLINE float rowExpBody(float* row, int64_t n, float shift) { return rowExpFrom(0, Lanes{}, row, n, shift); }
#if PREFTUNE_X86_LEVELS
PREFTUNE_WIDE float rowExpWide(float* row, int64_t n, float shift) {
  Lanes sum = {};
  int64_t i = 0;
  for (; i + kWideLanes <= n; i += kWideLanes) {
    storeWide(row + i, expWide(loadWide(row + i) - shift));
    sum += load(row + i);
    sum += load(row + i + kLanes);
  }
  return rowExpFrom(i, sum, row, n, shift);
}
#endif
PREFTUNE_WIDE_KERNEL(rowExp);

// Σ a[i] b[i]
PREFTUNE_KERNEL(float, rowDot, (const float* a, const float* b, int64_t n)) {
  return sumRow(n, PREFTUNE_EACH(Lanes x, Lanes y) { return x * y; }, a, b);
}

// Σ a[i] b[i] c[i]
PREFTUNE_KERNEL(float, rowDot3, (const float* a, const float* b, const float* c, int64_t n)) {
  return sumRow(n, PREFTUNE_EACH(Lanes x, Lanes y, Lanes z) { return x * y * z; }, a, b, c);
}

// out[i] = p[i] (out[i] - shift)
PREFTUNE_KERNEL(void, rowSoftmaxGrad, (float* out, const float* p, int64_t n, float shift)) {
  mapRow(out, n, PREFTUNE_EACH(Lanes x, Lanes weight) { return weight * (x - shift); }, out, p);
}

// out[i] = in[i] factor
PREFTUNE_INLINE void rowScaleBody(float* out, const float* in, int64_t n, float factor) {
  mapRow(out, n, PREFTUNE_EACH(Lanes x) { return x * factor; }, in);
}
#if PREFTUNE_X86_LEVELS
PREFTUNE_WIDE void rowScaleWide(float* out, const float* in, int64_t n, float factor) {
  int64_t i = 0;
  for (; i + kWideLanes <= n; i += kWideLanes) storeWide(out + i, loadWide(in + i) * factor);
  rowScaleBody(out + i, in + i, n - i, factor);
}
#endif
PREFTUNE_WIDE_KERNEL(rowScale);

// out[i] = in[i] factor weight[i]
PREFTUNE_KERNEL(void, rowWeigh, (float* out, const float* in, const float* weight, int64_t n, float factor)) {
  mapRow(out, n, PREFTUNE_EACH(Lanes x, Lanes w) { return x * factor * w; }, in, weight);
}

// sum[i] += a[i] b[i] factor
PREFTUNE_KERNEL(void, rowAddProduct, (float* sum, const float* a, const float* b, int64_t n, float factor)) {
  mapRow(sum, n, PREFTUNE_EACH(Lanes s, Lanes x, Lanes y) { return s + x * y * factor; }, sum, a, b);
}

// out[i] = grad[i] weight[i] factor - x[i] shift
PREFTUNE_KERNEL(void, rowNormGrad, (float* out, const float* grad, const float* weight, const float* x, int64_t n, float factor, float shift)) {
  mapRow(out, n, PREFTUNE_EACH(Lanes g, Lanes w, Lanes v) { return g * w * factor - v * shift; }, grad, weight, x);
}

// Rotates the pairs (x[i], x[i + n/2]) by the angles of cos and sin; `direction` 1 rotates, -1 rotates back. `out` may be `x`.
PREFTUNE_INLINE void rotateHalves(float* out, const float* x, const float* cos, const float* sin, int64_t half, int64_t n, float direction) {
  walkRow(n, PREFTUNE_EACH(int64_t i, const auto& get, const auto& put) {
    const Lanes a = get(x + i), b = get(x + half + i), c = get(cos + i), s = get(sin + i) * direction;
    put(out + i, a * c - b * s);
    put(out + half + i, b * c + a * s);
  });
}
PREFTUNE_INLINE void rowRotateBody(float* out, const float* x, const float* cos, const float* sin, int64_t n, float direction) {
  rotateHalves(out, x, cos, sin, n / 2, n / 2, direction);
}
#if PREFTUNE_X86_LEVELS
PREFTUNE_WIDE void rowRotateWide(float* out, const float* x, const float* cos, const float* sin, int64_t n, float direction) {
  const int64_t half = n / 2;
  int64_t i = 0;
  for (; i + kWideLanes <= half; i += kWideLanes) {
    const Sixteen a = loadWide(x + i), b = loadWide(x + half + i), c = loadWide(cos + i), s = loadWide(sin + i) * direction;
    storeWide(out + i, a * c - b * s);
    storeWide(out + half + i, b * c + a * s);
  }
  rotateHalves(out + i, x + i, cos + i, sin + i, half, half - i, direction);
}
#endif
PREFTUNE_WIDE_KERNEL(rowRotate);

// out[i] = silu(gate[i]) up[i]
PREFTUNE_INLINE void rowSwigluBody(float* out, const float* gate, const float* up, int64_t n) {
  mapRow(out, n, PREFTUNE_EACH(Lanes g, Lanes u) { return g * sigmoidLanes(g) * u; }, gate, up);
}
#if PREFTUNE_X86_LEVELS
PREFTUNE_WIDE void rowSwigluWide(float* out, const float* gate, const float* up, int64_t n) {
  int64_t i = 0;
  for (; i + kWideLanes <= n; i += kWideLanes) {
    const Sixteen g = loadWide(gate + i);
    storeWide(out + i, g * (1.0f / (1.0f + expWide(-g))) * loadWide(up + i));
  }
  rowSwigluBody(out + i, gate + i, up + i, n - i);
}
#endif
PREFTUNE_WIDE_KERNEL(rowSwiglu);

// out[i] = gelu(gate[i]) up[i], GELU by tanh: x σ(2 √(2/π) (x + 0.044715 x³))
PREFTUNE_KERNEL(void, rowGeglu, (float* out, const float* gate, const float* up, int64_t n)) {
  mapRow(out, n, PREFTUNE_EACH(Lanes g, Lanes u) { return g * sigmoidLanes(1.59576912160573f * (g + 0.044715f * g * g * g)) * u; }, gate, up);
}

// Gradients of silu(gate) up for the gradient of the product; the outputs may be the inputs.
PREFTUNE_INLINE void rowSwigluGradBody(float* gradGate, float* gradUp, const float* grad, const float* gate, const float* up, int64_t n) {
  walkRow(n, PREFTUNE_EACH(int64_t i, const auto& get, const auto& put) {
    const Lanes d = get(grad + i), g = get(gate + i), u = get(up + i);
    const Lanes s = sigmoidLanes(g);
    put(gradUp + i, d * g * s);
    put(gradGate + i, d * u * s * (1.0f + g * (1.0f - s)));
  });
}
#if PREFTUNE_X86_LEVELS
PREFTUNE_WIDE void rowSwigluGradWide(float* gradGate, float* gradUp, const float* grad, const float* gate, const float* up, int64_t n) {
  int64_t i = 0;
  for (; i + kWideLanes <= n; i += kWideLanes) {
    const Sixteen d = loadWide(grad + i), g = loadWide(gate + i), u = loadWide(up + i);
    const Sixteen s = 1.0f / (1.0f + expWide(-g));
    storeWide(gradUp + i, d * g * s);
    storeWide(gradGate + i, d * u * s * (1.0f + g * (1.0f - s)));
  }
  rowSwigluGradBody(gradGate + i, gradUp + i, grad + i, gate + i, up + i, n - i);
}
#endif
PREFTUNE_WIDE_KERNEL(rowSwigluGrad);

#if defined(__clang__) || __GNUC__ >= 12
#define PREFTUNE_SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define PREFTUNE_SHUFFLE(a, b, ...) __builtin_shuffle(a, b, Ints<std::decay_t<decltype(a)>>{__VA_ARGS__})
#endif

// Transposes 8 × 8 floats: neighbours, then pairs, then halves change places.
PREFTUNE_INLINE void transposeLanes(float* to, int64_t strideTo, const float* from, int64_t strideFrom) {
  Lanes rows[kLanes], mixed[kLanes];
  for (int i = 0; i < 8; ++i) rows[i] = load(from + i * strideFrom);
  for (int i = 0; i < 8; i += 2) {
    mixed[i] = PREFTUNE_SHUFFLE(rows[i], rows[i + 1], 0, 8, 1, 9, 4, 12, 5, 13);
    mixed[i + 1] = PREFTUNE_SHUFFLE(rows[i], rows[i + 1], 2, 10, 3, 11, 6, 14, 7, 15);
  }
  for (int i = 0; i < 8; i += 4) {
    for (int j = 0; j < 2; ++j) {
      rows[i + 2 * j] = PREFTUNE_SHUFFLE(mixed[i + j], mixed[i + 2 + j], 0, 1, 8, 9, 4, 5, 12, 13);
      rows[i + 2 * j + 1] = PREFTUNE_SHUFFLE(mixed[i + j], mixed[i + 2 + j], 2, 3, 10, 11, 6, 7, 14, 15);
    }
  }
  for (int i = 0; i < 4; ++i) {
    store(to + i * strideTo, PREFTUNE_SHUFFLE(rows[i], rows[i + 4], 0, 1, 2, 3, 8, 9, 10, 11));
    store(to + (i + 4) * strideTo, PREFTUNE_SHUFFLE(rows[i], rows[i + 4], 4, 5, 6, 7, 12, 13, 14, 15));
  }
}

// to[j * strideTo + i] = from[i * strideFrom + j] for i in [0, rows) and j in [0, columns)
PREFTUNE_KERNEL(void, transposeRows, (float* to, int64_t strideTo, const float* from, int64_t strideFrom, int64_t rows, int64_t columns)) {
  int64_t i = 0;
  for (; i + kLanes <= rows; i += kLanes) {
    int64_t j = 0;
    for (; j + kLanes <= columns; j += kLanes) transposeLanes(to + j * strideTo + i, strideTo, from + i * strideFrom + j, strideFrom);
    for (; j < columns; ++j)
      for (int64_t k = i; k < i + kLanes; ++k) to[j * strideTo + k] = from[k * strideFrom + j];
  }
  for (; i < rows; ++i)
    for (int64_t j = 0; j < columns; ++j) to[j * strideTo + i] = from[i * strideFrom + j];
}

// ---- dropout (native/dropout.h) ----

constexpr uint32_t kDropStride = 0x9E3779B9u, kDropMultiplier = 0x735A2D97u;

// out[j] = in[j] factor where the j-th 16-bit number is at least `least`, else in[j] 0. Numbers 2i and 2i + 1 are the halves of one
// hash of the counter i, keyed by `start` and the odd `key`. `out` may be `in`. `also` of `alsoIn` by the same numbers, unless null.
PREFTUNE_INLINE void rowDropBody(float* out, const float* in, float* also, const float* alsoIn, int64_t n, uint32_t start, uint32_t key,
                                 int16_t least, float factor) {
  constexpr int64_t kBlock = 256;
  uint32_t hashes[kBlock / 2];
  int16_t numbers[kBlock];
  for (int64_t from = 0; from < n; from += kBlock) {
    const uint32_t first = start + static_cast<uint32_t>(from / 2) * kDropStride;
    for (uint32_t i = 0; i < kBlock / 2; ++i) {
      uint32_t h = first + i * kDropStride;
      h ^= h >> 16;
      h *= key;
      h ^= h >> 16;
      hashes[i] = h * kDropMultiplier;
    }
    std::memcpy(numbers, hashes, sizeof numbers);
    const int64_t count = std::min(kBlock, n - from);
    for (int64_t j = 0; j < count; ++j) out[from + j] = in[from + j] * (numbers[j] >= least ? factor : 0.0f);
    if (also == nullptr) continue;
    for (int64_t j = 0; j < count; ++j) also[from + j] = alsoIn[from + j] * (numbers[j] >= least ? factor : 0.0f);
  }
}
#if PREFTUNE_X86_LEVELS
PREFTUNE_WIDE void dropWide(float* out, const float* in, __mmask32 kept, const Sixteen& factor) {
  storeWide(out, loadWide(in) * Sixteen(_mm512_maskz_mov_ps(static_cast<__mmask16>(kept), factor)));
  storeWide(out + kWideLanes, loadWide(in + kWideLanes) * Sixteen(_mm512_maskz_mov_ps(static_cast<__mmask16>(kept >> 16), factor)));
}
PREFTUNE_WIDE void rowDropWide(float* out, const float* in, float* also, const float* alsoIn, int64_t n, uint32_t start, uint32_t key,
                               int16_t least, float factor) {
  const UnsignedSixteen each = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  const Sixteen factors = Sixteen{} + factor;
  UnsignedSixteen counters = start + each * kDropStride;
  int64_t i = 0;
  for (; i + 32 <= n; i += 32, counters += 16 * kDropStride) {
    UnsignedSixteen h = counters ^ (counters >> 16);
    h *= key;
    h ^= h >> 16;
    h *= kDropMultiplier;
    const __mmask32 kept = _mm512_cmpge_epi16_mask(reinterpret_cast<__m512i>(h), _mm512_set1_epi16(least));
    dropWide(out + i, in + i, kept, factors);
    if (also != nullptr) dropWide(also + i, alsoIn + i, kept, factors);
  }
  if (i == n) return;
  const auto rest = [&](auto* row) { return row == nullptr ? nullptr : row + i; };
  rowDropBody(out + i, in + i, rest(also), rest(alsoIn), n - i, start + static_cast<uint32_t>(i / 2) * kDropStride, key, least, factor);
}
#endif
PREFTUNE_WIDE_KERNEL(rowDrop);

}  // namespace preftune
