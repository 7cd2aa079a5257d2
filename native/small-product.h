// Products of small matrices, float32: what attention over short segments is made of. A library's way to its kernel costs more than they do.
#pragma once

#include <algorithm>
#include <cstdint>

#include "row-kernels.h"

namespace preftune {

// c (+)= a · b. Element (i, k) of a is at a[i * down + k * across]; rows of b are `strideB` apart, and floats may be read up to the next
// multiple of eight columns.
struct SmallProduct {
  float* c;
  const float *a, *b;
  int64_t strideC, down, across, strideB, rows, depth, columns;
  bool adds;
};

// R rows of c, V vectors of columns from `column` on, moved by `get` and `put`: all sums stay in registers.
template <int R, int V, typename Get, typename Put>
PREFTUNE_INLINE void smallTile(const SmallProduct& n, int64_t row, int64_t column, const Get& get, const Put& put) {
  float* const c = n.c + row * n.strideC + column;
  const float *a = n.a + row * n.down, *b = n.b + column;
  Lanes sum[R][V] = {};
  if (n.adds)
    for (int i = 0; i < R; ++i)
      for (int v = 0; v < V; ++v) sum[i][v] = get(c + i * n.strideC + v * kLanes);
  for (int64_t k = 0; k < n.depth; ++k, a += n.across, b += n.strideB) {
    Lanes factor[V];
    for (int v = 0; v < V; ++v) factor[v] = load(b + v * kLanes);
    for (int i = 0; i < R; ++i)
      for (int v = 0; v < V; ++v) sum[i][v] += factor[v] * a[i * n.down];
  }
  for (int i = 0; i < R; ++i)
    for (int v = 0; v < V; ++v) put(c + i * n.strideC + v * kLanes, sum[i][v]);
}

template <int R>
PREFTUNE_INLINE void smallRows(const SmallProduct& n, int64_t row, int64_t column = 0) {
  const auto get = PREFTUNE_EACH(const float* from) { return load(from); };
  const auto put = PREFTUNE_EACH(float* to, const Lanes& x) { store(to, x); };
  for (; column + 2 * kLanes <= n.columns; column += 2 * kLanes) smallTile<R, 2>(n, row, column, get, put);
  for (; column + kLanes <= n.columns; column += kLanes) smallTile<R, 1>(n, row, column, get, put);
  const int64_t rest = n.columns - column;
  const auto getEnd = PREFTUNE_EACH(const float* from) { return loadEnd(from, rest); };
  const auto putEnd = PREFTUNE_EACH(float* to, const Lanes& x) { storeEnd(to, x, rest); };
  if (rest > 0) smallTile<R, 1>(n, row, column, getEnd, putEnd);
}

PREFTUNE_INLINE void smallProductBody(const SmallProduct& n) {
  int64_t row = 0;
  for (; row + 4 <= n.rows; row += 4) smallRows<4>(n, row);
  if (row + 2 <= n.rows) smallRows<2>(n, row), row += 2;
  if (row < n.rows) smallRows<1>(n, row);
}

#if PREFTUNE_X86_LEVELS
// The same with vectors of sixteen, each number the same sum.
template <int R, int V>
PREFTUNE_WIDE void smallWideTile(const SmallProduct& n, int64_t row, int64_t column) {
  float* const c = n.c + row * n.strideC + column;
  const float *a = n.a + row * n.down, *b = n.b + column;
  Sixteen sum[R][V] = {};
  if (n.adds)
    for (int i = 0; i < R; ++i)
      for (int v = 0; v < V; ++v) sum[i][v] = loadWide(c + i * n.strideC + v * kWideLanes);
  for (int64_t k = 0; k < n.depth; ++k, a += n.across, b += n.strideB) {
    Sixteen factor[V];
    for (int v = 0; v < V; ++v) factor[v] = loadWide(b + v * kWideLanes);
    for (int i = 0; i < R; ++i)
      for (int v = 0; v < V; ++v) sum[i][v] += factor[v] * a[i * n.down];
  }
  for (int i = 0; i < R; ++i)
    for (int v = 0; v < V; ++v) storeWide(c + i * n.strideC + v * kWideLanes, sum[i][v]);
}

template <int R>
PREFTUNE_WIDE void smallWideRows(const SmallProduct& n, int64_t row) {
  int64_t column = 0;
  for (; column + 2 * kWideLanes <= n.columns; column += 2 * kWideLanes) smallWideTile<R, 2>(n, row, column);
  if (column + kWideLanes <= n.columns) smallWideTile<R, 1>(n, row, column), column += kWideLanes;
  smallRows<R>(n, row, column);
}

PREFTUNE_WIDE void smallProductWide(const SmallProduct& n) {
  int64_t row = 0;
  for (; row + 8 <= n.rows; row += 8) smallWideRows<8>(n, row);
  if (row + 4 <= n.rows) smallWideRows<4>(n, row), row += 4;
  if (row + 2 <= n.rows) smallWideRows<2>(n, row), row += 2;
  if (row < n.rows) smallWideRows<1>(n, row);
}
#endif
PREFTUNE_WIDE_KERNEL(smallProduct);

}  // namespace preftune
