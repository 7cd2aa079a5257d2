// preftune::segment_attention: attention over a packed stream on the CPU, computed in float32; tensors of half precision are kept
// as they are and copied for each pass. Each segment sees itself causally (or through a sliding window) and its parent in full. Matrix
// products do the work, on all query heads of a key head at once, small ones in a separate kernel (small-product.h); keys are neither
// copied for each query head nor joined with their parent's, and no mask is ever built. The backward pass computes the probabilities
// again from the saved log-sum-exp.
#pragma once

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <unordered_map>
#include <vector>

#include "batch-invariance.h"
#include "in-type.h"
#include "matmul.h"
#include "row-kernels.h"
#include "small-product.h"
#include "tasks.h"

namespace preftune {
namespace {

constexpr int64_t kBlock = 96;  // query rows at once: bounds the scores held, and skips most keys that no row of a block sees

struct Shapes {
  int64_t heads, keyHeads, group, width, window;
  float scale;
};

// A block of query rows of one segment, and the keys it can see at all.
struct Block {
  int64_t first, rows;             // query rows [first, first + rows) of the stream
  int64_t parentFirst, parentRows;  // visible parent keys
  int64_t ownFirst, ownRows;        // visible own keys
  int64_t columns() const { return parentRows + ownRows; }
  int64_t diagonal;  // column of the first query row's own key
};

template <typename F>
void forEachBlock(at::IntArrayRef segments, int64_t window, const F& body) {
  for (size_t s = 0; s + 3 < segments.size(); s += 4) {
    const int64_t start = segments[s], end = segments[s + 1], parentStart = segments[s + 2], parentEnd = segments[s + 3];
    const int64_t context = parentEnd - parentStart;
    for (int64_t first = start; first < end; first += kBlock) {
      const int64_t rows = std::min(kBlock, end - first);
      // logical key columns: parent 0 … context-1, own from there on; columns before `cut` no row of the block sees
      const int64_t cut = window == 0 ? 0 : std::max<int64_t>(0, context + (first - start) - window + 1);
      const int64_t parentCut = std::min(cut, context), ownCut = cut - parentCut;
      body(Block{first, rows, parentStart + parentCut, context - parentCut, start + ownCut, first + rows - start - ownCut,
                 context + (first - start) - cut});
    }
  }
}

// The most rows, of all query heads of a key head, and scores that a block has.
std::pair<int64_t, int64_t> largestBlock(at::IntArrayRef segments, const Shapes& n) {
  int64_t rows = 0, scores = 0;
  forEachBlock(segments, n.window, [&](const Block& b) {
    rows = std::max(rows, n.group * b.rows);
    scores = std::max(scores, n.group * b.rows * b.columns());
  });
  return {rows, scores};
}

// Rows [first, first + count) of a key head of keys or values (T, K, E).
Matrix headRows(const float* x, const Shapes& n, int64_t keyHead, int64_t first, int64_t count) {
  return {x + (first * n.keyHeads + keyHead) * n.width, count, n.width, n.keyHeads * n.width};
}

// (rows, group heads, E) of the stream into a buffer ordered (group head, row, E), times `factor`; and back.
void gather(float* to, const float* from, const Block& b, const Shapes& n, int64_t keyHead, float factor) {
  for (int64_t g = 0; g < n.group; ++g)
    for (int64_t i = 0; i < b.rows; ++i)
      rowScale(to + (g * b.rows + i) * n.width, from + ((b.first + i) * n.heads + keyHead * n.group + g) * n.width, n.width, factor);
}

void scatter(float* to, const float* from, const Block& b, const Shapes& n, int64_t keyHead, float factor) {
  for (int64_t g = 0; g < n.group; ++g)
    for (int64_t i = 0; i < b.rows; ++i)
      rowScale(to + ((b.first + i) * n.heads + keyHead * n.group + g) * n.width, from + (g * b.rows + i) * n.width, n.width, factor);
}

// Columns [low, high) that query row i of the block sees.
std::pair<int64_t, int64_t> visible(const Block& b, const Shapes& n, int64_t i) {
  const int64_t high = b.diagonal + i + 1;
  return {n.window == 0 ? 0 : std::max<int64_t>(0, high - n.window), high};
}

void zeroOutside(float* row, int64_t low, int64_t high, int64_t columns) {
  std::fill(row, row + low, 0.0f);
  std::fill(row + high, row + columns, 0.0f);
}

// Up to so many products of two numbers the kernel for small matrices is the faster one: a library takes microseconds to begin.
constexpr int64_t kSmallProducts = 1 << 18;

// c (+)= a · b, c with rows `strideC` apart.
void product(float* c, int64_t strideC, const Matrix& a, const Matrix& b, bool adds) {
  if (a.rows * a.columns * b.columns > kSmallProducts) return multiply(c, strideC, a, b, adds);
  static thread_local std::vector<float> room;
  const int64_t width = roundUp(b.columns, kLanes);
  Matrix right = b;
  if (b.isTransposed || b.columns != width) {
    room.resize(std::max(room.size(), static_cast<size_t>(b.rows * width)));
    pack(room.data(), width, b, width);
    right = {room.data(), b.rows, b.columns, width};
  }
  const int64_t down = a.isTransposed ? 1 : a.stride, across = a.isTransposed ? a.stride : 1;
  smallProduct(SmallProduct{c, a.at, right.at, strideC, down, across, right.stride, a.rows, a.columns, b.columns, adds});
}

// left (m, E) · keysᵀ over parent and own keys -> out (m, columns)
void timesKeys(float* out, const Matrix& left, const float* keys, const Block& b, const Shapes& n, int64_t keyHead) {
  const auto part = [&](int64_t column, int64_t first, int64_t count) {
    if (count > 0) product(out + column, b.columns(), left, headRows(keys, n, keyHead, first, count).transposed(), false);
  };
  part(0, b.parentFirst, b.parentRows);
  part(b.parentRows, b.ownFirst, b.ownRows);
}

// weights (m, columns) · values over parent and own keys -> out (m, E)
void timesValues(float* out, const Matrix& weights, const float* values, const Block& b, const Shapes& n, int64_t keyHead) {
  const auto part = [&](int64_t column, int64_t first, int64_t count, bool adds) {
    if (count > 0) product(out, n.width, weights.part(0, column, weights.rows, count), headRows(values, n, keyHead, first, count), adds);
  };
  part(b.parentRows, b.ownFirst, b.ownRows, false);
  part(0, b.parentFirst, b.parentRows, true);
}

// sum (T, K, E) of a key head += weightsᵀ · right, over parent and own keys
void addTransposed(float* sum, const Matrix& weights, const Matrix& right, const Block& b, const Shapes& n, int64_t keyHead) {
  const auto part = [&](int64_t column, int64_t first, int64_t count) {
    if (count > 0)
      product(sum + (first * n.keyHeads + keyHead) * n.width, n.keyHeads * n.width, weights.part(0, column, weights.rows, count).transposed(), right, true);
  };
  part(0, b.parentFirst, b.parentRows);
  part(b.parentRows, b.ownFirst, b.ownRows);
}

// Segments that see each other, a prompt and its completions: each tree has its own rows of every result.
std::vector<std::vector<int64_t>> treesOf(at::IntArrayRef segments) {
  std::vector<std::vector<int64_t>> trees;
  std::unordered_map<int64_t, size_t> treeFrom;
  for (size_t s = 0; s + 3 < segments.size(); s += 4) {
    const auto segment = segments.slice(s, 4);
    const bool isRoot = segment[2] >= segment[3];
    const auto parent = isRoot ? treeFrom.end() : treeFrom.find(segment[2]);
    if (!isRoot && (parent == treeFrom.end() || trees[parent->second][1] != segment[3])) return {segments.vec()};
    if (isRoot) {
      treeFrom[segment[0]] = trees.size();
      trees.emplace_back();
    }
    auto& tree = isRoot ? trees.back() : trees[parent->second];
    tree.insert(tree.end(), segment.begin(), segment.end());
  }
  return trees;
}

// Key heads are independent, too. `begin()` gives what attends for a key head in a tree, with the room that a thread needs for it.
template <typename Begin>
void forEachHeadOfTree(int64_t keyHeads, at::IntArrayRef segments, const Begin& begin) {
  const auto trees = treesOf(segments);
  const auto count = static_cast<int64_t>(trees.size());
  runTasks(keyHeads * count, [&] {
    return [&, attend = begin()](int64_t task) {
      at::AutoDispatchBelowADInplaceOrView guard;  // worker threads do not inherit the caller's
      attend(task / count, trees[static_cast<size_t>(task % count)]);
    };
  });
}

Shapes shapesOf(const at::Tensor& q, const at::Tensor& k, double scale, int64_t window) {
  return {q.size(1), k.size(1), q.size(1) / k.size(1), q.size(2), window, static_cast<float>(scale)};
}

std::pair<at::Tensor, at::Tensor> attendForward(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, at::IntArrayRef segments,
                                          double scale, int64_t window) {
  const Shapes n = shapesOf(q, k, scale, window);
  at::Tensor out = at::empty_like(q);
  at::Tensor logSumExp = at::empty({n.heads, q.size(0)}, q.options());
  const auto [mostRows, mostScores] = largestBlock(segments, n);
  forEachHeadOfTree(n.keyHeads, segments, [&, mostRows = mostRows, mostScores = mostScores] {
    const at::Tensor queries = at::empty({mostRows, n.width}, q.options()), scores = at::empty({mostScores}, q.options());
    return [&, queries, scores](int64_t keyHead, at::IntArrayRef tree) {
      forEachBlock(tree, window, [&](const Block& b) {
        const int64_t m = n.group * b.rows, columns = b.columns();
        gather(queries.mutable_data_ptr<float>(), q.const_data_ptr<float>(), b, n, keyHead, n.scale);
        float* const all = scores.mutable_data_ptr<float>();
        timesKeys(all, {queries.const_data_ptr<float>(), m, n.width, n.width}, k.const_data_ptr<float>(), b, n, keyHead);
        for (int64_t g = 0; g < n.group; ++g) {
          for (int64_t i = 0; i < b.rows; ++i) {
            float* row = all + (g * b.rows + i) * columns;
            const auto [low, high] = visible(b, n, i);
            const float max = rowMax(row + low, high - low);
            const float sum = rowExp(row + low, high - low, max);
            rowScale(row + low, row + low, high - low, 1.0f / sum);
            zeroOutside(row, low, high, columns);
            logSumExp.mutable_data_ptr<float>()[(keyHead * n.group + g) * q.size(0) + b.first + i] = max + std::log(sum);
          }
        }
        timesValues(queries.mutable_data_ptr<float>(), {all, m, columns, columns}, v.const_data_ptr<float>(), b, n, keyHead);
        scatter(out.mutable_data_ptr<float>(), queries.const_data_ptr<float>(), b, n, keyHead, 1.0f);
      });
    };
  });
  return {out, logSumExp};
}

struct Saved {
  at::Tensor q, k, v, out, logSumExp;
};

std::tuple<at::Tensor, at::Tensor, at::Tensor> attendBackward(const at::Tensor& grad, const Saved& saved, at::IntArrayRef segments,
                                                        double scale, int64_t window) {
  // before clang 16 a lambda cannot use those of a structured binding
  const at::Tensor &q = saved.q, &k = saved.k, &v = saved.v, &out = saved.out, &logSumExp = saved.logSumExp;
  const Shapes n = shapesOf(q, k, scale, window);
  at::Tensor dq = at::empty_like(q), dk = at::zeros_like(k), dv = at::zeros_like(v);
  const auto [mostRows, mostScores] = largestBlock(segments, n);
  forEachHeadOfTree(n.keyHeads, segments, [&, mostRows = mostRows, mostScores = mostScores] {
    const at::Tensor queries = at::empty({mostRows, n.width}, q.options()), upstream = at::empty_like(queries), values = at::empty_like(queries);
    const at::Tensor p = at::empty({mostScores}, q.options()), dp = at::empty_like(p);
    return [&, queries, upstream, values, p, dp](int64_t keyHead, at::IntArrayRef tree) {
      forEachBlock(tree, window, [&](const Block& b) {
        const int64_t m = n.group * b.rows, columns = b.columns();
        gather(queries.mutable_data_ptr<float>(), q.const_data_ptr<float>(), b, n, keyHead, n.scale);
        gather(upstream.mutable_data_ptr<float>(), grad.const_data_ptr<float>(), b, n, keyHead, 1.0f);
        gather(values.mutable_data_ptr<float>(), out.const_data_ptr<float>(), b, n, keyHead, 1.0f);
        const Matrix queryRows{queries.const_data_ptr<float>(), m, n.width, n.width}, gradRows{upstream.const_data_ptr<float>(), m, n.width, n.width};
        const Matrix weights{p.const_data_ptr<float>(), m, columns, columns}, gradScores{dp.const_data_ptr<float>(), m, columns, columns};
        timesKeys(p.mutable_data_ptr<float>(), queryRows, k.const_data_ptr<float>(), b, n, keyHead);
        timesKeys(dp.mutable_data_ptr<float>(), gradRows, v.const_data_ptr<float>(), b, n, keyHead);
        for (int64_t g = 0; g < n.group; ++g) {
          for (int64_t i = 0; i < b.rows; ++i) {
            const int64_t r = g * b.rows + i;
            float* pRow = p.mutable_data_ptr<float>() + r * columns;
            float* dpRow = dp.mutable_data_ptr<float>() + r * columns;
            const auto [low, high] = visible(b, n, i);
            const float shift = logSumExp.const_data_ptr<float>()[(keyHead * n.group + g) * q.size(0) + b.first + i];
            rowExp(pRow + low, high - low, shift);
            zeroOutside(pRow, low, high, columns);
            const float delta = rowDot(upstream.const_data_ptr<float>() + r * n.width, values.const_data_ptr<float>() + r * n.width, n.width);
            rowSoftmaxGrad(dpRow + low, pRow + low, high - low, delta);
            zeroOutside(dpRow, low, high, columns);
          }
        }
        addTransposed(dv.mutable_data_ptr<float>(), weights, gradRows, b, n, keyHead);
        addTransposed(dk.mutable_data_ptr<float>(), gradScores, queryRows, b, n, keyHead);
        timesValues(values.mutable_data_ptr<float>(), gradScores, k.const_data_ptr<float>(), b, n, keyHead);
        scatter(dq.mutable_data_ptr<float>(), values.const_data_ptr<float>(), b, n, keyHead, n.scale);
      });
    };
  });
  return {dq, dk, dv};
}

void checkInputs(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, at::IntArrayRef segments, int64_t window) {
  TORCH_CHECK(q.dim() == 3 && k.dim() == 3 && v.sizes() == k.sizes(), "expected q (T, H, E) and k, v (T, K, E)");
  TORCH_CHECK(q.size(0) == k.size(0) && q.size(2) == k.size(2) && k.size(1) > 0 && q.size(1) % k.size(1) == 0, "q and k do not fit together");
  TORCH_CHECK(q.size(1) > 0 && q.size(2) > 0, "expected a head and a feature at least, got q of shape ", q.sizes());
  TORCH_CHECK(window >= 0, "expected a window of tokens, or 0 for none, got ", window);
  const auto type = q.scalar_type();
  TORCH_CHECK(isCpuFloatOrHalf(q), "expected tensors in float32 or half precision on the CPU");
  TORCH_CHECK(k.scalar_type() == type && v.scalar_type() == type, "expected q, k and v in one type");
  TORCH_CHECK(segments.size() % 4 == 0, "expected start, end, parent start and parent end of each segment");
  for (size_t s = 0; s < segments.size(); s += 4) {
    const bool inside = 0 <= segments[s] && segments[s] <= segments[s + 1] && segments[s + 1] <= q.size(0) &&
                        0 <= segments[s + 2] && segments[s + 2] <= segments[s + 3] && segments[s + 3] <= q.size(0);
    TORCH_CHECK(inside, "a segment lies outside the stream");
  }
}

class SegmentAttention : public torch::autograd::Function<SegmentAttention> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            at::IntArrayRef segments, double scale, int64_t window) {
    at::AutoDispatchBelowADInplaceOrView guard;
    auto [sums, logSumExp] = attendForward(inFloat(q), inFloat(k), inFloat(v), segments, scale, window);
    const at::Tensor out = inType(sums, q.scalar_type());
    context->save_for_backward({q, k, v, out, logSumExp});
    context->saved_data["segments"] = segments.vec();
    context->saved_data["scale"] = scale;
    context->saved_data["window"] = window;
    return out;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context, torch::autograd::variable_list grads) {
    const auto saved = context->get_saved_variables();
    const auto segments = context->saved_data["segments"].toIntVector();
    auto [dq, dk, dv] =
        attendBackward(inFloat(grads[0]), {inFloat(saved[0]), inFloat(saved[1]), inFloat(saved[2]), inFloat(saved[3]), saved[4]},
                       segments, context->saved_data["scale"].toDouble(), context->saved_data["window"].toInt());
    const auto type = saved[0].scalar_type();
    return {dq.to(type), dk.to(type), dv.to(type), at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

at::Tensor segmentAttention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, at::IntArrayRef segments, double scale,
                            int64_t window) {
  checkInputs(q, k, v, segments, window);
  return SegmentAttention::apply(q.contiguous(), k.contiguous(), v.contiguous(), segments, scale, window);
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(preftune, m) {
  m.def("segment_attention(Tensor q, Tensor k, Tensor v, int[] segments, float scale, int window) -> Tensor", segmentAttention);
}

}  // namespace preftune
