// Products of few rows with a matrix whose rows are weights of outputs, x · Wᵀ, as decoding makes them: float32, CPU. The matrix
// is read once and where it lies, while a general product first copies it into another order. Each output is one sum in a fixed
// order, so a row's result does not depend on the rows beside it.
#pragma once

#include <ATen/ATen.h>
#include <ATen/CPUFunctions.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "rows.h"

#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__) && !defined(__clang__)
#define PREFTUNE_HAS_THIN 1
#else
#define PREFTUNE_HAS_THIN 0
#endif

namespace preftune {
namespace {

// From here on a general product is as fast.
constexpr int64_t kThinRows = 32;

#if PREFTUNE_HAS_THIN

using Sixteen = float __attribute__((vector_size(64)));

struct Thin {
  float* out;
  const float* x;
  const float* weight;
  int64_t rows, outputs, width;
  int64_t first, end;  // the part of the width that is summed up
};

PREFTUNE_INLINE Sixteen sixteen(const float* from) {
  Sixteen to;
  std::memcpy(&to, from, sizeof to);
  return to;
}

PREFTUNE_INLINE float total(const Sixteen& x) {
  Lanes low, high;
  std::memcpy(&low, &x, sizeof low);
  std::memcpy(&high, reinterpret_cast<const char*>(&x) + sizeof low, sizeof high);
  const Lanes eight = low + high;
  const Lanes four = eight + __builtin_shuffle(eight, IntLanes{4, 5, 6, 7, 0, 1, 2, 3});
  const Lanes two = four + __builtin_shuffle(four, IntLanes{2, 3, 0, 1, 6, 7, 4, 5});
  return two[0] + two[1];
}

// X rows of x with W rows of the weight: all sums stay in registers.
template <int X, int W>
PREFTUNE_INLINE void thinTile(const Thin& n, int64_t row, int64_t output) {
  const float *x = n.x + row * n.width, *w = n.weight + output * n.width;
  Sixteen sum[X][W] = {};
  const auto add = PREFTUNE_EACH(const auto& get, int64_t k) {
    Sixteen b[W];
    for (int j = 0; j < W; ++j) b[j] = get(w + j * n.width + k);
    for (int i = 0; i < X; ++i) {
      Sixteen a = get(x + i * n.width + k);
      __asm__("" : "+v"(a));  // one load for all W products
      for (int j = 0; j < W; ++j) sum[i][j] += a * b[j];
    }
  };
  int64_t k = n.first;
  for (; k + 16 <= n.end; k += 16) {
    // the next tile's weights are on their way from memory while this one is computed
    for (int j = 0; j < W; ++j) __builtin_prefetch(w + (W + j) * n.width + k);
    add(sixteen, k);
  }
  if (const size_t rest = static_cast<size_t>(n.end - k) * sizeof(float); rest > 0) {
    add(PREFTUNE_EACH(const float* from) {
      Sixteen to = {};
      std::memcpy(&to, from, rest);
      return to;
    }, k);
  }
  for (int i = 0; i < X; ++i) {
    float* out = n.out + (row + i) * n.outputs + output;
    for (int j = 0; j < W; ++j) out[j] = (n.first == 0 ? 0.0f : out[j]) + total(sum[i][j]);
  }
}

template <int X, int W>
PREFTUNE_INLINE void thinRows(const Thin& n, int64_t row, int64_t begin, int64_t end) {
  int64_t output = begin;
  for (; output + W <= end; output += W) thinTile<X, W>(n, row, output);
  for (; output < end; ++output) thinTile<X, 1>(n, row, output);
}

// All rows of x with the weight's rows [begin, end), which the caller chose small enough for the second-level cache.
PREFTUNE_INLINE void thinBlock(const Thin& n, int64_t begin, int64_t end) {
  int64_t row = 0;
  for (; row + 8 <= n.rows; row += 8) thinRows<8, 3>(n, row, begin, end);
  if (n.rows - row >= 4) {
    thinRows<4, 6>(n, row, begin, end);
    row += 4;
  }
  if (n.rows - row >= 2) {
    thinRows<2, 8>(n, row, begin, end);
    row += 2;
  }
  if (row < n.rows) thinRows<1, 8>(n, row, begin, end);
}

__attribute__((target("arch=x86-64-v4"), optimize("O3"))) void thinBlockV4(const Thin& n, int64_t begin, int64_t end) {
  thinBlock(n, begin, end);
}

bool canThin() {
  static const bool can = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw") &&
                          __builtin_cpu_supports("avx512dq");
  return can;
}

// out (M, N) = a (M, K) · b (K, N) where b is the transpose of a contiguous matrix.
bool isThin(const at::Tensor& a, const at::Tensor& b) {
  return a.scalar_type() == at::kFloat && b.scalar_type() == at::kFloat && a.dim() == 2 && b.dim() == 2 && a.size(1) == b.size(0) &&
         a.size(0) <= kThinRows && a.size(1) > 0 && a.is_contiguous() && b.stride(0) == 1 && b.stride(1) == b.size(0) && canThin();
}

at::Tensor thinProduct(const at::Tensor& a, const at::Tensor& b) {
  at::Tensor out = at::empty({a.size(0), b.size(1)}, a.options());
  constexpr int64_t kBlockFloats = 1 << 15, kPart = 640;  // what fits the second and, eight rows at once, the first level cache
  const Thin whole{out.mutable_data_ptr<float>(), a.const_data_ptr<float>(), b.const_data_ptr<float>(), a.size(0), b.size(1), a.size(1), 0, 0};
  const int64_t block = std::max<int64_t>(24, kBlockFloats / std::max<int64_t>(1, whole.width) / 24 * 24);
  at::parallel_for(0, whole.outputs, block, [&](int64_t begin, int64_t end) {
    for (int64_t output = begin; output < end; output += block) {
      Thin part = whole;
      do {
        part.first = part.end;
        part.end = std::min(whole.width, part.first + kPart);
        thinBlockV4(part, output, std::min(end, output + block));
      } while (part.end < whole.width);
    }
  });
  return out;
}

#else

bool isThin(const at::Tensor&, const at::Tensor&) { return false; }
at::Tensor thinProduct(const at::Tensor& a, const at::Tensor& b) { return at::cpu::mm(a, b); }

#endif

}  // namespace
}  // namespace preftune
