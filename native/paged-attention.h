// preftune::paged_attention: keys and values kept in pages for generation, and the attention of the newest tokens of sequences over
// them. CPU, float32 and bfloat16 (stored so, computed in float32). A page holds kPage tokens of every key head: keys as (E, kPage), so
// that scores of neighbouring tokens are neighbours, values as (kPage, E). Sequences may have pages in common. A token's sums have an
// order that its place in its sequence decides: its result is the same, to the bit, whichever tokens are computed with it.
#pragma once

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/library.h>

#include <type_traits>
#include <vector>

#include "batch-invariance.h"
#include "in-type.h"
#include "row-kernels.h"
#include "skinny-gemm.h"

namespace preftune {
namespace {

constexpr int64_t kPage = 32;

struct CacheShape {
  int64_t keyHeads, width;
  int64_t at(int64_t page, int64_t head) const { return (page * keyHeads + head) * width * kPage; }
};

// One token's key and value of one head into place `slot` of a page.
template <typename Stored>
void putToken(Stored* keys, Stored* values, const Stored* k, const Stored* v, int64_t slot, int64_t width) {
  for (int64_t e = 0; e < width; ++e) keys[e * kPage + slot] = k[e];
  std::copy(v, v + width, values + slot * width);
}

// scores[g * stride + j] = q[g] · keys[j] for all places of a page
template <typename V, int G, typename Stored>
PREFTUNE_INLINE void pageScores(float* scores, int64_t stride, const float* q, const Stored* keys, int64_t width) {
  constexpr int64_t kStep = sizeof(V) / sizeof(float), kVectors = kPage / kStep;
  V sum[G][kVectors] = {};
  for (int64_t e = 0; e < width; ++e) {
    for (int64_t l = 0; l < kVectors; ++l) {
      const V key = floatsAt<V>(keys + e * kPage + l * kStep);
      for (int g = 0; g < G; ++g) sum[g][l] += key * q[g * width + e];
    }
  }
  for (int g = 0; g < G; ++g)
    for (int64_t l = 0; l < kVectors; ++l) std::memcpy(scores + g * stride + l * kStep, &sum[g][l], sizeof(V));
}

struct Places {
  int64_t first, end;
  bool operator==(const Places& other) const { return first == other.first && end == other.end; }
};

// out[g] += Σ weights[g * stride + j] values[j] over some places of a page, for features [e, e + count) in C vectors: as many sums as
// hide how long an addition takes.
template <typename V, int G, int C, typename Stored>
PREFTUNE_INLINE void featureValues(float* out, const float* weights, int64_t stride, const Stored* values, const Places& seen, int64_t width,
                                   int64_t e, size_t count) {
  constexpr int64_t kStep = sizeof(V) / sizeof(float);
  V sum[G][C];
  const size_t each = C == 1 ? count : static_cast<size_t>(kStep);
  for (int g = 0; g < G; ++g)
    for (int c = 0; c < C; ++c) sum[g][c] = floatsAt<V>(out + g * width + e + c * kStep, each);
  for (int64_t j = seen.first; j < seen.end; ++j) {
    for (int c = 0; c < C; ++c) {
      const V value = floatsAt<V>(values + j * width + e + c * kStep, each);
      for (int g = 0; g < G; ++g) sum[g][c] += value * weights[g * stride + j];
    }
  }
  for (int g = 0; g < G; ++g)
    for (int c = 0; c < C; ++c) std::memcpy(out + g * width + e + c * kStep, &sum[g][c], each * sizeof(float));
}

template <typename V, int G, typename Stored>
PREFTUNE_INLINE void pageValues(float* out, const float* weights, int64_t stride, const Stored* values, const Places& seen, int64_t width) {
  constexpr int64_t kStep = sizeof(V) / sizeof(float);
  constexpr int kTogether = 4;
  int64_t e = 0;
  for (; e + kTogether * kStep <= width; e += kTogether * kStep)
    featureValues<V, G, kTogether>(out, weights, stride, values, seen, width, e, kStep);
  for (; e + kStep <= width; e += kStep) featureValues<V, G, 1>(out, weights, stride, values, seen, width, e, kStep);
  if (e < width) featureValues<V, G, 1>(out, weights, stride, values, seen, width, e, static_cast<size_t>(width - e));
}

// The page of a head's keys and values as they are stored.
template <typename Stored>
struct PageOf {
  const Stored* at;
  int64_t stride, count, width;  // between the scores of query heads; query heads; features of each
};

// As many query heads together as there are registers for: 32 of sixteen floats, or 16 of eight.
template <typename V, typename Body>
PREFTUNE_INLINE void eachGroup(int64_t count, const Body& body) {
  int64_t g = 0;
  if constexpr (sizeof(V) == 64)
    for (; g + 6 <= count; g += 6) body(g, std::integral_constant<int, 6>{});
  for (; g + 3 <= count; g += 3) body(g, std::integral_constant<int, 3>{});
  if (count - g == 2) body(g, std::integral_constant<int, 2>{});
  if (count - g == 1) body(g, std::integral_constant<int, 1>{});
}

template <typename V, typename Stored>
PREFTUNE_INLINE void scoresBody(float* scores, const float* q, const PageOf<Stored>& keys) {
  eachGroup<V>(keys.count, PREFTUNE_EACH(int64_t g, auto heads) {
    pageScores<V, heads()>(scores + g * keys.stride, keys.stride, q + g * keys.width, keys.at, keys.width);
  });
}
template <typename V, typename Stored>
PREFTUNE_INLINE void valuesBody(float* out, const float* weights, const PageOf<Stored>& values, const Places& seen) {
  eachGroup<V>(values.count, PREFTUNE_EACH(int64_t g, auto heads) {
    pageValues<V, heads()>(out + g * values.width, weights + g * values.stride, values.stride, values.at, seen, values.width);
  });
}

template <typename Stored>
constexpr Kernel<scoresBody<Lanes, Stored>, scoresBody<Sixteen, Stored>> scoresOf{};
template <typename Stored>
constexpr Kernel<valuesBody<Lanes, Stored>, valuesBody<Sixteen, Stored>> addValues{};

// Rows [row, row + count) of the pass: tokens of one sequence from `position` on. `pages` are those of the sequence from its first.
struct Rows {
  int64_t row, count, position;
  const int32_t* pages;
};

struct PagedHeads {
  CacheShape n;
  int64_t group, window;
  float scale;

  // The first token that the one at `position` sees.
  int64_t firstSeen(int64_t position) const { return window == 0 ? 0 : std::max<int64_t>(0, position - window + 1); }
  // The places of a sequence's page that it sees; none where first >= end.
  Places placesSeen(int64_t position, int64_t page) const {
    const int64_t from = page * kPage;
    return {std::max<int64_t>(0, firstSeen(position) - from), std::min(kPage, position + 1 - from)};
  }
};

// Softmax of a token's scores, which begin with its sequence's page `firstPage`, over what it sees: the sums begin with its first page.
void weighSeen(float* scores, int64_t position, int64_t firstPage, const PagedHeads& h) {
  const int64_t first = h.firstSeen(position), begin = first / kPage * kPage, end = (position / kPage + 1) * kPage;
  float* const seen = scores + begin - firstPage * kPage;
  std::fill(seen, seen + (first - begin), -std::numeric_limits<float>::infinity());
  std::fill(seen + (position + 1 - begin), seen + (end - begin), -std::numeric_limits<float>::infinity());
  const float sum = rowExp(seen, end - begin, rowMax(seen, end - begin));
  rowScale(seen, seen, end - begin, 1.0f / sum);
}

// One key head of some rows: q and out are (rows, H, E).
template <typename Stored>
void attendHead(float* out, const float* q, const Stored* keys, const Stored* values, const Rows& rows, const PagedHeads& h, int64_t head) {
  const int64_t width = h.n.width, perRow = h.n.keyHeads * h.group * width, own = h.group * width, count = rows.count * h.group;
  const int64_t firstPage = h.firstSeen(rows.position) / kPage, endPage = (rows.position + rows.count - 1) / kPage + 1;
  const int64_t stride = (endPage - firstPage) * kPage;
  static thread_local std::vector<float> scores, scaled;
  scores.resize(static_cast<size_t>(count * stride));
  scaled.resize(static_cast<size_t>(count * width));
  for (int64_t i = 0; i < rows.count; ++i)
    rowScale(scaled.data() + i * own, q + (rows.row + i) * perRow + head * own, own, h.scale);
  for (int64_t p = firstPage; p < endPage; ++p)
    scoresOf<Stored>(scores.data() + (p - firstPage) * kPage, scaled.data(), PageOf<Stored>{keys + h.n.at(rows.pages[p], head), stride, count, width});
  for (int64_t r = 0; r < count; ++r) weighSeen(scores.data() + r * stride, rows.position + r / h.group, firstPage, h);
  std::fill(scaled.begin(), scaled.end(), 0.0f);
  for (int64_t p = firstPage; p < endPage; ++p) {
    for (int64_t i = 0, next = 0; i < rows.count; i = next) {
      const Places seen = h.placesSeen(rows.position + i, p);
      for (next = i + 1; next < rows.count && seen == h.placesSeen(rows.position + next, p);) ++next;
      if (seen.first >= seen.end) continue;
      const PageOf<Stored> page{values + h.n.at(rows.pages[p], head), stride, (next - i) * h.group, width};
      addValues<Stored>(scaled.data() + i * own, scores.data() + i * h.group * stride + (p - firstPage) * kPage, page, seen);
    }
  }
  for (int64_t i = 0; i < rows.count; ++i)
    std::copy(scaled.data() + i * own, scaled.data() + (i + 1) * own, out + (rows.row + i) * perRow + head * own);
}

CacheShape checkCache(const at::Tensor& keys, const at::Tensor& values, const at::Tensor& k, const at::Tensor& v) {
  const auto fits = [&](const at::Tensor& x) { return x.is_cpu() && x.scalar_type() == k.scalar_type(); };
  TORCH_CHECK(k.dim() == 3 && v.sizes() == k.sizes(), "expected k and v (T, K, E)");
  TORCH_CHECK(isSkinnyType(k.scalar_type()) && fits(k) && fits(v) && fits(keys) && fits(values),
              "expected tensors of one type on the CPU, float32 or bfloat16");
  TORCH_CHECK(keys.is_contiguous() && values.is_contiguous(), "expected a contiguous cache");
  TORCH_CHECK(keys.dim() == 4 && keys.size(1) == k.size(1) && keys.size(2) == k.size(2) && keys.size(3) == kPage,
              "expected cached keys (pages, K, E, ", kPage, ")");
  TORCH_CHECK(values.dim() == 4 && values.size(0) == keys.size(0) && values.size(1) == k.size(1) && values.size(2) == kPage &&
              values.size(3) == k.size(2), "expected cached values (pages, K, ", kPage, ", E)");
  return {k.size(1), k.size(2)};
}

// Query heads computed together where a sequence has many rows: a page is read once for all of them, from the first level cache.
constexpr int64_t kHeadsTogether = 12;

// The rows of a pass, a few of one sequence at a time. `table` as paged_attention has it.
std::vector<Rows> rowsOf(const at::Tensor& table, int64_t tokens, int64_t sequences, int64_t together, int64_t pagesThere) {
  TORCH_CHECK(table.is_cpu() && table.scalar_type() == at::kInt && table.is_contiguous(), "expected an int32 table");
  TORCH_CHECK(sequences >= 0 && sequences <= table.numel() / 3, "expected three entries for each of ", sequences, " sequences");
  const int32_t* const entries = table.const_data_ptr<int32_t>();
  std::vector<Rows> all;
  int64_t row = 0;
  for (int64_t s = 0; s < sequences; ++s) {
    const int64_t count = entries[3 * s], length = entries[3 * s + 1], at = entries[3 * s + 2], pages = (length + kPage - 1) / kPage;
    TORCH_CHECK(count > 0 && length >= count && at >= 0 && at + pages <= table.numel(), "sequence ", s, " has no pages in the table");
    for (int64_t p = 0; p < pages; ++p) {
      const int64_t page = entries[at + p];
      TORCH_CHECK(0 <= page && page < pagesThere, "page ", page, " lies outside a cache of ", pagesThere, " pages");
    }
    for (int64_t i = 0; i < count; i += together)
      all.push_back({row + i, std::min(together, count - i), length - count + i, entries + at});
    row += count;
  }
  TORCH_CHECK(row == tokens, "the table has ", row, " tokens, the tensors have ", tokens);
  return all;
}

template <typename Stored>
void attendRows(const at::Tensor& out, const at::Tensor& q, const std::vector<const void*>& added, const std::vector<void*>& cache,
                const std::vector<Rows>& rows, const PagedHeads& h) {
  const auto *k = static_cast<const Stored*>(added[0]), *v = static_cast<const Stored*>(added[1]);
  auto *keys = static_cast<Stored*>(cache[0]), *values = static_cast<Stored*>(cache[1]);
  const auto blocks = static_cast<int64_t>(rows.size());
  int64_t total = 0;
  for (const Rows& some : rows) total += (some.position + some.count - 1) / kPage + 1 - h.firstSeen(some.position) / kPage;
  at::parallel_for(0, blocks, 4 * kPage, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b)
      for (int64_t i = 0; i < rows[b].count; ++i)
        for (int64_t head = 0; head < h.n.keyHeads; ++head) {
          const int64_t position = rows[b].position + i, from = ((rows[b].row + i) * h.n.keyHeads + head) * h.n.width;
          const int64_t to = h.n.at(rows[b].pages[position / kPage], head);
          putToken(keys + to, values + to, k + from, v + from, position % kPage, h.n.width);
        }
  });
  // a page of a head is some 20 thousand multiplications
  const int64_t grain = std::max<int64_t>(1, 8 * blocks / std::max<int64_t>(1, total));
  // heads outermost: what sequences share is read again while it is near
  at::parallel_for(0, blocks * h.n.keyHeads, grain, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task)
      attendHead(out.mutable_data_ptr<float>(), q.const_data_ptr<float>(), keys, values, rows[static_cast<size_t>(task % blocks)], h,
                 task / blocks);
  });
}

// q: (T, H, E), k and v: (T, K, E) of the newest tokens of some sequences, which are put into the cache first -> (T, H · E).
// table: int32; for each sequence how many of the T tokens are its newest, how many it has with them, and where its pages begin in
// `table`; then the pages.
at::Tensor pagedAttention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, at::Tensor& keys, at::Tensor& values,
                          const at::Tensor& table, int64_t sequences, double scale, int64_t window) {
  const CacheShape n = checkCache(keys, values, k, v);
  TORCH_CHECK(q.dim() == 3 && q.is_cpu() && q.scalar_type() == k.scalar_type() && q.size(0) == k.size(0) && q.size(2) == n.width &&
              n.keyHeads > 0 && q.size(1) % n.keyHeads == 0, "q and k do not fit together");
  TORCH_CHECK(q.size(1) > 0 && n.width > 0, "expected a head and a feature at least, got q of shape ", q.sizes());
  TORCH_CHECK(window >= 0, "expected a window of tokens, or 0 for none, got ", window);
  const PagedHeads h{n, q.size(1) / n.keyHeads, window, static_cast<float>(scale)};
  const std::vector<Rows> rows = rowsOf(table, q.size(0), sequences, std::max<int64_t>(1, kHeadsTogether / h.group), keys.size(0));
  const at::Tensor queries = inFloat(q), newKeys = k.contiguous(), newValues = v.contiguous();
  at::Tensor out = at::empty({q.size(0), q.size(1) * q.size(2)}, queries.options());
  const std::vector<const void*> added = {newKeys.const_data_ptr(), newValues.const_data_ptr()};
  const std::vector<void*> cache = {keys.mutable_data_ptr(), values.mutable_data_ptr()};
  if (k.scalar_type() == at::kFloat) attendRows<float>(out, queries, added, cache, rows, h);
  else attendRows<uint16_t>(out, queries, added, cache, rows, h);
  return inType(out, q.scalar_type());
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(preftune, m) {
  m.def(
      "paged_attention(Tensor q, Tensor k, Tensor v, Tensor(a!) keys, Tensor(b!) values, Tensor table, int sequences, float scale, "
      "int window) -> Tensor",
      pagedAttention);
}

}  // namespace preftune
