// x · Wᵀ for many rows of x, prompts say, with the sums of skinny-gemm.h to the bit. There the lanes of a vector are neighbours in a sum,
// which reads a weight in place but ends each sum across lanes. Here they are outputs: the weight is copied, a panel of outputs at a time,
// each lane of that sum is a separate chain, and the chains are added in the order in which `total` adds lanes.
#pragma once

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>

#include "in-type.h"
#include "skinny-gemm.h"

namespace preftune {
namespace {

#if PREFTUNE_X86_LEVELS
// A loop over the sums of a tile: only when every one has a name does the compiler keep them in registers.
#define PREFTUNE_UNROLLED _Pragma("GCC unroll 32") for

template <typename V>
constexpr int64_t kLanesOf = sizeof(V) / sizeof(float);
// Vectors of outputs in a panel, and rows of x with it at once: as many sums as there are registers for.
constexpr int kPanelVectors = 3;
template <typename V>
constexpr int kPanelRows = kLanesOf<V> / 2;
template <typename V>
constexpr int kPairings = kLanesOf<V> == 16 ? 4 : 3;

// At least so many rows a thread, where one panel is for several.
constexpr int64_t kShareRows = 64;

// The i-th lane in the order in which `total` adds them: halves, then halves of these.
template <typename V>
constexpr int64_t laneAt(int64_t i) {
  int64_t lane = 0;
  for (int64_t bit = kLanesOf<V>; bit > 1; bit /= 2, i /= 2) lane = 2 * lane + i % 2;
  return lane;
}

// Steps of a tile between two fetches: many at once would keep the panel from being read.
constexpr int64_t kFetchSteps = 8;

// What is copied next, which tiles fetch into the second level cache, some lines at a time.
struct Ahead {
  const char *at = nullptr, *end = nullptr;
  int64_t bytes = 0;  // each time, whole lines

  // Whether more are left.
  PREFTUNE_INLINE bool fetch() {
    for (const char* const until = std::min(end, at + bytes); at < until; at += kLine) __builtin_prefetch(at, 0, 2);
    return at < end;
  }

  static constexpr int64_t kLine = 64;
};

// A part [first, end) of the width of a product, for the outputs [output, output + count): `panel` is a copy of these rows of the weight.
struct Tall {
  float* out;
  const float* x;
  float* panel;
  int64_t outputs, width, first, end, output, count;
  Ahead* ahead;
};

template <typename V>
PREFTUNE_INLINE int64_t stepsOf(const Tall& n) {
  return (n.end - n.first + kLanesOf<V> - 1) / kLanesOf<V>;
}

// Transposes 16 × 16 floats: neighbours, then pairs, then quarters change places, twice.
PREFTUNE_INLINE void transposeSixteen(float* to, int64_t strideTo, const float* from, int64_t strideFrom) {
  Sixteen rows[16], mixed[16];
  const auto evenQuarters = PREFTUNE_EACH(const Sixteen& a, const Sixteen& b) {
    return PREFTUNE_SHUFFLE(a, b, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27);
  };
  const auto oddQuarters = PREFTUNE_EACH(const Sixteen& a, const Sixteen& b) {
    return PREFTUNE_SHUFFLE(a, b, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31);
  };
  PREFTUNE_UNROLLED(int i = 0; i < 16; ++i) rows[i] = floatsAt<Sixteen>(from + i * strideFrom);
  PREFTUNE_UNROLLED(int i = 0; i < 16; i += 2) {
    mixed[i] = PREFTUNE_SHUFFLE(rows[i], rows[i + 1], 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29);
    mixed[i + 1] = PREFTUNE_SHUFFLE(rows[i], rows[i + 1], 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31);
  }
  PREFTUNE_UNROLLED(int i = 0; i < 16; i += 4) {
    PREFTUNE_UNROLLED(int j = 0; j < 2; ++j) {
      const Sixteen &a = mixed[i + j], &b = mixed[i + 2 + j];
      rows[i + 2 * j] = PREFTUNE_SHUFFLE(a, b, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29);
      rows[i + 2 * j + 1] = PREFTUNE_SHUFFLE(a, b, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31);
    }
  }
  // rows[4 g + c]: of rows 4 g to 4 g + 3 the columns c, c + 4, c + 8, c + 12
  PREFTUNE_UNROLLED(int c = 0; c < 4; ++c) {
    const Sixteen even = evenQuarters(rows[c], rows[4 + c]), laterEven = evenQuarters(rows[8 + c], rows[12 + c]);
    const Sixteen odd = oddQuarters(rows[c], rows[4 + c]), laterOdd = oddQuarters(rows[8 + c], rows[12 + c]);
    const Sixteen columns[4] = {evenQuarters(even, laterEven), evenQuarters(odd, laterOdd), oddQuarters(even, laterEven), oddQuarters(odd, laterOdd)};
    PREFTUNE_UNROLLED(int q = 0; q < 4; ++q) std::memcpy(to + (4 * q + c) * strideTo, &columns[q], sizeof(Sixteen));
  }
}

// As many rows as lanes, as many columns from k on, turned: to[l * stride] for the l-th column. Zero where there are none.
template <typename V, typename Number>
PREFTUNE_INLINE void turn(float* to, int64_t stride, const Tall& n, const Number* from, int64_t count, int64_t k) {
  constexpr int64_t kStep = kLanesOf<V>;
  const auto turned = PREFTUNE_EACH(const float* rows, int64_t width) {
    if constexpr (kStep == kLanes) transposeLanes(to, stride, rows, width);
    else transposeSixteen(to, stride, rows, width);
  };
  const bool isWhole = k + kStep <= n.end && count >= kStep;
  if constexpr (std::is_same_v<Number, float>) {
    if (isWhole) return turned(from + k, n.width);
  }
  float rows[kStep * kStep] = {};
  const auto copy = PREFTUNE_EACH(int64_t height, size_t width) {
    for (int64_t i = 0; i < height; ++i) {
      const V x = floatsAt<V>(from + i * n.width + k, width);
      std::memcpy(rows + i * kStep, &x, sizeof x);
    }
  };
  if (isWhole) copy(kStep, static_cast<size_t>(kStep));
  else copy(std::min(count, kStep), static_cast<size_t>(std::min(n.end - k, kStep)));
  turned(rows, kStep);
}

// panel[(lane · steps + step) · outputs + j], outputs a multiple of the lanes
template <typename V, typename Weight>
PREFTUNE_INLINE void copyPanel(const Tall& n, const Weight* weight) {
  constexpr int64_t kStep = kLanesOf<V>;
  const int64_t steps = stepsOf<V>(n), outputs = (n.count + kStep - 1) / kStep * kStep;
  for (int64_t j = 0; j < n.count; j += kStep) {
    for (int64_t step = 0; step < steps; ++step)
      turn<V>(n.panel + step * outputs + j, steps * outputs, n, weight + (n.output + j) * n.width, n.count - j, n.first + step * kStep);
  }
}

// The sums of a row for a vector of outputs, `some` of them wanted.
template <typename V>
PREFTUNE_INLINE void putSums(float* out, const V& sums, int64_t some, bool isFirst) {
  const auto put = PREFTUNE_EACH(size_t count) {
    const V all = (isFirst ? V{} : floatsAt<V>(out, count)) + sums;
    std::memcpy(out, &all, count * sizeof(float));
  };
  if (some >= kLanesOf<V>) return put(static_cast<size_t>(kLanesOf<V>));
  put(static_cast<size_t>(some));
}

// What is left of X rows behind their whole vectors, and zeros; a condition in the sum would part its product from its addition, which
// round once together.
template <typename V, int X>
PREFTUNE_INLINE int64_t copyEnds(float* to, const Tall& n, int64_t row) {
  const int64_t rest = (n.end - n.first) % kLanesOf<V>;
  if (rest == 0) return 0;
  std::memset(to, 0, sizeof(V) * X);
  for (int64_t i = 0; i < X; ++i)
    std::memcpy(to + i * kLanesOf<V>, n.x + (row + i) * n.width + n.end - rest, static_cast<size_t>(rest) * sizeof(float));
  return 1;
}

// X rows of x with a panel of Y vectors.
template <typename V, int X, int Y>
PREFTUNE_INLINE void tallTile(const Tall& n, int64_t row) {
  constexpr int kSums = X * Y;
  constexpr int64_t kStep = kLanesOf<V>;
  float ends[X * kStep];
  const int64_t steps = stepsOf<V>(n), hasEnds = copyEnds<V, X>(ends, n, row);
  V kept[kPairings<V> + 1][kSums], sum[kSums];  // kept: sums of lanes that wait for those they are added to
  for (int64_t place = 0; place < kStep; ++place) {
    const int64_t lane = laneAt<V>(place);
    const float *x = n.x + row * n.width + n.first + lane, *w = n.panel + lane * steps * Y * kStep;
    int64_t left = steps - hasEnds, stride = n.width;
    PREFTUNE_UNROLLED(int s = 0; s < kSums; ++s) sum[s] = V{};
    // one loop for whole vectors and what is behind them
    for (int kind = 0; kind < 2; ++kind, x = ends + lane, stride = kStep, left = hasEnds) {
      while (left > 0) {
        const int64_t until = n.ahead->fetch() ? std::max<int64_t>(0, left - kFetchSteps) : 0;
        for (; left > until; --left, x += kStep, w += Y * kStep) {
          V b[Y];
          PREFTUNE_UNROLLED(int j = 0; j < Y; ++j) b[j] = floatsAt<V>(w + j * kStep);
          PREFTUNE_UNROLLED(int i = 0; i < X; ++i) {
            V a = x[i * stride] - V{};
            __asm__("" : "+v"(a));  // one load for all products
            PREFTUNE_UNROLLED(int j = 0; j < Y; ++j) sum[i * Y + j] += a * b[j];
          }
        }
      }
    }
    int depth = 0;
    for (int64_t pair = place; pair % 2 == 1; pair /= 2, ++depth) {
      PREFTUNE_UNROLLED(int s = 0; s < kSums; ++s) sum[s] = kept[depth][s] + sum[s];
    }
    PREFTUNE_UNROLLED(int s = 0; s < kSums; ++s) kept[depth][s] = sum[s];
  }
  const V* const sums = kept[kPairings<V>];
  for (int64_t i = 0; i < X; ++i) {
    float* const out = n.out + (row + i) * n.outputs + n.output;
    for (int64_t j = 0; j < Y; ++j) putSums(out + j * kStep, sums[i * Y + j], n.count - j * kStep, n.first == 0);
  }
}

// Kept apart: beside other code the compiler finds no registers for all sums.
template <int X, int Y>
PREFTUNE_LEVEL("x86-64-v4") __attribute__((noinline)) void tallTileV4(const Tall& n, int64_t row) { tallTile<Sixteen, X, Y>(n, row); }
template <int X, int Y>
PREFTUNE_LEVEL("x86-64-v3") __attribute__((noinline)) void tallTileV3(const Tall& n, int64_t row) { tallTile<Lanes, X, Y>(n, row); }

// Rows [row, end), X at a time, then half as many.
template <typename V, int X, int Y>
void tallRows(const Tall& n, int64_t row, int64_t end) {
  for (; row + X <= end; row += X) (kLanesOf<V> == kLanes ? tallTileV3<X, Y> : tallTileV4<X, Y>)(n, row);
  if constexpr (X > 1) tallRows<V, X / 2, Y>(n, row, end);
}
template <typename V>
void tallPanel(const Tall& n, int64_t row, int64_t end) {
  if (n.count > 2 * kLanesOf<V>) return tallRows<V, kPanelRows<V>, 3>(n, row, end);
  if (n.count > kLanesOf<V>) return tallRows<V, kPanelRows<V>, 2>(n, row, end);
  tallRows<V, kPanelRows<V>, 1>(n, row, end);
}

template <typename Weight>
PREFTUNE_LEVEL("x86-64-v4") void copyPanelV4(const Tall& n, const Weight* weight) { copyPanel<Sixteen>(n, weight); }
template <typename Weight>
PREFTUNE_LEVEL("x86-64-v3") void copyPanelV3(const Tall& n, const Weight* weight) { copyPanel<Lanes>(n, weight); }

// Whether copying the weight pays; short sums end more often.
bool isTall(int64_t rows, int64_t width) {
  if (level() == Level::avx512) return rows >= (width < 256 ? 16 : width < 512 ? 48 : 64);
  return level() == Level::avx2 && rows >= (width < 512 ? 20 : 48);
}

// Of a weight whose rows are copied whole the next panel, in so many times. Of longer ones the processor itself fetches the next part.
template <typename Weight>
Ahead aheadOf(const Skinny<Weight>& part, int64_t output, int64_t count, int64_t times) {
  if (part.end - part.first < part.width) return {};
  const char* const after = reinterpret_cast<const char*>(part.weight + (output + count) * part.width);
  const int64_t rows = std::min(count, part.outputs - output - count), bytes = rows * part.width * static_cast<int64_t>(sizeof(Weight));
  return {after, after + bytes, (bytes / times / Ahead::kLine + 1) * Ahead::kLine};
}

template <typename Weight>
void tallProductInto(const Skinny<Weight>& n) {
  if (n.rows == 0 || n.outputs == 0) return;
  const bool isWide = level() == Level::avx512;
  const int64_t lanes = isWide ? kLanesOf<Sixteen> : kLanesOf<Lanes>, most = kPanelVectors * lanes;
  const int64_t panels = (n.outputs + most - 1) / most, wanted = (2 * at::get_num_threads() + panels - 1) / panels;
  const int64_t shares = std::max<int64_t>(1, std::min(wanted, n.rows / kShareRows));
  at::parallel_for(0, panels * shares, 1, [&](int64_t begin, int64_t end) {
    // aligned, and not filled
    const std::unique_ptr<Sixteen[]> room(new Sixteen[static_cast<size_t>(most * (std::min(kPart, n.width) + lanes) / kLanesOf<Sixteen>)]);
    for (int64_t task = begin; task < end; ++task) {
      const int64_t output = task / shares * most, count = std::min(most, n.outputs - output), share = task % shares;
      const int64_t row = n.rows * share / shares, last = n.rows * (share + 1) / shares;
      eachPart(n, [&](const Skinny<Weight>& part) {
        // a tile has a chain for each lane, and half as many rows
        const int64_t chain = lanes * kFetchSteps, times = 2 * std::max<int64_t>(1, last - row) * ((part.end - part.first + chain - 1) / chain);
        Ahead ahead = aheadOf(part, output, count, times);
        const Tall some{n.out, n.x, reinterpret_cast<float*>(room.get()), n.outputs, n.width, part.first, part.end, output, count, &ahead};
        (isWide ? copyPanelV4<Weight> : copyPanelV3<Weight>)(some, n.weight);
        (isWide ? tallPanel<Sixteen> : tallPanel<Lanes>)(some, row, last);
      });
      applyFactors(n, row, last, output, output + count);
    }
  });
}
#undef PREFTUNE_UNROLLED
#endif

template <typename Weight>
void productInto(const Skinny<Weight>& n) {
#if PREFTUNE_X86_LEVELS
  if constexpr (!std::is_same_v<Weight, int8_t>) {
    if (isTall(n.rows, n.width)) return tallProductInto(n);
  }
#endif
  skinnyProductInto(n);
}

// x (M, K) · Wᵀ for a weight (outputs, K), float32 whatever the types are: a row's sums are the same whatever M is.
template <typename Weight>
at::Tensor productWith(const at::Tensor& rows, const Weight* weight, int64_t outputs, const float* factors = nullptr) {
  const at::Tensor x = inFloat(rows);
  at::Tensor out = at::empty({x.size(0), outputs}, x.options());
  productInto(Skinny<Weight>{out.mutable_data_ptr<float>(), x.const_data_ptr<float>(), weight, x.size(0), outputs, x.size(1), factors});
  return out;
}

// a (M, K) · b (K, N) where b is the transpose of a contiguous matrix.
at::Tensor productOfRows(const at::Tensor& a, const at::Tensor& b) {
  if (b.scalar_type() == at::kFloat) return productWith(a, b.const_data_ptr<float>(), b.size(1));
  return productWith(a, reinterpret_cast<const uint16_t*>(b.const_data_ptr<at::BFloat16>()), b.size(1));
}

}  // namespace
}  // namespace preftune
