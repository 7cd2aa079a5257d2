// preftune::adamw_8bit_: AdamW whose two averages are held in 8 bits, in blocks of 256 numbers with their largest absolute value
// (Dettmers et al. 2022, arXiv:2110.02861). A block is made float32, updated and stored again while it is in the cache, so no float32
// average exists besides. Tensors on the CPU; elsewhere src/optim/adamw-8bit.ts does the same by torch's operators.
#pragma once

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/variable.h>
#include <torch/library.h>

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <vector>

#include "nearest-code.h"
#include "row-kernels.h"

namespace preftune {
namespace {

constexpr int64_t kStateBlock = 256;

// What an update needs of a tensor.
struct Adam8 {
  float* weight;
  const float* grad;
  uint8_t *average, *square;
  float *averageMost, *squareMost;
  int64_t numel;
  // of the step: learning rate over the first correction, root of the second, factor of the decay
  float size, root, decay;
};

struct Betas {
  Betas(double b1, double b2, double epsilon)
      : beta1(static_cast<float>(b1)), rest1(static_cast<float>(1 - b1)), beta2(static_cast<float>(b2)), rest2(static_cast<float>(1 - b2)),
        eps(static_cast<float>(epsilon)) {}
  float beta1, rest1, beta2, rest2, eps;
};

// The float with these bits.
inline float floatOf(int32_t bits) {
  float x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

// Updates n <= 256 numbers whose averages are given in float32; the averages' largest absolute values go to `most`, compared as bits,
// whose order is that of positive floats.
PREFTUNE_KERNEL(void, rowAdam, (float* __restrict weight, const float* __restrict grad, float* __restrict average, float* __restrict square,
                                float* __restrict most, int64_t n, float size, float root, float decay, const Betas& betas)) {
  const float beta1 = betas.beta1, rest1 = betas.rest1, beta2 = betas.beta2, rest2 = betas.rest2, eps = betas.eps;
  int32_t most1 = 0, most2 = 0;
  for (int64_t i = 0; i < n; ++i) {
    const float m = average[i] * beta1 + grad[i] * rest1, v = square[i] * beta2 + grad[i] * grad[i] * rest2;
    const auto m0 = static_cast<int32_t>(bitsOf(m) & 0x7FFFFFFFu), v0 = static_cast<int32_t>(bitsOf(v));
    most1 = m0 > most1 ? m0 : most1;
    most2 = v0 > most2 ? v0 : most2;
    average[i] = m;
    square[i] = v;
    weight[i] = weight[i] * decay - size * m / (std::sqrt(v) / root + eps);
  }
  most[0] = floatOf(most1);
  most[1] = floatOf(most2);
}

void updateBlock(const Adam8& of, int64_t block, const NearestCode& code1, const NearestCode& code2, const Betas& betas) {
  const int64_t from = block * kStateBlock, n = std::min(kStateBlock, of.numel - from);
  float average[kStateBlock], square[kStateBlock], most[2];
  uint8_t *stored1 = of.average + from, *stored2 = of.square + from;
  const float most1 = of.averageMost[block], most2 = of.squareMost[block];
  code1.load(average, stored1, most1, n);
  code2.load(square, stored2, most2, n);
  rowAdam(of.weight + from, of.grad + from, average, square, most, n, of.size, of.root, of.decay, betas);
  code1.store(stored1, average, blockInverse(most[0]), n);
  code2.store(stored2, square, blockInverse(most[1]), n);
  of.averageMost[block] = most[0];
  of.squareMost[block] = most[1];
}

template <typename T>
T* dataOf(const at::Tensor& tensor, at::ScalarType type, int64_t numel, const char* what) {
  TORCH_CHECK(tensor.is_cpu() && tensor.scalar_type() == type && tensor.is_contiguous() && tensor.numel() == numel, "expected ", what,
              " as ", numel, " contiguous numbers of ", type, " on the CPU, got ", tensor.toString(), " of shape ", tensor.sizes());
  return tensor.mutable_data_ptr<T>();
}

// The lists of a step hold as many entries as there are weights.
void requireLengths(at::TensorList weights, std::initializer_list<size_t> lengths) {
  for (const size_t length : lengths) TORCH_CHECK(length == weights.size(), "expected ", weights.size(), " entries, got ", length);
}

// The number of a step, a tensor () as AdamW keeps it.
double stepOf(const at::Tensor& held) {
  const double step = held.item<double>();
  TORCH_CHECK(step >= 1 && step <= 1e9, "expected the number of a step, got ", step);
  return step;
}

// The same step on each tensor: weights, gradients float32; state1, state2 uint8 of their shape; absmax1, absmax2 float32, one a block;
// steps () float32, this one counted.
void adamw8bit(at::TensorList weights, at::TensorList grads, at::TensorList state1, at::TensorList absmax1, at::TensorList state2,
               at::TensorList absmax2, at::TensorList steps, const at::Tensor& code1, const at::Tensor& code2, double lr, double beta1,
               double beta2, double weightDecay, double eps) {
  requireLengths(weights, {grads.size(), state1.size(), absmax1.size(), state2.size(), absmax2.size(), steps.size()});
  const NearestCode nearest1(code1), nearest2(code2);
  const Betas betas(beta1, beta2, eps);
  for (size_t t = 0; t < weights.size(); ++t) {
    const int64_t n = weights[t].numel(), blocks = (n + kStateBlock - 1) / kStateBlock;
    const at::Tensor grad = grads[t].contiguous();
    const double step = stepOf(steps[t]);
    Adam8 of;
    of.weight = dataOf<float>(weights[t], at::kFloat, n, "a weight");
    of.grad = dataOf<float>(grad, at::kFloat, n, "a gradient");
    of.average = dataOf<uint8_t>(state1[t], at::kByte, n, "an average");
    of.square = dataOf<uint8_t>(state2[t], at::kByte, n, "an average of squares");
    of.averageMost = dataOf<float>(absmax1[t], at::kFloat, blocks, "the blocks' largest values");
    of.squareMost = dataOf<float>(absmax2[t], at::kFloat, blocks, "the blocks' largest squares");
    of.numel = n;
    of.size = static_cast<float>(lr / (1 - std::pow(beta1, step)));
    of.root = static_cast<float>(std::sqrt(1 - std::pow(beta2, step)));
    of.decay = static_cast<float>(1 - lr * weightDecay);
    at::parallel_for(0, blocks, 64, [&](int64_t begin, int64_t end) {
      for (int64_t b = begin; b < end; ++b) updateBlock(of, b, nearest1, nearest2, betas);
    });
    // copies of the weight in half precision are recognised as stale by this
    torch::autograd::impl::bump_version(weights[t]);
  }
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(preftune, m) {
  m.def(
      "adamw_8bit_(Tensor(a!)[] self, Tensor[] grads, Tensor(b!)[] state1, Tensor(c!)[] absmax1, Tensor(d!)[] state2, "
      "Tensor(e!)[] absmax2, Tensor[] state_steps, Tensor code1, Tensor code2, *, float lr, float beta1, float beta2, "
      "float weight_decay, float eps) -> ()",
      adamw8bit);
}

}  // namespace preftune
