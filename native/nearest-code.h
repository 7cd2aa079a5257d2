// The entry of a small sorted table of numbers in [-1, 1] that is nearest to a number: what a number is stored as in 8 or 4 bits.
#pragma once

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

#include "row-kernels.h"

namespace preftune {

PREFTUNE_INLINE uint32_t bitsOf(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  return bits;
}

// out[i] = entry of x[i] * scale; see NearestCode
PREFTUNE_KERNEL(void, rowNearest, (uint8_t* __restrict out, const float* __restrict x, float scale, int64_t n,
                                   const int32_t* __restrict first, const float* __restrict bounds)) {
  for (int64_t i = 0; i < n; ++i) {
    const float scaled = x[i] * scale;
    const int32_t entry = first[bitsOf(scaled) >> 16];
    out[i] = static_cast<uint8_t>(entry + (scaled > bounds[entry] ? 1 : 0));
  }
}

// out[i] = values[codes[i]] * scale
PREFTUNE_KERNEL(void, rowOfCodes, (float* __restrict out, const uint8_t* __restrict codes, float scale, int64_t n, const float* __restrict values)) {
  for (int64_t i = 0; i < n; ++i) out[i] = values[codes[i]] * scale;
}

class NearestCode {
 public:
  // code: float32 on the CPU, ascending, of at most 256 numbers
  explicit NearestCode(const at::Tensor& code) : first_(1 << 16) {
    TORCH_CHECK(code.is_cpu() && code.scalar_type() == at::kFloat && code.is_contiguous() && code.numel() > 0 && code.numel() <= 256,
                "expected a table of at most 256 float32 numbers");
    const float* from = code.const_data_ptr<float>();
    const auto n = static_cast<size_t>(code.numel());
    bounds_.fill(std::numeric_limits<float>::infinity());
    for (size_t i = 0; i < 256; ++i) values_[i] = from[std::min(i, n - 1)];
    for (size_t i = 0; i + 1 < n; ++i) bounds_[i] = (values_[i] + values_[i + 1]) / 2;
    TORCH_CHECK(std::is_sorted(values_.begin(), values_.end()), "expected a table in ascending order");
    // Numbers that share their upper 16 bits lie so close together that one bound at most is between them.
    for (uint32_t high = kInfinity; high-- > 0;) addNext(0x80000000u | (high << 16), true);
    for (uint32_t high = 0; high < kInfinity; ++high) addNext(high << 16, false);
  }

  // Stores n numbers times `scale` as their nearest entries, the lower one of two as near; as some entry what is no number.
  void store(uint8_t* out, const float* from, float scale, int64_t n) const {
    rowNearest(out, from, scale, n, first_.data(), bounds_.data());
  }

  // n stored numbers times `scale`
  void load(float* out, const uint8_t* from, float scale, int64_t n) const { rowOfCodes(out, from, scale, n, values_.data()); }

 private:
  static constexpr uint32_t kInfinity = 0x7F80;  // upper bits of infinity

  // Takes up the numbers with these upper bits, which are greater than those before.
  void addNext(uint32_t bits, bool isNegative) {
    const auto numberOf = [](uint32_t all) {
      float x;
      std::memcpy(&x, &all, sizeof x);
      return x;
    };
    const float least = numberOf(isNegative ? bits | 0xFFFFu : bits), most = numberOf(isNegative ? bits : bits | 0xFFFFu);
    while (bounds_[next_] < least) ++next_;
    first_[bits >> 16] = static_cast<int32_t>(next_);
    TORCH_CHECK(next_ == 255 || bounds_[next_ + 1] >= most, "expected a table whose numbers differ by more than one in a hundred");
  }

  std::array<float, 256> values_;
  std::array<float, 256> bounds_;  // entry i is the nearest up to bounds_[i]
  std::vector<int32_t> first_;     // by the upper 16 bits: the first entry that such a number can have
  size_t next_ = 0;
};

// What the numbers of a block are multiplied by to lie in [-1, 1]; bitsandbytes' bound for blocks of zeros.
inline float blockInverse(float absmax) { return 1.0f / std::max(absmax, 1e-38f); }

}  // namespace preftune
