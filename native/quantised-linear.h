// preftune::quantised_linear: x ↦ W x + b with W frozen and held in 4 or 8 bits, as bitsandbytes holds it. The matrix is made when it is
// needed, in the forward and again in the backward pass, and freed: the graph keeps nothing of it. preftune::dequantise makes the matrix.
//
// A weight of (out, in) is a list of tensors:
//   8 bits    codes int8 (out, in), scale float32 (out): a number is code · scale / 127
//   4 bits    codes uint8 (⌈n/2⌉), the first of two in the upper half; absmax float32 (blocks); map float32 (16)
//   the same with absmax in 8 bits: codes, absmax uint8 (blocks), map, nested absmax float32 (⌈blocks/256⌉), nested map float32 (256),
//             nested offset float32 ()
// where blocks run over the matrix row by row.
#pragma once

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <algorithm>
#include <string>
#include <vector>

#include "batch-invariance.h"
#include "in-type.h"
#include "row-kernels.h"
#include "tall-gemm.h"

#if PREFTUNE_X86_LEVELS
#include <immintrin.h>
#endif

namespace preftune {
namespace {

// Numbers of a nested block.
constexpr int64_t kNestedBlock = 256;
// Numbers that torch's operators make at a time: bounds the copies in between.
constexpr int64_t kStretch = 1 << 24;

struct QuantisedWeight {
  std::vector<at::Tensor> stored;
  std::vector<int64_t> shape;
  int64_t block;  // numbers of a block in 4 bits

  bool isRows() const { return stored.size() == 2; }
  int64_t numel() const { return shape[0] * shape[1]; }
  int64_t blocks() const { return (numel() + block - 1) / block; }
};

void require(const at::Tensor& tensor, at::ScalarType type, int64_t numel, const char* what) {
  TORCH_CHECK(tensor.scalar_type() == type && tensor.is_contiguous() && tensor.numel() == numel, "expected ", what, " as ", numel,
              " contiguous numbers of ", type, ", got ", tensor.toString(), " of shape ", tensor.sizes());
}

QuantisedWeight quantisedWeight(at::TensorList stored, at::IntArrayRef shape, int64_t block) {
  TORCH_CHECK(shape.size() == 2 && (stored.size() == 2 || stored.size() == 3 || stored.size() == 6),
              "expected the 2, 3 or 6 tensors of a matrix in 8 or 4 bits");
  constexpr int64_t kMost = int64_t{1} << 31;  // so that no product of two overflows
  TORCH_CHECK(0 <= shape[0] && shape[0] < kMost && 0 <= shape[1] && shape[1] < kMost, "expected the shape of a matrix, got ", shape);
  for (const at::Tensor& part : stored) TORCH_CHECK(part.device() == stored[0].device(), "expected the tensors of a matrix on one device");
  QuantisedWeight of{stored.vec(), shape.vec(), block};
  if (of.isRows()) {
    require(stored[0], at::kChar, of.numel(), "rows");
    require(stored[1], at::kFloat, shape[0], "scales of rows");
    return of;
  }
  TORCH_CHECK(block > 0 && block % 2 == 0 && block < kMost, "expected blocks of an even number, got ", block);
  require(stored[0], at::kByte, (of.numel() + 1) / 2, "codes");
  require(stored[2], at::kFloat, 16, "a map");
  const bool isNested = stored.size() == 6;
  require(stored[1], isNested ? at::kByte : at::kFloat, of.blocks(), "the blocks' largest values");
  if (isNested) {
    require(stored[3], at::kFloat, (of.blocks() + kNestedBlock - 1) / kNestedBlock, "the nested blocks' largest values");
    require(stored[4], at::kFloat, 256, "a nested map");
    require(stored[5], at::kFloat, 1, "a nested offset");
  }
  return of;
}

// The blocks' largest absolute values, float32.
at::Tensor absmaxOf(const QuantisedWeight& of) {
  const auto& stored = of.stored;
  if (stored.size() == 3) return stored[1];
  const int64_t blocks = of.blocks(), missing = (kNestedBlock - blocks % kNestedBlock) % kNestedBlock;
  const at::Tensor codes = at::constant_pad_nd(stored[1], {0, missing});
  at::Tensor values = at::index_select(stored[4], 0, codes.to(at::kInt)).view({-1, kNestedBlock});
  values.mul_(stored[3].unsqueeze(1));
  return values.view({-1}).narrow(0, 0, blocks).add(stored[5]);
}

// ---- by torch's operators, on any device ----

at::Tensor plainRows(const QuantisedWeight& of, at::ScalarType dtype) {
  return of.stored[0].view(of.shape).to(at::kFloat).mul_(of.stored[1].view({-1, 1})).mul_(kOneOf127).to(dtype);
}

at::Tensor plainBlocks(const QuantisedWeight& of, at::ScalarType dtype) {
  const int64_t n = of.numel(), block = of.block, step = std::max<int64_t>(1, kStretch / block) * block;
  const at::Tensor &codes = of.stored[0], &map = of.stored[2], absmax = absmaxOf(of);
  // both numbers of each byte
  const at::Tensor pairs = at::stack({map.unsqueeze(1).expand({16, 16}), map.unsqueeze(0).expand({16, 16})}, 2).view({256, 2});
  at::Tensor out = at::empty(of.shape, codes.options().dtype(dtype));
  at::Tensor flat = out.view({-1});
  for (int64_t from = 0; from < n; from += step) {
    const int64_t count = std::min(step, n - from), held = (count + 1) / 2, blocks = (count + block - 1) / block;
    at::Tensor values = at::index_select(pairs, 0, codes.narrow(0, from / 2, held).to(at::kInt)).view({-1});
    if (values.numel() != blocks * block) values = at::constant_pad_nd(values, {0, blocks * block - values.numel()});
    values.view({blocks, block}).mul_(absmax.narrow(0, from / block, blocks).unsqueeze(1));
    flat.narrow(0, from, count).copy_(values.narrow(0, 0, count));
  }
  return out;
}

// ---- kernels for the CPU ----

// out[i] = float(codes[i]) · scale / 127, in the order of bitsandbytes' products
PREFTUNE_KERNEL(void, rowOfInt8, (float* __restrict out, const int8_t* __restrict codes, float scale, int64_t n)) {
  for (int64_t i = 0; i < n; ++i) out[i] = static_cast<float>(codes[i]) * scale * kOneOf127;
}

// out[i] = table[code i], the codes two in a byte
inline void rowOfPairs(float* out, const uint8_t* codes, const float* table, int64_t n) {
  for (int64_t i = 0; i + 1 < n; i += 2) {
    out[i] = table[codes[i / 2] >> 4];
    out[i + 1] = table[codes[i / 2] & 15];
  }
  if (n % 2 == 1) out[n - 1] = table[codes[n / 2] >> 4];
}

#if PREFTUNE_X86_LEVELS
// The entries of a table of sixteen at eight indices: both halves are looked up, and the index's fourth bit chooses.
__attribute__((target("arch=x86-64-v3"), always_inline)) inline __m256 entries(__m256 low, __m256 high, __m256i at) {
  return _mm256_blendv_ps(_mm256_permutevar8x32_ps(low, at), _mm256_permutevar8x32_ps(high, at), _mm256_castsi256_ps(_mm256_slli_epi32(at, 28)));
}

PREFTUNE_LEVEL("x86-64-v3") void rowOfPairsV3(float* out, const uint8_t* codes, const float* table, int64_t n) {
  const __m256 low = _mm256_loadu_ps(table), high = _mm256_loadu_ps(table + 8);
  const __m256i lower = _mm256_set1_epi32(15);
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) {
    const __m256i bytes = _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(codes + i / 2)));
    const __m256 first = entries(low, high, _mm256_srli_epi32(bytes, 4)), second = entries(low, high, _mm256_and_si256(bytes, lower));
    const __m256 even = _mm256_unpacklo_ps(first, second), odd = _mm256_unpackhi_ps(first, second);
    _mm256_storeu_ps(out + i, _mm256_permute2f128_ps(even, odd, 0x20));
    _mm256_storeu_ps(out + i + 8, _mm256_permute2f128_ps(even, odd, 0x31));
  }
  rowOfPairs(out + i, codes + i / 2, table, n - i);
}
#endif

using RowOfPairs = void (*)(float*, const uint8_t*, const float*, int64_t);

RowOfPairs pairsKernel(bool scalar) {
#if PREFTUNE_X86_LEVELS
  if (!scalar && level() != Level::baseline) return rowOfPairsV3;
#endif
  return rowOfPairs;
}

// Numbers that are made in float32 before they are narrowed: in the first-level cache.
constexpr int64_t kPiece = 1024;

// Writes n numbers to `out` at `from`, in its type, given make(to, first, count) in float32.
template <typename F>
void writePieces(const at::Tensor& out, int64_t from, int64_t n, const F& make) {
  if (out.scalar_type() == at::kFloat) return make(out.mutable_data_ptr<float>() + from, 0, n);
  auto* to = reinterpret_cast<uint16_t*>(out.mutable_data_ptr<at::BFloat16>()) + from;
  float piece[kPiece];
  for (int64_t first = 0; first < n; first += kPiece) {
    const int64_t count = std::min(kPiece, n - first);
    make(piece, first, count);
    rowNarrow(to + first, piece, count);
  }
}

void denseRows(const QuantisedWeight& of, const at::Tensor& out) {
  const int64_t width = of.shape[1];
  const auto* codes = of.stored[0].const_data_ptr<int8_t>();
  const auto* scales = of.stored[1].const_data_ptr<float>();
  at::parallel_for(0, of.shape[0], std::max<int64_t>(1, (1 << 16) / std::max<int64_t>(1, width)), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      writePieces(out, row * width, width,
                  [&](float* to, int64_t first, int64_t n) { rowOfInt8(to, codes + row * width + first, scales[row], n); });
    }
  });
}

void denseBlocks(const QuantisedWeight& of, const at::Tensor& out, bool scalar) {
  const at::Tensor held = absmaxOf(of);
  const int64_t n = of.numel(), block = of.block;
  const auto* codes = of.stored[0].const_data_ptr<uint8_t>();
  const float *absmax = held.const_data_ptr<float>(), *map = of.stored[2].const_data_ptr<float>();
  const RowOfPairs pairs = pairsKernel(scalar);
  at::parallel_for(0, of.blocks(), std::max<int64_t>(1, (1 << 16) / block), [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      float table[16];
      for (int i = 0; i < 16; ++i) table[i] = map[i] * absmax[b];
      writePieces(out, b * block, std::min(block, n - b * block),
                  [&](float* to, int64_t first, int64_t count) { pairs(to, codes + (b * block + first) / 2, table, count); });
    }
  });
}

// The matrix, (out, in) in `dtype`: of float32 numbers, rounded once.
at::Tensor denseOf(const QuantisedWeight& of, at::ScalarType dtype, const std::string& kernel) {
  const bool hasKernel = of.stored[0].is_cpu() && (dtype == at::kFloat || dtype == at::kBFloat16) && kernel != "operators";
  if (!hasKernel) return of.isRows() ? plainRows(of, dtype) : plainBlocks(of, dtype);
  at::Tensor out = at::empty(of.shape, of.stored[0].options().dtype(dtype));
  if (of.isRows())
    denseRows(of, out);
  else
    denseBlocks(of, out, kernel == "scalar");
  return out;
}

// `kernel`: "auto", or one of those that it chooses from: "scalar", "operators"
at::Tensor dequantise(at::TensorList stored, at::IntArrayRef shape, int64_t block, at::ScalarType dtype, std::string_view kernel) {
  const at::NoGradGuard guard;
  return denseOf(quantisedWeight(stored, shape, block), dtype, std::string(kernel));
}

// ---- the product ----

// Whether the product reads a weight in 8 bits in place: in generation, on the CPU.
bool readsRows(const at::Tensor& x, const QuantisedWeight& of) {
  return batchInvariant() && of.isRows() && x.is_cpu() && isSkinnyType(x.scalar_type()) && of.shape[1] > 0;
}

// A byte a weight is read, where the matrix would be written and read again. The sum is of codes: its factor follows, once an output.
at::Tensor rowsInPlace(const at::Tensor& x, const QuantisedWeight& of, const std::optional<at::Tensor>& bias) {
  const auto* codes = of.stored[0].const_data_ptr<int8_t>();
  const auto* factors = of.stored[1].const_data_ptr<float>();
#if PREFTUNE_X86_LEVELS
  at::Tensor out = level() == Level::baseline ? productWith(x, codes, of.shape[0], factors)
                                              : productWith(x, reinterpret_cast<const Code*>(codes), of.shape[0], factors);
#else
  at::Tensor out = productWith(x, codes, of.shape[0], factors);
#endif
  if (bias.has_value()) out.add_(bias->to(at::kFloat));
  return inType(out, x.scalar_type());
}

class QuantisedLinear : public torch::autograd::Function<QuantisedLinear> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x, const QuantisedWeight& of,
                            const std::optional<at::Tensor>& bias) {
    at::AutoDispatchBelowADInplaceOrView guard;
    context->saved_data["stored"] = of.stored;
    context->saved_data["shape"] = of.shape;
    context->saved_data["block"] = of.block;
    return compute(x, of, bias);
  }

  static at::Tensor compute(const at::Tensor& x, const QuantisedWeight& of, const std::optional<at::Tensor>& bias) {
    if (readsRows(x, of)) return rowsInPlace(x, of, bias);
    return at::linear(x, denseOf(of, x.scalar_type(), "auto"), bias);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context, torch::autograd::variable_list grads) {
    if (!context->needs_input_grad(0)) return {at::Tensor(), at::Tensor(), at::Tensor()};
    auto& saved = context->saved_data;
    const QuantisedWeight of{saved["stored"].toTensorVector(), saved["shape"].toIntVector(), saved["block"].toInt()};
    return {at::mm(grads[0], denseOf(of, grads[0].scalar_type(), "auto")), at::Tensor(), at::Tensor()};
  }
};

// x: (T, in), bias: (out) in x's type -> (T, out)
at::Tensor quantisedLinear(const at::Tensor& x, at::TensorList stored, at::IntArrayRef shape, int64_t block,
                           const std::optional<at::Tensor>& bias) {
  const QuantisedWeight of = quantisedWeight(stored, shape, block);
  TORCH_CHECK(x.dim() == 2 && x.size(1) == shape[1], "expected x of (T, ", shape[1], "), got ", x.sizes());
  TORCH_CHECK(!bias.has_value() || !bias->requires_grad(), "expected a frozen bias");
  return applied<QuantisedLinear>(x, of, bias);
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(preftune, m) {
  m.def("dequantise(Tensor[] stored, int[] shape, int block_size, *, ScalarType dtype, str kernel=\"auto\") -> Tensor", dequantise);
  m.def("quantised_linear(Tensor x, Tensor[] stored, int[] shape, int block_size, Tensor? bias=None) -> Tensor", quantisedLinear);
}

}  // namespace preftune
