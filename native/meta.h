// Shapes of a few of torch's operators for tensors without data (device "meta"): torch registers theirs in Python only. With
// them a complete step as on CUDA can be checked for shapes and types where there is no GPU.
#pragma once

#include <ATen/ATen.h>
#include <ATen/ExpandUtils.h>
#include <ATen/WrapDimUtils.h>
#include <torch/library.h>

namespace preftune {
namespace {

// What the kernel on CUDA requires of its inputs.
void checkVarlen(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const at::Tensor& queries, const at::Tensor& keys) {
  TORCH_CHECK(q.scalar_type() == at::kHalf || q.scalar_type() == at::kBFloat16, "flash attention: expected half precision");
  TORCH_CHECK(k.scalar_type() == q.scalar_type() && v.scalar_type() == q.scalar_type(), "flash attention: expected one type");
  TORCH_CHECK(q.dim() == 3 && k.dim() == 3 && v.sizes() == k.sizes() && q.size(2) == k.size(2), "flash attention: expected (T, heads, width)");
  TORCH_CHECK(q.size(2) % 8 == 0 && q.size(2) <= 256, "flash attention: expected a width that is a multiple of 8 up to 256");
  TORCH_CHECK(q.size(1) % k.size(1) == 0, "flash attention: expected key heads that divide the query heads");
  TORCH_CHECK(q.stride(2) == 1 && k.stride(2) == 1 && v.stride(2) == 1, "flash attention: expected contiguous heads");
  TORCH_CHECK(queries.scalar_type() == at::kInt && keys.scalar_type() == at::kInt, "flash attention: expected int32 offsets");
  TORCH_CHECK(queries.dim() == 1 && queries.sizes() == keys.sizes() && queries.size(0) > 1, "flash attention: expected offsets of each segment");
}

// Boxed, since newer versions of torch add arguments at the end: (query, key, value, cum_seq_q, cum_seq_k, ...).
void varlenForward(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  const auto given = torch::jit::pop(*stack, op.schema().arguments().size());
  const at::Tensor q = given[0].toTensor();
  TORCH_CHECK(given[3].isTensor() && given[4].isTensor(), "flash attention: expected offsets of the segments");
  checkVarlen(q, given[1].toTensor(), given[2].toTensor(), given[3].toTensor(), given[4].toTensor());
  const auto random = q.options().dtype(at::kUInt64);
  torch::jit::push(*stack, at::empty_like(q), at::empty({q.size(1), q.size(0)}, q.options().dtype(at::kFloat)), at::empty({2}, random),
                   at::empty({}, random), at::empty({0}, q.options()));
}

// (grad_out, query, key, value, out, logsumexp, cum_seq_q, cum_seq_k, ...)
void varlenBackward(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  const auto given = torch::jit::pop(*stack, op.schema().arguments().size());
  const at::Tensor grad = given[0].toTensor(), q = given[1].toTensor(), k = given[2].toTensor(), v = given[3].toTensor();
  checkVarlen(q, k, v, given[6].toTensor(), given[7].toTensor());
  TORCH_CHECK(grad.sizes() == q.sizes() && grad.scalar_type() == q.scalar_type(), "flash attention: expected a gradient like the output");
  TORCH_CHECK(given[4].toTensor().sizes() == q.sizes(), "flash attention: expected the output of the forward pass");
  const at::Tensor logSumExp = given[5].toTensor();
  TORCH_CHECK(logSumExp.size(0) == q.size(1) && logSumExp.size(1) == q.size(0), "flash attention: expected a log-sum-exp (H, T)");
  torch::jit::push(*stack, at::empty_like(q), at::empty_like(k), at::empty_like(v));
}

at::Tensor selectRows(const at::Tensor& self, int64_t dim, const at::Tensor& index) {
  TORCH_CHECK(index.dim() <= 1 && at::isIntegralType(index.scalar_type(), false), "index_select: expected a list of whole numbers");
  auto sizes = self.sizes().vec();
  sizes.at(at::maybe_wrap_dim(dim, self.dim())) = index.numel();
  return at::empty(sizes, self.options());
}

at::Tensor& logicalAnd(const at::Tensor& self, const at::Tensor& other, at::Tensor& out) {
  out.resize_(at::infer_size(self.sizes(), other.sizes()));
  return out;
}

std::vector<int64_t> sizesOfChoice(const at::Tensor& condition, const at::Tensor& self, const at::Tensor& other) {
  return at::infer_size(condition.sizes(), at::infer_size(self.sizes(), other.sizes()));
}

at::Tensor choose(const at::Tensor& condition, const at::Tensor& self, const at::Tensor& other) {
  return at::empty(sizesOfChoice(condition, self, other), condition.options().dtype(at::result_type(self, other)));
}

at::Tensor& chooseInto(const at::Tensor& condition, const at::Tensor& self, const at::Tensor& other, at::Tensor& out) {
  out.resize_(sizesOfChoice(condition, self, other));
  return out;
}

}  // namespace

TORCH_LIBRARY_IMPL(aten, Meta, m) {
  m.impl("logical_and.out", TORCH_FN(logicalAnd));
  m.impl("where.self", TORCH_FN(choose));
  m.impl("where.self_out", TORCH_FN(chooseInto));
  m.impl("index_select", TORCH_FN(selectRows));
  m.impl("_flash_attention_forward", torch::CppFunction::makeFromBoxedFunction<&varlenForward>());
  m.impl("_flash_attention_backward", torch::CppFunction::makeFromBoxedFunction<&varlenBackward>());
}

}  // namespace preftune
