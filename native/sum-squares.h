// preftune::sum_squares: Σ x² over all numbers of some tensors, in float64 whatever their type, for the norm of a gradient. torch's
// norm of a float32 tensor adds up in float32, and over millions of numbers comes out too small in the fourth digit. On the CPU
// nothing is copied; elsewhere a part of a tensor at a time. MPS has no float64: sums of sums of 256 there.
#pragma once

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/library.h>

#include <algorithm>
#include <numeric>
#include <vector>

#include "in-type.h"
#include "row-kernels.h"

namespace preftune {
namespace {

using DoubleLanes = double __attribute__((vector_size(64)));

PREFTUNE_KERNEL(double, rowSquares, (const float* row, int64_t n)) {
  DoubleLanes sum = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const DoubleLanes x = __builtin_convertvector(load(row + i), DoubleLanes);
    sum += x * x;
  }
  double total = 0;
  for (int64_t l = 0; l < kLanes; ++l) total += sum[l];
  for (; i < n; ++i) total += static_cast<double>(row[i]) * row[i];
  return total;
}

// A block's numbers as float32: its own, or converted into `room`.
const float* asFloats(const float* from, float*, int64_t) { return from; }
const float* asFloats(const at::BFloat16* from, float* room, int64_t n) {
  rowWiden(room, reinterpret_cast<const uint16_t*>(from), n);
  return room;
}
const float* asFloats(const at::Half* from, float* room, int64_t n) {
  for (int64_t i = 0; i < n; ++i) room[i] = static_cast<float>(from[i]);
  return room;
}

// Block by block, so that the result does not depend on the threads.
template <typename T>
double sumSquaresOnHost(const T* from, int64_t n) {
  constexpr int64_t kBlockNumbers = 4096;
  const int64_t blocks = (n + kBlockNumbers - 1) / kBlockNumbers;
  std::vector<double> sums(static_cast<size_t>(blocks));
  at::parallel_for(0, blocks, 16, [&](int64_t begin, int64_t end) {
    float room[kBlockNumbers];
    for (int64_t b = begin; b < end; ++b) {
      const int64_t count = std::min(kBlockNumbers, n - b * kBlockNumbers);
      sums[static_cast<size_t>(b)] = rowSquares(asFloats(from + b * kBlockNumbers, room, count), count);
    }
  });
  return std::accumulate(sums.begin(), sums.end(), 0.0);
}

double sumSquaresOnHost(const at::Tensor& x) {
  const at::Tensor flat = x.contiguous();
  switch (x.scalar_type()) {
    case at::kFloat: return sumSquaresOnHost(flat.const_data_ptr<float>(), flat.numel());
    case at::kBFloat16: return sumSquaresOnHost(flat.const_data_ptr<at::BFloat16>(), flat.numel());
    case at::kHalf: return sumSquaresOnHost(flat.const_data_ptr<at::Half>(), flat.numel());
    default: return flat.to(at::kDouble).square().sum().item<double>();
  }
}

at::Tensor pairwiseSquares(const at::Tensor& flat) {
  constexpr int64_t kWidth = 256;
  at::Tensor sums = flat.to(at::kFloat).square();
  while (sums.numel() > 1) {
    const int64_t missing = (kWidth - sums.numel() % kWidth) % kWidth;
    sums = at::constant_pad_nd(sums, {0, missing}).view({-1, kWidth}).sum(1);
  }
  return sums.sum();
}

// () on the tensor's device
at::Tensor sumSquaresOf(const at::Tensor& x) {
  if (x.is_cpu()) return at::scalar_tensor(sumSquaresOnHost(x), at::kDouble);
  const bool pairwise = x.is_mps();
  at::Tensor sum = at::zeros({}, x.options().dtype(pairwise ? at::kFloat : at::kDouble));
  for (const at::Tensor& part : x.reshape({-1}).split(1 << 24)) {
    if (pairwise) sum += pairwiseSquares(part);
    else sum += at::linalg_vector_norm(part, 2, c10::nullopt, false, at::kDouble).square();
  }
  return sum;
}

at::Tensor sumSquares(at::TensorList tensors) {
  TORCH_CHECK(!tensors.empty(), "expected at least one tensor");
  at::NoGradGuard guard;
  const c10::Device device = tensors[0].device();
  const bool together = std::all_of(tensors.begin(), tensors.end(), [&](const at::Tensor& x) { return x.is_cuda() && x.device() == device; });
  // one launch for all: with hundreds of small gradients a launch each takes longer than the sums
  if (together) return at::stack(at::_foreach_norm(tensors, 2, at::kDouble)).square().sum();
  at::Tensor sum = sumSquaresOf(tensors[0]);
  for (size_t i = 1; i < tensors.size(); ++i) sum = sum + sumSquaresOf(tensors[i]).to(sum.device());
  return sum;
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(preftune, m) { m.def("sum_squares(Tensor[] tensors) -> Tensor", sumSquares); }

}  // namespace preftune
