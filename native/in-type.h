// A tensor in another type. A pass of generation in bfloat16 has many small tensors to convert: there a loop does it,
// where torch's operator takes longer to begin than to convert.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <cstring>

#include "batch-invariance.h"
#include "row-kernels.h"

namespace preftune {

// out[i] = in[i], given by its bits in bfloat16: the upper half of a float
PREFTUNE_KERNEL(void, rowWiden, (float* out, const uint16_t* in, int64_t n)) {
  for (int64_t i = 0; i < n; ++i) {
    const uint32_t bits = static_cast<uint32_t>(in[i]) << 16;
    std::memcpy(out + i, &bits, sizeof bits);
  }
}

// out[i], given by its bits: the bfloat16 nearest to in[i], of NaN a NaN
PREFTUNE_KERNEL(void, rowNarrow, (uint16_t* __restrict out, const float* __restrict in, int64_t n)) {
  for (int64_t i = 0; i < n; ++i) {
    uint32_t bits;
    std::memcpy(&bits, in + i, sizeof bits);
    const uint32_t nearest = (bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16;
    out[i] = static_cast<uint16_t>((bits & 0x7FFFFFFFu) > 0x7F800000u ? 0x7FC0u : nearest);
  }
}

namespace {

constexpr int64_t kFewNumbers = 1 << 14;

at::Tensor inType(const at::Tensor& x, at::ScalarType type) {
  const at::ScalarType from = x.scalar_type();
  if (from == type) return x;
  const bool toFloat = from == at::kBFloat16 && type == at::kFloat, toHalf = from == at::kFloat && type == at::kBFloat16;
  if (!recordsNothing() || !(toFloat || toHalf) || !x.is_cpu() || !x.is_contiguous() || x.numel() > kFewNumbers) return x.to(type);
  at::Tensor out = at::empty(x.sizes(), x.options().dtype(type));
  if (toFloat) rowWiden(out.mutable_data_ptr<float>(), reinterpret_cast<const uint16_t*>(x.const_data_ptr<at::BFloat16>()), x.numel());
  else rowNarrow(reinterpret_cast<uint16_t*>(out.mutable_data_ptr<at::BFloat16>()), x.const_data_ptr<float>(), x.numel());
  return out;
}

at::Tensor inFloat(const at::Tensor& x) { return inType(x, at::kFloat).contiguous(); }

}  // namespace
}  // namespace preftune
