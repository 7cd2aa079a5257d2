// preftune::adamw_bf16_: AdamW whose two averages are held in bfloat16. A step changes an average by less than bfloat16 can show: rounded to
// the nearest it would stand still. So it is rounded up or down at random, with the probability that keeps its mean; the random bits
// are a function of tensor, step and place, so that a resumed run draws the same. A kernel on the CPU, torch's operators elsewhere.
#pragma once

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/variable.h>
#include <torch/library.h>

#include <cmath>

#include "adamw-8bit.h"

namespace preftune {
namespace {

// A step of one tensor: its size, the root of the second correction, the factor of the decay, and the key of its random bits.
struct StepBf16 {
  StepBf16(double step, int64_t tensor, double lr, double beta1, double beta2, double weightDecay)
      : size(static_cast<float>(lr / (1 - std::pow(beta1, step)))), root(static_cast<float>(std::sqrt(1 - std::pow(beta2, step)))),
        decay(static_cast<float>(1 - lr * weightDecay)), key(static_cast<uint32_t>(step) * kStepFactor ^ keyOf(tensor)) {}
  static uint32_t keyOf(int64_t tensor) { return static_cast<uint32_t>(tensor) * 0x85EBCA6Bu; }
  static constexpr uint32_t kStepFactor = 0x9E3779B9u;
  float size, root, decay;
  uint32_t key;
};

// Mixes 32 bits so that each of them depends on all (C. Wellons, "lowbias32").
PREFTUNE_INLINE uint32_t mixed(uint32_t x) {
  x ^= x >> 16;
  x *= 0x7FEB352Du;
  x ^= x >> 15;
  x *= 0x846CA68Bu;
  return x ^ (x >> 16);
}

// The upper 16 bits after `random`, of 16 bits, was added to the lower ones; what is not finite stays so.
PREFTUNE_INLINE uint16_t roundedBits(float x, uint32_t random) {
  const uint32_t bits = bitsOf(x), most = bits & 0x7F800000u;
  return static_cast<uint16_t>((most == 0x7F800000u ? bits : bits + random) >> 16);
}

PREFTUNE_KERNEL(void, rowAdamBf16, (float* __restrict weight, const float* __restrict grad, uint16_t* __restrict average,
                                    uint16_t* __restrict square, int64_t begin, int64_t end, float size, float root, float decay, uint32_t key,
                                    const Betas& betas)) {
  const float beta1 = betas.beta1, rest1 = betas.rest1, beta2 = betas.beta2, rest2 = betas.rest2, eps = betas.eps;
  for (int64_t i = begin; i < end; ++i) {
    const float m0 = floatOf(static_cast<int32_t>(static_cast<uint32_t>(average[i]) << 16));
    const float v0 = floatOf(static_cast<int32_t>(static_cast<uint32_t>(square[i]) << 16));
    const float m = m0 * beta1 + grad[i] * rest1, v = v0 * beta2 + grad[i] * grad[i] * rest2;
    weight[i] = weight[i] * decay - size * m / (std::sqrt(v) / root + eps);
    const uint32_t random = mixed(static_cast<uint32_t>(i) ^ key);
    average[i] = roundedBits(m, random & 0xFFFFu);
    square[i] = roundedBits(v, random >> 16);
  }
}

constexpr int64_t kBits32 = 0xFFFFFFFF;

// The random bits of the places from begin to end, as int64. key: () int64
at::Tensor randomBits(int64_t begin, int64_t end, const at::Tensor& key) {
  const auto fold = [](const at::Tensor& x, int64_t by) { return x.bitwise_xor_(at::bitwise_right_shift(x, by)); };
  const auto times = [](const at::Tensor& x, int64_t factor) { return x.mul_(factor).bitwise_and_(kBits32); };
  at::Tensor x = at::arange(begin, end, key.options()).bitwise_and_(kBits32).bitwise_xor_(key);
  x = times(fold(x, 16), 0x7FEB352D);
  x = times(fold(x, 15), 0x846CA68B);
  return fold(x, 16);
}

at::Tensor roundedAtRandom(const at::Tensor& x, const at::Tensor& random) {
  const at::Tensor moved = random.to(at::kInt).add_(x.view(at::kInt)).bitwise_and_(static_cast<int64_t>(-65536)).view(at::kFloat);
  return at::where(x.isfinite(), moved, x).to(at::kBFloat16);
}

// One tensor's step, of the hyperparameters of the kernel below.
struct PlainBf16 {
  const at::Tensor &weight, &grad, &average, &square, &step;
  int64_t tensor;
};

// The same by torch's operators; the computer does not wait for the device. So many numbers at a time: what it takes beside the state is of their size.
void plainBf16(const PlainBf16& of, double lr, double beta1, double beta2, double weightDecay, double eps,
               const std::optional<at::Tensor>& skipped, int64_t stretch) {
  // 1 - beta^t without losing its digits in float32
  const auto correction = [&](double beta) { return of.step.mul(std::log(beta)).expm1().neg(); };
  const at::Tensor first = correction(beta1), root = correction(beta2).sqrt();
  const at::Tensor turns = of.step.to(at::kLong).mul(static_cast<int64_t>(StepBf16::kStepFactor)).bitwise_and(kBits32);
  const at::Tensor key = turns.bitwise_xor(static_cast<int64_t>(StepBf16::keyOf(of.tensor)));
  const int64_t n = of.weight.numel();
  for (int64_t begin = 0; begin < n; begin += stretch) {
    const int64_t end = std::min(begin + stretch, n);
    const auto part = [&](const at::Tensor& whole) { return whole.view(-1).narrow(0, begin, end - begin); };
    const at::Tensor weight = part(of.weight), grad = part(of.grad), average = part(of.average), square = part(of.square);
    const auto put = [&](const at::Tensor& old, const at::Tensor& made) {
      old.copy_(skipped.has_value() ? at::where(skipped->eq(1), old, made) : made);
    };
    const at::Tensor m = average.to(at::kFloat).mul_(beta1).add_(grad.mul(1 - beta1));
    const at::Tensor v = square.to(at::kFloat).mul_(beta2).add_(grad.mul(grad).mul_(1 - beta2));
    {
      const at::Tensor divisor = v.sqrt().div_(root).add_(eps).mul_(first);
      put(weight, weight.mul(1 - lr * weightDecay).sub_(m.mul(lr).div_(divisor)));
    }
    const at::Tensor random = randomBits(begin, end, key);
    put(average, roundedAtRandom(m, random.bitwise_and(0xFFFF)));
    put(square, roundedAtRandom(v, at::bitwise_right_shift(random, 16)));
  }
}

// weights, gradients float32; averages bfloat16 of their shape; steps () float32, this one counted; tensors: a number of each tensor
void adamwBf16(at::TensorList weights, at::TensorList grads, at::TensorList averages, at::TensorList squares, at::TensorList steps,
               at::IntArrayRef tensors, double lr, double beta1, double beta2, double weightDecay, double eps,
               const std::optional<at::Tensor>& foundInf, bool plain, int64_t stretch) {
  requireLengths(weights, {grads.size(), averages.size(), squares.size(), steps.size(), tensors.size()});
  TORCH_CHECK(stretch > 0, "expected a stretch of a number at least, got ", stretch);
  at::NoGradGuard guard;
  const Betas betas(beta1, beta2, eps);
  for (size_t t = 0; t < weights.size(); ++t) {
    const at::Tensor grad = grads[t].contiguous();
    if (plain || !weights[t].is_cpu()) {
      plainBf16({weights[t], grad, averages[t], squares[t], steps[t], tensors[t]}, lr, beta1, beta2, weightDecay, eps, foundInf,
                stretch);
      continue;
    }
    if (foundInf.has_value() && foundInf->item<double>() != 0) continue;
    const StepBf16 step(stepOf(steps[t]), tensors[t], lr, beta1, beta2, weightDecay);
    const int64_t n = weights[t].numel();
    auto* weight = dataOf<float>(weights[t], at::kFloat, n, "a weight");
    const auto* from = dataOf<float>(grad, at::kFloat, n, "a gradient");
    auto* average = reinterpret_cast<uint16_t*>(dataOf<at::BFloat16>(averages[t], at::kBFloat16, n, "an average"));
    auto* square = reinterpret_cast<uint16_t*>(dataOf<at::BFloat16>(squares[t], at::kBFloat16, n, "an average of squares"));
    at::parallel_for(0, n, 1 << 15, [&](int64_t begin, int64_t end) {
      rowAdamBf16(weight, from, average, square, begin, end, step.size, step.root, step.decay, step.key, betas);
    });
    // copies of the weight in half precision are recognised as stale by this
    torch::autograd::impl::bump_version(weights[t]);
  }
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(preftune, m) {
  m.def(
      "adamw_bf16_(Tensor(a!)[] self, Tensor[] grads, Tensor(b!)[] exp_avgs, Tensor(c!)[] exp_avg_sqs, Tensor[] state_steps, "
      "int[] tensors, *, float lr, float beta1, float beta2, float weight_decay, float eps, Tensor? found_inf=None, bool plain=False, int stretch=4194304) "
      "-> ()",
      adamwBf16);
}

}  // namespace preftune
