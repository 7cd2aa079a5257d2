// Matrix products on the CPU: `mm` and `addmm` are replaced, so every product of every operator is meant. In float32 they are made
// of the block kernels of oneDNN (`cpublas::brgemm`) that torch carries, or by torch's own library, MKL: which one is said by
// `useMatmul`, from a measurement on this processor (`measureMatmul`). With batch invariance they are those of skinny-gemm.h and tall-gemm.h.
#pragma once

#include <ATen/ATen.h>
#include <ATen/CPUFunctions.h>
#include <ATen/Parallel.h>
#include <ATen/native/CPUBlas.h>
#include <c10/util/Exception.h>
#include <torch/library.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <ctime>
#include <limits>
#include <vector>

#include "batch-invariance.h"
#include "in-type.h"
#include "row-kernels.h"
#include "tall-gemm.h"
#include "tasks.h"

namespace preftune {
namespace {

namespace blas = at::native::cpublas;

// A matrix in memory: element (i, j) at at[i * stride + j], or at at[j * stride + i] when transposed.
struct Matrix {
  const float* at;
  int64_t rows, columns, stride;
  bool isTransposed = false;

  Matrix part(int64_t row, int64_t column, int64_t height, int64_t width) const {
    return {at + (isTransposed ? column * stride + row : row * stride + column), height, width, stride, isTransposed};
  }
  Matrix transposed() const { return {at, columns, rows, stride, !isTransposed}; }
};

constexpr int64_t kPanel = 64;           // columns of one packed panel of the right matrix
constexpr int64_t kRows = 128;           // rows of the left matrix at once: with one panel they fit the second-level cache
constexpr int64_t kDepth = 1152;         // length of the sums made at once
constexpr int64_t kPackedBytes = 4 << 20;  // of the right matrix, packed, at once: fits the third-level cache

int64_t roundUp(int64_t n, int64_t step) { return (n + step - 1) / step * step; }

// The kernel for a block; there is one for every combination of these numbers, so the odd rows of a block are a separate call: fewer differ.
void multiplyBlock(float* c, int64_t strideC, const Matrix& a, const float* panel, int64_t width, bool adds) {
  const int64_t even = a.rows / 8 * 8;
  const auto call = [&](int64_t first, int64_t count) {
    if (count > 0)
      blas::brgemm(count, width, a.columns, a.stride, kPanel, strideC, adds, a.at + first * a.stride, panel, c + first * strideC, false);
  };
  call(0, even);
  call(even, a.rows - even);
}

// to[i * stride + j] = from(i, j); zeros in the columns from there to `width`, not less than there are.
void pack(float* to, int64_t stride, const Matrix& from, int64_t width) {
  if (from.isTransposed) transposeRows(to, stride, from.at, from.stride, from.columns, from.rows);
  for (int64_t i = 0; i < from.rows; ++i) {
    if (!from.isTransposed) std::memcpy(to + i * stride, from.at + i * from.stride, static_cast<size_t>(from.columns) * sizeof(float));
    std::fill(to + i * stride + from.columns, to + i * stride + width, 0.0f);
  }
}

// A slice of b as panels of (depth, kPanel), `depth` a multiple that may be more than its rows: the rest is zero.
at::Tensor packPanels(const Matrix& b, int64_t depth) {
  const int64_t panels = roundUp(b.columns, kPanel) / kPanel;
  at::Tensor packed = at::empty({panels * depth * kPanel}, at::kFloat);
  float* const to = packed.mutable_data_ptr<float>();
  at::parallel_for(0, panels, 4, [&](int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; ++p) {
      float* const panel = to + p * depth * kPanel;
      const int64_t columns = std::min(kPanel, b.columns - p * kPanel);
      pack(panel, kPanel, b.part(0, p * kPanel, b.rows, columns), columns);
      std::fill(panel + b.rows * kPanel, panel + depth * kPanel, 0.0f);
    }
  });
  return packed;
}

// Tasks for each thread, so that none waits long for another: a product may have three blocks of rows, and threads may be slowed down.
constexpr int64_t kTasksAThread = 8;

// c (+)= a · b for a packed slice b of `columns` columns; each task has its own rows and columns of c.
void multiplyPacked(float* c, int64_t strideC, const Matrix& a, const at::Tensor& packed, int64_t depth, int64_t columns, bool adds) {
  const int64_t panels = roundUp(columns, kPanel) / kPanel, blocks = roundUp(a.rows, kRows) / kRows;
  const int64_t threads = at::get_num_threads();
  const int64_t shares = threads == 1 ? 1 : std::min(panels, roundUp(kTasksAThread * threads, blocks) / blocks);
  const float* const from = packed.const_data_ptr<float>();
  runTasks(blocks * shares, [&] {
    return [&, own = at::Tensor(), packedRow = int64_t{-1}](int64_t task) mutable {
      const int64_t row = task / shares * kRows, share = task % shares;
      Matrix rows = a.part(row, 0, std::min(kRows, a.rows - row), a.columns);
      if (a.isTransposed) {
        if (!own.defined()) own = at::empty({kRows * depth}, at::kFloat);
        if (row != packedRow) pack(own.mutable_data_ptr<float>(), depth, rows, depth);
        packedRow = row;
        rows = {own.const_data_ptr<float>(), rows.rows, depth, depth};
      }
      for (int64_t p = share * panels / shares; p < (share + 1) * panels / shares; ++p)
        multiplyBlock(c + row * strideC + p * kPanel, strideC, rows, from + p * depth * kPanel, std::min(kPanel, columns - p * kPanel), adds);
    };
  });
}

// c (+)= a · b in blocks. The order of every sum is fixed: the result does not depend on the threads.
void multiplyInBlocks(float* c, int64_t strideC, const Matrix& a, const Matrix& b, bool adds) {
  const int64_t parts = roundUp(a.columns, kDepth) / kDepth, most = roundUp(roundUp(a.columns, parts) / parts, 16);
  for (int64_t k = 0; k < a.columns; k += most) {
    const int64_t count = std::min(most, a.columns - k);
    const int64_t depth = a.isTransposed ? roundUp(count, 16) : count;
    const int64_t width = std::max<int64_t>(kPanel, kPackedBytes / 4 / depth / kPanel * kPanel);
    for (int64_t n = 0; n < b.columns; n += width) {
      const int64_t columns = std::min(width, b.columns - n);
      const at::Tensor packed = packPanels(b.part(k, n, count, columns), depth);
      multiplyPacked(c + n, strideC, a.part(0, k, a.rows, count), packed, depth, columns, adds || k > 0);
    }
  }
}

bool findKernel() {
#if defined(CPUBLAS_BRGEMM_F32F32F32) && defined(__x86_64__)
  try {
    float a[16], b[16], c[16] = {};
    std::fill(a, a + 16, 1.0f);
    std::fill(b, b + 16, 2.0f);
    blas::brgemm(4, 4, 4, 4, 4, 4, false, a, b, c, false);
    return std::all_of(c, c + 16, [](float x) { return x == 8.0f; });
  } catch (const std::exception&) {
    return false;  // this torch or this processor does not have it
  }
#else
  return false;
#endif
}

bool hasKernel() {
  static const bool has = findKernel();
  return has;
}

// Whether the products are oneDNN's. Until something is chosen they are torch's.
std::atomic<bool>& usesBlocks() {
  static std::atomic<bool> uses = false;
  return uses;
}

// c (+)= a · b, c with rows `strideC` apart.
void multiply(float* c, int64_t strideC, const Matrix& a, const Matrix& b, bool adds) {
  if (usesBlocks()) return multiplyInBlocks(c, strideC, a, b, adds);
  // torch exports no product of plain pointers: tensors over the same memory
  const auto view = [](const Matrix& x) {
    const std::vector<int64_t> strides = x.isTransposed ? std::vector<int64_t>{1, x.stride} : std::vector<int64_t>{x.stride, 1};
    return at::from_blob(const_cast<float*>(x.at), {x.rows, x.columns}, strides, at::kFloat);
  };
  at::Tensor out = view({c, a.rows, b.columns, strideC});
  if (adds) at::cpu::addmm_(out, view(a), view(b), 1, 1);
  else at::cpu::mm_out(out, view(a), view(b));
}

// Below this many products of two numbers torch's way costs less.
constexpr int64_t kLeastProducts = 1 << 16;

bool fits(const at::Tensor& a, const at::Tensor& b) {
  return usesBlocks() && a.scalar_type() == at::kFloat && b.scalar_type() == at::kFloat && a.dim() == 2 && b.dim() == 2 &&
         a.size(1) == b.size(0) && a.size(0) * a.size(1) * b.size(1) >= kLeastProducts;
}

// Whether the product is that of skinny-gemm.h: always with batch invariance, otherwise where it is the fastest of all.
bool isSkinny(const at::Tensor& a, const at::Tensor& b) {
  if (!isWithTransposed(a, b)) return false;
  return batchInvariant() || (usesBlocks() && a.scalar_type() == at::kFloat && a.is_contiguous() && a.size(0) <= kSkinnyRows && level() == Level::avx512);
}

bool isResult(const at::Tensor& out, const at::Tensor& a, const at::Tensor& b) {
  return out.scalar_type() == at::kFloat && out.dim() == 2 && out.size(0) == a.size(0) && out.size(1) == b.size(1) && out.stride(1) == 1 &&
         out.stride(0) >= out.size(1);
}

at::Tensor readable(const at::Tensor& x) {
  const auto is = [&](int64_t inner) { return x.stride(inner) == 1 && x.stride(1 - inner) >= x.size(inner); };
  return is(1) || is(0) ? x : x.contiguous();
}

Matrix matrixOf(const at::Tensor& x) {
  const bool isTransposed = x.stride(1) != 1 || x.stride(0) < x.size(1);
  return {x.const_data_ptr<float>(), x.size(0), x.size(1), x.stride(isTransposed ? 1 : 0), isTransposed};
}

void multiplyInto(const at::Tensor& out, const at::Tensor& a, const at::Tensor& b, bool adds) {
  const at::Tensor left = readable(a), right = readable(b);
  multiply(out.mutable_data_ptr<float>(), out.stride(0), matrixOf(left), matrixOf(right), adds);
}

at::Tensor emptyProduct(const at::Tensor& a, const at::Tensor& b) { return at::empty({a.size(0), b.size(1)}, a.options()); }

at::Tensor mm(const at::Tensor& a, const at::Tensor& b) {
  if (isSkinny(a, b)) return inType(productOfRows(a, b), a.scalar_type());
  if (!fits(a, b)) return at::cpu::mm(a, b);
  at::Tensor out = emptyProduct(a, b);
  multiplyInto(out, a, b, false);
  return out;
}

at::Tensor& mmOut(const at::Tensor& a, const at::Tensor& b, at::Tensor& out) {
  if (!fits(a, b) || !isResult(out, a, b)) return at::cpu::mm_out(out, a, b);
  multiplyInto(out, a, b, false);
  return out;
}

// beta self + alpha a · b of a skinny product, summed in float32.
at::Tensor addSkinny(const at::Tensor& self, const at::Tensor& a, const at::Tensor& b, const at::Scalar& beta, const at::Scalar& alpha) {
  return productOfRows(a, b).mul_(alpha).add_(inType(self, at::kFloat), beta);
}

// beta self + alpha a · b. `alpha` goes with the smaller factor, so that it costs little.
at::Tensor& addmmInto(at::Tensor& self, const at::Tensor& a, const at::Tensor& b, const at::Scalar& beta, const at::Scalar& alpha) {
  if (isSkinny(a, b) && self.scalar_type() == a.scalar_type() && self.dim() == 2) return self.copy_(addSkinny(self, a, b, beta, alpha));
  if (!fits(a, b) || !isResult(self, a, b)) return at::cpu::addmm_(self, a, b, beta, alpha);
  const bool isPlain = alpha.toDouble() == 1, scalesLeft = !isPlain && a.numel() <= b.numel();
  if (beta.toDouble() != 1 && beta.toDouble() != 0) self.mul_(beta);
  multiplyInto(self, scalesLeft ? a.mul(alpha) : a, isPlain || scalesLeft ? b : b.mul(alpha), beta.toDouble() != 0);
  return self;
}

at::Tensor addmm(const at::Tensor& self, const at::Tensor& a, const at::Tensor& b, const at::Scalar& beta, const at::Scalar& alpha) {
  if (isSkinny(a, b) && self.scalar_type() == a.scalar_type()) return inType(addSkinny(self, a, b, beta, alpha), a.scalar_type());
  if (!fits(a, b) || self.scalar_type() != at::kFloat) return at::cpu::addmm(self, a, b, beta, alpha);
  at::Tensor out = emptyProduct(a, b);
  if (beta.toDouble() != 0) out.copy_(self);
  return addmmInto(out, a, b, beta, alpha);
}

// Puts the products of this process in the charge of oneDNN, or of torch.
void useMatmul(bool blocks) {
  TORCH_CHECK(!blocks || hasKernel(), "this torch has no oneDNN products for this processor");
  usesBlocks() = blocks;
}

// GFLOP/s of each way to make a product of one shape; 0 where it is not there.
struct MatmulSpeed {
  const char* shape;
  double torch = 0, onednn = 0, own = 0;
};

// Of this thread, without the time that other programs had; where the system does not measure it, the time that passed.
double threadSeconds() {
#if defined(CLOCK_THREAD_CPUTIME_ID)
  timespec now{};
  if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now) == 0) return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
#endif
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// A product of one shape and the quickest time of each way to make it.
struct MeasuredProduct {
  const char* shape;
  at::Tensor a, b;
  double torch = std::numeric_limits<double>::infinity(), onednn = torch, own = torch;

  template <typename F>
  void time(double& best, const F& product) {
    const double start = threadSeconds();
    const at::Tensor out = product();
    best = std::min(best, threadSeconds() - start);
  }
  void measure() {
    time(torch, [&] { return at::cpu::mm(a, b); });
    if (hasKernel()) {
      time(onednn, [&] {
        at::Tensor out = emptyProduct(a, b);
        multiplyInBlocks(out.mutable_data_ptr<float>(), out.stride(0), matrixOf(a), matrixOf(b), false);
        return out;
      });
    }
    if (isWithTransposed(a, b)) time(own, [&] { return productOfRows(a, b); });
  }
  MatmulSpeed speed() const {
    const double products = 2e-9 * static_cast<double>(a.size(0) * a.size(1) * b.size(1));
    return {shape, products / torch, products / onednn, products / own};
  }
};

// In turns, on one thread, for about `seconds` of its CPU time. The quickest of each counts: whatever disturbs makes slower.
std::vector<MatmulSpeed> measureMatmul(double seconds) {
  constexpr int64_t kTokens = 512, kIn = 768, kOut = 2048, kFew = 8;
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const at::Tensor x = at::rand({kTokens, kIn}), weight = at::rand({kOut, kIn}), grad = at::rand({kTokens, kOut});
  std::vector<MeasuredProduct> products = {{"forward", x, weight.t()},
                                           {"inputGradient", grad, weight},
                                           {"weightGradient", grad.t(), x},
                                           {"fewRows", x.narrow(0, 0, kFew), weight.t()}};
  const double start = threadSeconds();
  for (int round = 0; round < 4 || threadSeconds() - start < seconds; ++round)
    for (MeasuredProduct& product : products) product.measure();
  at::set_num_threads(threads);
  std::vector<MatmulSpeed> speeds;
  for (const MeasuredProduct& product : products) speeds.push_back(product.speed());
  return speeds;
}

struct IgnoreWarnings : c10::WarningHandler {
  void process(const c10::Warning&) override {}
};

// Replaces torch's products in this process. Once.
void replaceProducts() {
  // torch warns that its kernels are replaced: that is the intent
  IgnoreWarnings quiet;
  const c10::WarningUtils::WarningHandlerGuard guard(&quiet);
  static torch::Library library(torch::Library::IMPL, "aten", c10::DispatchKey::CPU, __FILE__, __LINE__);
  library.impl("mm", mm);
  library.impl("mm.out", mmOut);
  library.impl("addmm", addmm);
  library.impl("addmm_", addmmInto);
}

}  // namespace
}  // namespace preftune
