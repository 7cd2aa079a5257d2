// preftune::cache_fill_ and preftune::decode_attention: keys and values kept in pages for generation, and the attention of the
// newest token of many sequences over them. float32, CPU. A page holds kPage tokens of every key head: keys as (E, kPage), so that
// scores of neighbouring tokens are neighbours, values as (kPage, E). Sequences may have their first pages in common.
#pragma once

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/library.h>

#include <vector>

#include "batch-invariance.h"
#include "row-kernels.h"

namespace preftune {
namespace {

constexpr int64_t kPage = 32;

struct CacheShape {
  int64_t keyHeads, width;
  int64_t at(int64_t page, int64_t head) const { return (page * keyHeads + head) * width * kPage; }
};

// One token's key and value of one head into place `slot` of a page.
void putToken(float* keys, float* values, const float* k, const float* v, int64_t slot, int64_t width) {
  for (int64_t e = 0; e < width; ++e) keys[e * kPage + slot] = k[e];
  std::copy(v, v + width, values + slot * width);
}

// scores[g * stride + j] = q[g] · keys[j] for all places of a page
template <int G>
PREFTUNE_INLINE void pageScores(float* scores, int64_t stride, const float* q, const float* keys, int64_t width) {
  constexpr int64_t kVectors = kPage / kLanes;
  Lanes sum[G][kVectors] = {};
  for (int64_t e = 0; e < width; ++e) {
    for (int64_t l = 0; l < kVectors; ++l) {
      const Lanes key = load(keys + e * kPage + l * kLanes);
      for (int g = 0; g < G; ++g) sum[g][l] += key * q[g * width + e];
    }
  }
  for (int g = 0; g < G; ++g)
    for (int64_t l = 0; l < kVectors; ++l) store(scores + g * stride + l * kLanes, sum[g][l]);
}

// out[g] += Σ weights[g * stride + j] values[j] over places [first, end)
template <int G>
PREFTUNE_INLINE void pageValues(float* out, const float* weights, int64_t stride, const float* values, int64_t first, int64_t end,
                                int64_t width) {
  walkRow(width, PREFTUNE_EACH(int64_t e, const auto& get, const auto& put) {
    Lanes sum[G];
    for (int g = 0; g < G; ++g) sum[g] = get(out + g * width + e);
    for (int64_t j = first; j < end; ++j) {
      const Lanes value = get(values + j * width + e);
      for (int g = 0; g < G; ++g) sum[g] += value * weights[g * stride + j];
    }
    for (int g = 0; g < G; ++g) put(out + g * width + e, sum[g]);
  });
}

PREFTUNE_VECTORISED void scoresOf(float* scores, int64_t stride, const float* q, const float* keys, int64_t group, int64_t width) {
  for (; group >= 3; group -= 3, scores += 3 * stride, q += 3 * width) pageScores<3>(scores, stride, q, keys, width);
  if (group == 2) pageScores<2>(scores, stride, q, keys, width);
  if (group == 1) pageScores<1>(scores, stride, q, keys, width);
}

struct Places {
  int64_t first, end;
};

PREFTUNE_VECTORISED void addValues(float* out, const float* weights, int64_t stride, const float* values, const Places& seen, int64_t group,
                                   int64_t width) {
  for (; group >= 3; group -= 3, weights += 3 * stride, out += 3 * width)
    pageValues<3>(out, weights, stride, values, seen.first, seen.end, width);
  if (group == 2) pageValues<2>(out, weights, stride, values, seen.first, seen.end, width);
  if (group == 1) pageValues<1>(out, weights, stride, values, seen.first, seen.end, width);
}

// A page of a sequence, and the places in it that the newest token sees.
struct Seen {
  int64_t page;
  Places places;
};

// `shared` tokens in separate pages, then `own` tokens, the newest included. A window hides all but the last `window` tokens.
std::vector<Seen> pagesSeen(const int32_t* pages, int64_t shared, int64_t own, int64_t window) {
  std::vector<Seen> seen;
  const int64_t hidden = window == 0 ? 0 : std::max<int64_t>(0, shared + own - window);
  const auto add = [&](int64_t from, int64_t count) {
    for (int64_t at = 0; at < count; at += kPage, ++pages) {
      const Places places{std::clamp<int64_t>(hidden - from - at, 0, kPage), std::min(kPage, count - at)};
      if (places.first < places.end) seen.push_back({*pages, places});
    }
  };
  add(0, shared);
  add(shared, own);
  return seen;
}

struct DecodeHead {
  CacheShape n;
  int64_t group;
  float scale;
};

// One key head of one sequence: q and out are (group, E).
void attendHead(float* out, const float* q, const float* keys, const float* values, const std::vector<Seen>& seen, const DecodeHead& h,
                int64_t head) {
  const int64_t width = h.n.width, stride = static_cast<int64_t>(seen.size()) * kPage;
  std::vector<float> scores(static_cast<size_t>(h.group * stride)), scaled(static_cast<size_t>(h.group * width));
  rowScale(scaled.data(), q, h.group * width, h.scale);
  for (size_t p = 0; p < seen.size(); ++p) {
    float* part = scores.data() + p * kPage;
    scoresOf(part, stride, scaled.data(), keys + h.n.at(seen[p].page, head), h.group, width);
    const auto& [first, end] = seen[p].places;
    if (first == 0 && end == kPage) continue;
    for (int64_t g = 0; g < h.group; ++g) {
      std::fill(part + g * stride, part + g * stride + first, -std::numeric_limits<float>::infinity());
      std::fill(part + g * stride + end, part + g * stride + kPage, -std::numeric_limits<float>::infinity());
    }
  }
  for (int64_t g = 0; g < h.group; ++g) {
    float* row = scores.data() + g * stride;
    const float sum = rowExp(row, stride, rowMax(row, stride));
    rowScale(row, row, stride, 1.0f / sum);
  }
  std::fill(out, out + h.group * width, 0.0f);
  for (size_t p = 0; p < seen.size(); ++p)
    addValues(out, scores.data() + p * kPage, stride, values + h.n.at(seen[p].page, head), seen[p].places, h.group, width);
}

CacheShape checkCache(const at::Tensor& keys, const at::Tensor& values, const at::Tensor& k, const at::Tensor& v) {
  TORCH_CHECK(k.dim() == 3 && v.sizes() == k.sizes(), "expected k and v (T, K, E)");
  TORCH_CHECK(isCpuFloat(k) && isCpuFloat(v) && isCpuFloat(keys) && isCpuFloat(values), "expected float32 tensors on the CPU");
  TORCH_CHECK(keys.is_contiguous() && values.is_contiguous(), "expected a contiguous cache");
  TORCH_CHECK(keys.dim() == 4 && keys.size(1) == k.size(1) && keys.size(2) == k.size(2) && keys.size(3) == kPage,
              "expected cached keys (pages, K, E, ", kPage, ")");
  TORCH_CHECK(values.dim() == 4 && values.size(0) == keys.size(0) && values.size(1) == k.size(1) && values.size(2) == kPage &&
              values.size(3) == k.size(2), "expected cached values (pages, K, ", kPage, ", E)");
  return {k.size(1), k.size(2)};
}

void checkPage(int64_t page, const at::Tensor& keys) {
  TORCH_CHECK(0 <= page && page < keys.size(0), "page ", page, " lies outside a cache of ", keys.size(0), " pages");
}

// k, v: (T, K, E), tokens 0 … T - 1 of a sequence, into its pages.
void cacheFill(at::Tensor& keys, at::Tensor& values, const at::Tensor& k, const at::Tensor& v, at::IntArrayRef pages) {
  const CacheShape n = checkCache(keys, values, k, v);
  const at::Tensor from = k.contiguous(), fromValues = v.contiguous();
  TORCH_CHECK(static_cast<int64_t>(pages.size()) * kPage >= k.size(0), pages.size(), " pages do not hold ", k.size(0), " tokens");
  for (const int64_t page : pages) checkPage(page, keys);
  const float *kData = from.const_data_ptr<float>(), *vData = fromValues.const_data_ptr<float>();
  float *toKeys = keys.mutable_data_ptr<float>(), *toValues = values.mutable_data_ptr<float>();
  at::parallel_for(0, k.size(0), 4 * kPage, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t)
      for (int64_t head = 0; head < n.keyHeads; ++head) {
        const int64_t at = n.at(pages[t / kPage], head), row = (t * n.keyHeads + head) * n.width;
        putToken(toKeys + at, toValues + at, kData + row, vData + row, t % kPage, n.width);
      }
  });
}

// q: (B, H, E), k and v: (B, K, E) of the newest token of B sequences, which are put into the cache first -> (B, H, E).
// table: int32; for each sequence the numbers of its shared and its other tokens (the newest included) and where its pages begin in
// `table`; then the pages.
at::Tensor decodeAttention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, at::Tensor& keys, at::Tensor& values,
                           const at::Tensor& table, double scale, int64_t window) {
  const CacheShape n = checkCache(keys, values, k, v);
  TORCH_CHECK(q.dim() == 3 && isCpuFloat(q) && q.size(0) == k.size(0) && q.size(2) == n.width && n.keyHeads > 0 && q.size(1) % n.keyHeads == 0,
              "q and k do not fit together");
  TORCH_CHECK(q.size(1) > 0 && n.width > 0, "expected a head and a feature at least, got q of shape ", q.sizes());
  TORCH_CHECK(window >= 0, "expected a window of tokens, or 0 for none, got ", window);
  TORCH_CHECK(table.is_cpu() && table.scalar_type() == at::kInt && table.is_contiguous(), "expected an int32 table");
  const at::Tensor queries = q.contiguous(), newKeys = k.contiguous(), newValues = v.contiguous();
  const int64_t count = q.size(0), heads = q.size(1);
  const int32_t* entries = table.const_data_ptr<int32_t>();
  float *keyData = keys.mutable_data_ptr<float>(), *valueData = values.mutable_data_ptr<float>();
  std::vector<std::vector<Seen>> seen;
  int64_t total = 0;
  TORCH_CHECK(table.numel() >= 3 * count, "expected three entries for each of ", count, " sequences");
  for (int64_t r = 0; r < count; ++r) {
    const int64_t shared = entries[3 * r], own = entries[3 * r + 1], at = entries[3 * r + 2];
    const int64_t sharedPages = (shared + kPage - 1) / kPage, pages = sharedPages + (own + kPage - 1) / kPage;
    TORCH_CHECK(shared >= 0 && own > 0 && at >= 0 && at + pages <= table.numel(), "sequence ", r, " has no pages in the table");
    for (int64_t p = 0; p < pages; ++p) checkPage(entries[at + p], keys);
    seen.push_back(pagesSeen(entries + at, shared, own, window));
    total += static_cast<int64_t>(seen.back().size());
  }
  at::Tensor out = at::empty_like(queries);
  const DecodeHead h{n, heads / n.keyHeads, static_cast<float>(scale)};
  float* to = out.mutable_data_ptr<float>();
  // a page of a head is some 20 thousand multiplications
  const int64_t grain = std::max<int64_t>(1, 8 * count / std::max<int64_t>(1, total));
  // heads outermost: what sequences share is read again while it is near
  at::parallel_for(0, count * n.keyHeads, grain, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t head = task / count, r = task % count;
      const int64_t at = entries[3 * r + 2], shared = entries[3 * r], last = entries[3 * r + 1] - 1;
      const int64_t place = n.at(entries[at + (shared + kPage - 1) / kPage + last / kPage], head);
      const int64_t row = (r * n.keyHeads + head) * n.width;
      putToken(keyData + place, valueData + place, newKeys.const_data_ptr<float>() + row, newValues.const_data_ptr<float>() + row,
               last % kPage, n.width);
      const int64_t query = (r * heads + head * h.group) * n.width;
      attendHead(to + query, queries.const_data_ptr<float>() + query, keyData, valueData, seen[static_cast<size_t>(r)], h, head);
    }
  });
  return out;
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(preftune, m) {
  m.def("cache_fill_(Tensor(a!) keys, Tensor(b!) values, Tensor k, Tensor v, int[] pages) -> ()", cacheFill);
  m.def(
      "decode_attention(Tensor q, Tensor k, Tensor v, Tensor(a!) keys, Tensor(b!) values, Tensor table, float scale, int window) -> Tensor",
      decodeAttention);
}

}  // namespace preftune
