// preftune::greatest: greedy tokens, and whether logits are finite, in one visit to each row. torch's argmax reads a number at a time.
#pragma once

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/library.h>

#include <algorithm>

#include "batch-invariance.h"
#include "row-kernels.h"

namespace preftune {
namespace {

PREFTUNE_KERNEL(bool, rowIsFinite, (const float* row, int64_t n)) {
  // x - x is 0, or NaN of what is not finite
  return sumRow(n, PREFTUNE_EACH(const Lanes& x) { return x - x; }, row) == 0;
}

// The place of the greatest, the first of several; -1 where a number is not finite.
int64_t placeOfGreatest(const float* row, int64_t width) {
  constexpr int64_t kTogether = 1024;
  int64_t first = 0;
  float most = -std::numeric_limits<float>::infinity();
  for (int64_t c = 0; c < width; c += kTogether) {
    const int64_t count = std::min(kTogether, width - c);
    if (!rowIsFinite(row + c, count)) return -1;
    const float max = rowMax(row + c, count);
    if (max <= most) continue;
    most = max;
    first = c;
  }
  return std::find(row + first, row + width, most) - row;
}

// (R) int64 of logits (R, V)
at::Tensor greatest(const at::Tensor& logits) {
  TORCH_CHECK(isCpuFloat(logits) && logits.dim() == 2 && logits.size(1) > 0, "expected float32 logits (R, V) on the CPU");
  const at::Tensor all = logits.contiguous();
  const int64_t rows = all.size(0), width = all.size(1);
  at::Tensor places = at::empty({rows}, all.options().dtype(at::kLong));
  int64_t* const place = places.mutable_data_ptr<int64_t>();
  const float* const row = all.const_data_ptr<float>();
  at::parallel_for(0, rows, 1, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) place[r] = placeOfGreatest(row + r * width, width);
  });
  return places;
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(preftune, m) { m.def("greatest(Tensor logits) -> Tensor", greatest); }

}  // namespace preftune
