// Row kernels: loops over contiguous floats, compiled for several instruction sets and chosen when the addon loads.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__) && !defined(__clang__)
#define PREFTUNE_VECTORISED __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default"), optimize("O3")))
#else
#define PREFTUNE_VECTORISED
#endif

namespace preftune {

constexpr int64_t kLanes = 16;

// e^x by range reduction and a polynomial (Cephes' coefficients); relative error below 2e-7, 0 below -87.
inline float expApprox(float x) {
  const float clipped = std::max(x, -87.0f);
  const float shifted = clipped * 1.44269504088896341f + 12582912.0f;  // round to nearest by losing the fraction
  const float n = shifted - 12582912.0f;
  const float r = (clipped - n * 0.693359375f) + n * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  const float power = std::bit_cast<float>((static_cast<int32_t>(n) + 127) << 23);
  return x < -87.0f ? 0.0f : p * power;
}

// max of row[0, n)
PREFTUNE_VECTORISED inline float rowMax(const float* row, int64_t n) {
  float lanes[kLanes];
  for (int64_t l = 0; l < kLanes; ++l) lanes[l] = -std::numeric_limits<float>::infinity();
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (int64_t l = 0; l < kLanes; ++l) lanes[l] = row[i + l] > lanes[l] ? row[i + l] : lanes[l];
  float max = lanes[0];
  for (int64_t l = 1; l < kLanes; ++l) max = std::max(max, lanes[l]);
  for (; i < n; ++i) max = std::max(max, row[i]);
  return max;
}

// row[i] = e^(row[i] - shift) for i in [0, n); gives the sum
PREFTUNE_VECTORISED inline float rowExp(float* row, int64_t n, float shift) {
  float lanes[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (int64_t l = 0; l < kLanes; ++l) {
      const float e = expApprox(row[i + l] - shift);
      row[i + l] = e;
      lanes[l] += e;
    }
  }
  float sum = 0;
  for (int64_t l = 0; l < kLanes; ++l) sum += lanes[l];
  for (; i < n; ++i) sum += (row[i] = expApprox(row[i] - shift));
  return sum;
}

// Σ a[i] b[i]
PREFTUNE_VECTORISED inline float rowDot(const float* a, const float* b, int64_t n) {
  float lanes[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (int64_t l = 0; l < kLanes; ++l) lanes[l] += a[i + l] * b[i + l];
  float sum = 0;
  for (int64_t l = 0; l < kLanes; ++l) sum += lanes[l];
  for (; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

// out[i] = p[i] (out[i] - shift)
PREFTUNE_VECTORISED inline void rowSoftmaxGrad(float* out, const float* p, int64_t n, float shift) {
  for (int64_t i = 0; i < n; ++i) out[i] = p[i] * (out[i] - shift);
}

// out[i] = in[i] factor
PREFTUNE_VECTORISED inline void rowScale(float* out, const float* in, int64_t n, float factor) {
  for (int64_t i = 0; i < n; ++i) out[i] = in[i] * factor;
}

}  // namespace preftune
