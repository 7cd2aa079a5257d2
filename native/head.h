// preftune::exp_rows_: what a softmax over the vocabulary needs, in place and in one visit to each row of logits.
#pragma once

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/library.h>

#include <tuple>

#include "rows.h"

namespace preftune {
namespace {

constexpr int64_t kColumns = 2048;

// logits (R, V) become e^(logits - max); gives max and total, both (R, 1).
std::tuple<at::Tensor, at::Tensor> expRows(at::Tensor& logits) {
  TORCH_CHECK(logits.dim() == 2 && logits.scalar_type() == at::kFloat, "expected float32 logits (R, V)");
  TORCH_CHECK(!logits.requires_grad(), "logits are changed in place: no gradient goes through them");
  if (!logits.is_cpu() || !logits.is_contiguous()) {
    const at::Tensor max = logits.amax({1}, true);
    logits.sub_(max).exp_();
    return {max, logits.sum({1}, true)};
  }
  const int64_t rows = logits.size(0), width = logits.size(1);
  at::Tensor max = at::empty({rows, 1}, logits.options()), total = at::empty({rows, 1}, logits.options());
  float *row = logits.mutable_data_ptr<float>(), *most = max.mutable_data_ptr<float>(), *sum = total.mutable_data_ptr<float>();
  at::parallel_for(0, rows, 1, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      most[r] = rowMax(row + r * width, width);
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
  m.def("exp_rows_(Tensor(a!) logits) -> (Tensor, Tensor)", expRows);
}

}  // namespace preftune
