// x · Wᵀ for many rows of x, prompts say, on AVX2, with the sums of skinny-gemm.h to the bit. There the lanes of a vector are
// neighbours in a sum, which reads a weight in place but ends each sum across lanes. Here they are outputs: the weight is copied, a
// panel of outputs at a time, each lane of that sum is a separate chain, and the chains are added in the order in which `total`
// adds lanes. On AVX-512 this is slower than skinny-gemm.h (an Intel Xeon of family 6 model 207: 50 GFLOP/s for
// 80 at a width of 128, 93 for 126 at 384).
#pragma once

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "skinny-gemm.h"

namespace preftune {
namespace {

// Vectors of outputs in a panel, and rows of x with it at once: as many sums as there are registers for.
constexpr int kPanelVectors = 3, kPanelRows = 4;
constexpr int64_t kPanelOutputs = kPanelVectors * kLanes;

// Outputs [output, output + count) of a product.
struct Panel {
  float* weights;
  int64_t output, count;
};

// The i-th lane in the order in which `total` adds them: halves, then halves of these.
constexpr int64_t laneAt(int i) { return 4 * (i % 2) + 2 * (i / 2 % 2) + i / 4; }

// weights[(lane · steps + step) · kPanelOutputs + j], for part [n.first, n.end) of the width; zero where there is no such output.
template <typename Weight>
PREFTUNE_INLINE void copyPanel(const Skinny<Weight>& n, const Panel& panel) {
  const int64_t steps = (n.end - n.first + kLanes - 1) / kLanes;
  for (int64_t j = 0; j < kPanelOutputs; j += kLanes) {
    for (int64_t step = 0; step < steps; ++step) {
      const int64_t k = n.first + step * kLanes, count = std::clamp<int64_t>(panel.count - j, 0, kLanes);
      const Weight* const w = n.weight + (panel.output + j) * n.width + k;
      const auto width = static_cast<size_t>(std::min(kLanes, n.end - k));
      float rows[kLanes * kLanes] = {}, turned[kLanes * kLanes];
      if (width == kLanes) {
        for (int64_t i = 0; i < count; ++i) store(rows + i * kLanes, floatsAt<Lanes>(w + i * n.width));
      } else {
        for (int64_t i = 0; i < count; ++i) store(rows + i * kLanes, floatsAt<Lanes>(w + i * n.width, width));
      }
      transposeLanes(turned, kLanes, rows, kLanes);
      for (int64_t l = 0; l < kLanes; ++l) store(panel.weights + (l * steps + step) * kPanelOutputs + j, load(turned + l * kLanes));
    }
  }
}

// X rows of x with a panel. kept: sums of lanes that wait for those they are added to.
template <int X, typename Weight>
PREFTUNE_INLINE void tallTile(const Skinny<Weight>& n, const Panel& panel, int64_t row) {
  constexpr int kSums = X * kPanelVectors;
  const int64_t whole = (n.end - n.first) / kLanes, rest = (n.end - n.first) % kLanes, steps = whole + (rest > 0 ? 1 : 0);
  // what is left of the rows, and zeros; a condition in the sum would part its product from its addition, which round once together
  float ends[X * kLanes] = {};
  for (int i = 0; i < X; ++i)
    std::memcpy(ends + i * kLanes, n.x + (row + i) * n.width + n.first + whole * kLanes, static_cast<size_t>(rest) * sizeof(float));
  Lanes kept[4][kSums];
  int depth = 0;
  for (int place = 0; place < kLanes; ++place) {
    const int64_t lane = laneAt(place);
    const float* x = n.x + row * n.width + n.first + lane;
    const float* w = panel.weights + lane * steps * kPanelOutputs;
    Lanes sum[kSums] = {};
    const auto add = PREFTUNE_EACH(const auto& factor) {
      Lanes b[kPanelVectors];
      for (int j = 0; j < kPanelVectors; ++j) b[j] = load(w + j * kLanes);
      for (int i = 0; i < X; ++i)
        for (int j = 0; j < kPanelVectors; ++j) sum[i * kPanelVectors + j] += *factor(i) * b[j];
      w += kPanelOutputs;
    };
    for (int64_t step = 0; step < whole; ++step, x += kLanes) add(PREFTUNE_EACH(int i) { return x + i * n.width; });
    if (rest > 0) add(PREFTUNE_EACH(int i) { return ends + i * kLanes + lane; });
    if (place % 2 == 0) {
      for (int s = 0; s < kSums; ++s) kept[depth][s] = sum[s];
      ++depth;
      continue;
    }
    for (int s = 0; s < kSums; ++s) kept[depth - 1][s] += sum[s];
    for (int pair = place / 2; pair % 2 == 1; pair /= 2) {
      --depth;
      for (int s = 0; s < kSums; ++s) kept[depth - 1][s] += kept[depth][s];
    }
  }
  for (int i = 0; i < X; ++i) {
    float* const out = n.out + (row + i) * n.outputs + panel.output;
    for (int j = 0; j < kPanelVectors && j * kLanes < panel.count; ++j) {
      const auto some = static_cast<size_t>(std::min<int64_t>(kLanes, panel.count - j * kLanes));
      const Lanes before = n.first == 0 ? Lanes{} : floatsAt<Lanes>(out + j * kLanes, some);
      const Lanes all = before + kept[0][i * kPanelVectors + j];
      std::memcpy(out + j * kLanes, &all, some * sizeof(float));
    }
  }
}

// Rows [row, end) of x with a panel.
template <typename Weight>
PREFTUNE_INLINE void tallRows(const Skinny<Weight>& n, const Panel& panel, int64_t row, int64_t end) {
  copyPanel(n, panel);
  for (; row + kPanelRows <= end; row += kPanelRows) tallTile<kPanelRows>(n, panel, row);
  for (; row < end; ++row) tallTile<1>(n, panel, row);
}

#if PREFTUNE_X86_LEVELS
template <typename Weight>
PREFTUNE_LEVEL("x86-64-v3") void tallRowsV3(const Skinny<Weight>& n, const Panel& panel, int64_t row, int64_t end) { tallRows(n, panel, row, end); }

template <typename Weight>
void tallProductInto(const Skinny<Weight>& n) {
  if (n.rows == 0 || n.outputs == 0) return;
  const int64_t panels = (n.outputs + kPanelOutputs - 1) / kPanelOutputs, wanted = (2 * at::get_num_threads() + panels - 1) / panels;
  const int64_t shares = std::max<int64_t>(1, std::min(wanted, n.rows / kTallRows));
  at::parallel_for(0, panels * shares, 1, [&](int64_t begin, int64_t end) {
    std::vector<float> weights(static_cast<size_t>(kPanelOutputs * (kPart + kLanes)));
    for (int64_t task = begin; task < end; ++task) {
      const int64_t output = task / shares * kPanelOutputs, share = task % shares;
      const Panel panel{weights.data(), output, std::min(kPanelOutputs, n.outputs - output)};
      const int64_t row = n.rows * share / shares, last = n.rows * (share + 1) / shares;
      eachPart(n, [&](const Skinny<Weight>& part) { tallRowsV3(part, panel, row, last); });
      applyFactors(n, row, last, output, output + panel.count);
    }
  });
}
#endif

template <typename Weight>
void productInto(const Skinny<Weight>& n) {
#if PREFTUNE_X86_LEVELS
  if constexpr (!std::is_same_v<Weight, int8_t>) {
    if (level() == Level::avx2 && n.rows >= kTallRows) return tallProductInto(n);
  }
#endif
  skinnyProductInto(n);
}

// x (M, K) · Wᵀ for a weight (outputs, K), float32 whatever the types are: a row's sums are the same whatever M is.
template <typename Weight>
at::Tensor productWith(const at::Tensor& rows, const Weight* weight, int64_t outputs, const float* factors = nullptr) {
  const at::Tensor x = rows.to(at::kFloat).contiguous();
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
