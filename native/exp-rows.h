// preftune::exp_rows_: what a softmax over a part of the vocabulary needs, in place and in one visit to each row of logits.
#pragma once

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/library.h>

#include <optional>
#include <tuple>

#include "batch-invariance.h"
#include "row-kernels.h"

namespace preftune {
namespace {

constexpr int64_t kColumns = 2048;

// logits (R, V) become e^(logits - max); gives max and total, both (R, 1). `least` (R, 1): a max may not be below it.
std::tuple<at::Tensor, at::Tensor> expRows(at::Tensor& logits, const std::optional<at::Tensor>& least) {
  TORCH_CHECK(logits.dim() == 2 && logits.scalar_type() == at::kFloat, "expected float32 logits (R, V)");
  TORCH_CHECK(!logits.requires_grad(), "logits are changed in place: no gradient passes through them");
  if (!logits.is_cpu() || !logits.is_contiguous()) {
    at::Tensor max = logits.amax({1}, true);
    if (least.has_value()) max = at::maximum(max, *least);
    logits.sub_(max).exp_();
    return {max, logits.sum({1}, true)};
  }
  const int64_t rows = logits.size(0), width = logits.size(1);
  at::Tensor max = at::empty({rows, 1}, logits.options()), total = at::empty({rows, 1}, logits.options());
  float *row = logits.mutable_data_ptr<float>(), *most = max.mutable_data_ptr<float>(), *sum = total.mutable_data_ptr<float>();
  const at::Tensor from = least.has_value() ? least->contiguous() : at::Tensor();
  TORCH_CHECK(!from.defined() || (from.numel() == rows && isCpuFloat(from)), "expected a float32 least max for each row");
  const float* floor = from.defined() ? from.const_data_ptr<float>() : nullptr;
  at::parallel_for(0, rows, 1, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      most[r] = rowMax(row + r * width, width);
      if (floor != nullptr) most[r] = std::max(most[r], floor[r]);
      double all = 0;  // single sums over a vocabulary would lose digits
      for (int64_t c = 0; c < width; c += kColumns)
        all += rowExp(row + r * width + c, std::min(kColumns, width - c), most[r]);
      sum[r] = static_cast<float>(all);
    }
  });
  return {max, total};
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(preftune, m) {
  m.def("exp_rows_(Tensor(a!) logits, Tensor? least=None) -> (Tensor, Tensor)", expRows);
}

}  // namespace preftune
