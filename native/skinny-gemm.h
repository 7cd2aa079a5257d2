// x · Wᵀ for weights whose rows are outputs, as decoding makes it: on the CPU, x in float32 or bfloat16, W in these or in 8 bits, each
// weight read once and in place, while a general product first copies the matrix into another order. Each output is one sum in a fixed order, so
// a row's result does not depend on the rows beside it, nor on the threads.
#pragma once

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <vector>

#include "row-kernels.h"

namespace preftune {
namespace {

// In training, from here on a general product is as fast.
constexpr int64_t kSkinnyRows = 32;
// bitsandbytes' factor of rows in 8 bits.
constexpr float kOneOf127 = 7.874015718698502e-3f;

using Half16 = uint16_t __attribute__((vector_size(32)));
using Half8 = uint16_t __attribute__((vector_size(16)));

// out (rows, outputs) from x (rows, width) and weight (outputs, width) in float32, as its bits in bfloat16, or in 8 bits with a factor
// for each output.
template <typename Weight>
struct Skinny {
  float* out;
  const float* x;
  const Weight* weight;
  int64_t rows, outputs, width;
  const float* factors = nullptr;  // (outputs) of a weight in 8 bits
  int64_t first = 0, end = 0;      // the part of the width that is summed up
  const Weight** next = nullptr;   // weights that are needed after these, of which each tile fetches some and moves this on
};

// As many floats as fit V, of which the first `count` are read and the rest are zero.
template <typename V>
PREFTUNE_INLINE V floatsAt(const float* from, size_t count = sizeof(V) / sizeof(float)) {
  V to = {};
  std::memcpy(&to, from, count * sizeof(float));
  return to;
}
template <typename V>
PREFTUNE_INLINE V floatsAt(const uint16_t* from, size_t count = sizeof(V) / sizeof(float)) {
  using Bits = std::conditional_t<sizeof(V) == 64, Half16, Half8>;
  using Wide = std::conditional_t<sizeof(V) == 64, uint32_t __attribute__((vector_size(64))), uint32_t __attribute__((vector_size(32)))>;
  Bits bits = {};
  std::memcpy(&bits, from, count * sizeof(uint16_t));
  const Wide wide = __builtin_convertvector(bits, Wide) << 16;  // bfloat16 is the upper half of a float
  V to;
  std::memcpy(&to, &wide, sizeof to);
  return to;
}

template <typename V>
PREFTUNE_INLINE V floatsAt(const int8_t* from, size_t count = sizeof(V) / sizeof(float)) {
  Ints<V> wide = {};
  for (size_t i = 0; i < count; ++i) wide[i] = from[i];
  return __builtin_convertvector(wide, V);
}

#if PREFTUNE_X86_LEVELS
// A weight in 8 bits where there is AVX2: GCC 12 makes ten instructions of what is one.
enum class Code : int8_t {};

template <typename V>
PREFTUNE_INLINE V floatsAt(const Code* from) {
  struct Codes {
    int8_t all[sizeof(V) / sizeof(float)];
  };
  Ints<V> wide;
  __asm__("vpmovsxbd %1, %0" : "=v"(wide) : "m"(*reinterpret_cast<const Codes*>(from)));
  return __builtin_convertvector(wide, V);
}
template <typename V>
PREFTUNE_INLINE V floatsAt(const Code* from, size_t count) {
  if (count == sizeof(V) / sizeof(float)) return floatsAt<V>(from);
  Code some[sizeof(V) / sizeof(float)] = {};
  std::memcpy(some, from, count);
  return floatsAt<V>(some);
}
#endif

PREFTUNE_INLINE float total(const Lanes& eight) {
  const Lanes four = eight + PREFTUNE_SHUFFLE(eight, eight, 4, 5, 6, 7, 0, 1, 2, 3);
  const Lanes two = four + PREFTUNE_SHUFFLE(four, four, 2, 3, 0, 1, 6, 7, 4, 5);
  return two[0] + two[1];
}
PREFTUNE_INLINE float total(const Sixteen& x) {
  Lanes low, high;
  std::memcpy(&low, &x, sizeof low);
  std::memcpy(&high, reinterpret_cast<const char*>(&x) + sizeof low, sizeof high);
  return total(low + high);
}

// The lanes of a that `fold` adds, then those of b: pairs of vectors are halved together, so that N sums take about N additions.
#define PREFTUNE_FOLD(a, b, low, high) (PREFTUNE_SHUFFLE(a, b, PREFTUNE_UNPACK low) + PREFTUNE_SHUFFLE(a, b, PREFTUNE_UNPACK high))
#define PREFTUNE_UNPACK(...) __VA_ARGS__

// to[i] = total(sum[i]), the same additions in the same order, for eight vectors together.
PREFTUNE_INLINE void totals(float* to, const Lanes* sum) {
  Lanes four[4], two[2];
  for (int i = 0; i < 4; ++i) four[i] = PREFTUNE_FOLD(sum[i], sum[i + 4], (0, 1, 2, 3, 8, 9, 10, 11), (4, 5, 6, 7, 12, 13, 14, 15));
  for (int i = 0; i < 2; ++i) two[i] = PREFTUNE_FOLD(four[2 * i], four[2 * i + 1], (0, 1, 8, 9, 4, 5, 12, 13), (2, 3, 10, 11, 6, 7, 14, 15));
  store(to, PREFTUNE_FOLD(two[0], two[1], (0, 2, 8, 10, 4, 6, 12, 14), (1, 3, 9, 11, 5, 7, 13, 15)));
}
PREFTUNE_INLINE void totals(float* to, const Sixteen* sum) {
  Lanes folded[8];
  for (int i = 0; i < 8; ++i) {
    Lanes low, high;
    std::memcpy(&low, &sum[i], sizeof low);
    std::memcpy(&high, reinterpret_cast<const char*>(&sum[i]) + sizeof low, sizeof high);
    folded[i] = low + high;
  }
  totals(to, folded);
}

// X rows of x with W rows of the weight: all sums stay in registers. Weights that are needed soon are on their way: from `ahead` on as
// many as the tile has columns, or the same of A rows.
template <typename V, int X, int W, int A, typename Weight>
PREFTUNE_INLINE void skinnyTile(const Skinny<Weight>& n, int64_t row, int64_t output, const Weight* ahead) {
  constexpr int64_t kStep = sizeof(V) / sizeof(float);
  constexpr int kSums = X * W, kTogether = kSums / 8 * 8;
  const float* x = n.x + row * n.width;
  const Weight* w = n.weight + output * n.width;
  V sum[kSums] = {};
  const auto add = PREFTUNE_EACH(int64_t k, size_t count) {
    V b[W];
    for (int j = 0; j < W; ++j) b[j] = floatsAt<V>(w + j * n.width + k, count);
    for (int i = 0; i < X; ++i) {
      V a = floatsAt<V>(x + i * n.width + k, count);
#if PREFTUNE_X86_LEVELS
      if constexpr (kStep == 16) __asm__("" : "+v"(a));  // one load for all W products
#endif
      for (int j = 0; j < W; ++j) sum[i * W + j] += a * b[j];
    }
  };
  int64_t k = n.first;
  for (; k + kStep <= n.end; k += kStep) {
    // into the second level cache, which can wait for more lines at once than the first
    for (int j = 0; j < A; ++j) __builtin_prefetch(ahead + j * n.width + (k - n.first), 0, 2);
    add(k, kStep);
  }
  if (k < n.end) add(k, static_cast<size_t>(n.end - k));
  float all[kSums];
  for (int i = 0; i < kTogether; i += 8) totals(all + i, sum + i);
  for (int i = kTogether; i < kSums; ++i) all[i] = total(sum[i]);
  for (int i = 0; i < X; ++i) {
    float* out = n.out + (row + i) * n.outputs + output;
    for (int j = 0; j < W; ++j) out[j] = (n.first == 0 ? 0.0f : out[j]) + all[i * W + j];
  }
}

// X rows of x at a time with the weight's rows [begin, end), while there are X of them from `row` on; returns the first that is left.
// Shared: each pass fetches a part of what is needed next, as the first alone would wait for memory while the others leave it idle.
// Else each tile fetches the one after next.
template <typename V, int X, int W, bool Shared = false, typename Weight>
PREFTUNE_INLINE int64_t skinnyRows(const Skinny<Weight>& n, int64_t row, int64_t begin, int64_t end) {
  const auto ahead = PREFTUNE_EACH(int64_t output) { return n.weight + output * n.width + n.first; };
  for (; row + X <= n.rows; row += X) {
    int64_t output = begin;
    for (; output + W <= end; output += W) {
      if constexpr (Shared) {
        skinnyTile<V, X, W, 1>(n, row, output, *n.next);
        *n.next += n.end - n.first;
      } else {
        skinnyTile<V, X, W, W>(n, row, output, ahead(output + 2 * W));
      }
    }
    for (; output < end; ++output) skinnyTile<V, X, 1, 1>(n, row, output, ahead(output + 2));
  }
  return row;
}

// All rows of x with the weight's rows [begin, end), which the caller chose small enough for the second-level cache. The tiles are
// as large as the registers allow: 32 of sixteen floats, or 16 of eight.
template <typename Weight>
PREFTUNE_INLINE void skinnyBlock16(const Skinny<Weight>& n, int64_t begin, int64_t end) {
  const bool isShared = n.next != nullptr && n.rows >= 3 * 8;  // three passes
  int64_t row = isShared ? skinnyRows<Sixteen, 8, 3, true>(n, 0, begin, end) : skinnyRows<Sixteen, 8, 3>(n, 0, begin, end);
  row = skinnyRows<Sixteen, 4, 6>(n, row, begin, end);
  row = skinnyRows<Sixteen, 2, 8>(n, row, begin, end);
  skinnyRows<Sixteen, 1, 8>(n, row, begin, end);
}
template <typename Weight>
PREFTUNE_INLINE void skinnyBlock8(const Skinny<Weight>& n, int64_t begin, int64_t end) {
  const bool isShared = n.next != nullptr && n.rows >= 3 * 4;  // three passes
  int64_t row = isShared ? skinnyRows<Lanes, 4, 3, true>(n, 0, begin, end) : skinnyRows<Lanes, 4, 3>(n, 0, begin, end);
  row = skinnyRows<Lanes, 2, 4>(n, row, begin, end);
  skinnyRows<Lanes, 1, 8>(n, row, begin, end);
}

#if PREFTUNE_X86_LEVELS
template <typename Weight>
PREFTUNE_LEVEL("x86-64-v4") void skinnyBlockV4(const Skinny<Weight>& n, int64_t begin, int64_t end) { skinnyBlock16(n, begin, end); }
template <typename Weight>
PREFTUNE_LEVEL("x86-64-v3") void skinnyBlockV3(const Skinny<Weight>& n, int64_t begin, int64_t end) { skinnyBlock8(n, begin, end); }
#endif

template <typename Weight>
void skinnyBlock(const Skinny<Weight>& n, int64_t begin, int64_t end) {
#if PREFTUNE_X86_LEVELS
  if constexpr (!std::is_same_v<Weight, int8_t>) {
    if (level() == Level::avx512) return skinnyBlockV4(n, begin, end);
    if (level() == Level::avx2) return skinnyBlockV3(n, begin, end);
  }
  if constexpr (!std::is_same_v<Weight, Code>)
#endif
    skinnyBlock8(n, begin, end);
}

// What fits the second and, eight rows at once, the first level cache.
constexpr int64_t kBlockFloats = 1 << 15, kPart = 768;

// body(n), part by part of the width: a sum is those of its parts, in order.
template <typename Weight, typename F>
void eachPart(Skinny<Weight> n, const F& body) {
  const int64_t parts = (n.width + kPart - 1) / kPart, part = ((n.width + parts - 1) / parts + 15) / 16 * 16;
  for (n.first = 0; n.first < n.width; n.first = n.end) {
    n.end = std::min(n.width, n.first + part);
    body(n);
  }
}

// A weight in 8 bits: outputs [begin, end) of rows [row, endRow) times their factors.
template <typename Weight>
void applyFactors(const Skinny<Weight>& n, int64_t row, int64_t endRow, int64_t begin, int64_t end) {
  if (n.factors == nullptr) return;
  for (; row < endRow; ++row) {
    float* const out = n.out + row * n.outputs + begin;
    rowWeigh(out, out, n.factors + begin, end - begin, kOneOf127);
  }
}

#if PREFTUNE_X86_LEVELS
template <typename V>
PREFTUNE_INLINE void widenCodes(float* out, const Code* codes, int64_t n) {
  constexpr int64_t kStep = sizeof(V) / sizeof(float);
  int64_t i = 0;
  const auto put = PREFTUNE_EACH(size_t count) {
    const V x = floatsAt<V>(codes + i, count);
    std::memcpy(out + i, &x, count * sizeof(float));
  };
  for (; i + kStep <= n; i += kStep) put(kStep);
  if (i < n) put(static_cast<size_t>(n - i));
}
PREFTUNE_LEVEL("x86-64-v4") void widenCodesV4(float* out, const Code* codes, int64_t n) { widenCodes<Sixteen>(out, codes, n); }
PREFTUNE_LEVEL("x86-64-v3") void widenCodesV3(float* out, const Code* codes, int64_t n) { widenCodes<Lanes>(out, codes, n); }
#endif

// From here on rows make it worth while to widen a block of a weight in 8 bits once, into `room`. The sums are the same.
constexpr int64_t kWidenRows = 9;

// Outputs [output, last), before those up to `end`.
template <typename Weight>
void skinnyOutputs(const Skinny<Weight>& n, int64_t output, int64_t last, int64_t end, std::vector<float>& room) {
#if PREFTUNE_X86_LEVELS
  if constexpr (std::is_same_v<Weight, Code>) {
    if (n.rows >= kWidenRows) {
      const int64_t numbers = (last - output) * n.width;
      room.resize(static_cast<size_t>(numbers));
      (level() == Level::avx512 ? widenCodesV4 : widenCodesV3)(room.data(), n.weight + output * n.width, numbers);
      const Skinny<float> wide{n.out + output, n.x, room.data(), n.rows, n.outputs, n.width};
      return eachPart(wide, [&](const Skinny<float>& part) { skinnyBlock(part, 0, last - output); });
    }
  }
#endif
  Skinny<Weight> some = n;
  const Weight* next = n.weight + last * n.width;
  if (last < end) some.next = &next;
  eachPart(some, [&](const Skinny<Weight>& part) { skinnyBlock(part, output, last); });
}

template <typename Weight>
void skinnyProductInto(const Skinny<Weight>& n) {
  const int64_t block = std::max<int64_t>(24, kBlockFloats / std::max<int64_t>(1, n.width) / 24 * 24);
  at::parallel_for(0, n.outputs, block, [&](int64_t begin, int64_t end) {
    std::vector<float> room;
    for (int64_t output = begin; output < end; output += block) {
      const int64_t last = std::min(end, output + block);
      skinnyOutputs(n, output, last, end, room);
      applyFactors(n, 0, n.rows, output, last);
    }
  });
}

bool isSkinnyType(at::ScalarType type) { return type == at::kFloat || type == at::kBFloat16; }

// Whether a (M, K) · b (K, N) is a product with the transpose of a contiguous matrix.
bool isWithTransposed(const at::Tensor& a, const at::Tensor& b) {
  return a.is_cpu() && isSkinnyType(a.scalar_type()) && b.scalar_type() == a.scalar_type() && a.dim() == 2 && b.dim() == 2 &&
         a.size(1) == b.size(0) && a.size(1) > 0 && b.stride(0) == 1 && b.stride(1) == b.size(0);
}

}  // namespace
}  // namespace preftune
