// CUDA's variable-length flash attention, which the CPU does not have, in plain matrix products: each segment, each head, in float32.
// What it requires of its inputs is checked at the call, with its shapes (native/meta.h).
#pragma once

#include <ATen/ATen.h>
#include <torch/library.h>

namespace rehearsal {
namespace {

struct Segments {
  at::Tensor queries, keys;  // where each begins, and the end of the last
  double scale;
  int64_t reach;  // keys before its own that a query sees; less than 0 for all
};

Segments segmentsOf(const c10::FunctionSchema& schema, const torch::jit::Stack& given) {
  const auto at = [&](const char* name) { return given[static_cast<size_t>(*schema.argumentIndexWithName(name))]; };
  TORCH_CHECK(at("dropout_p").toDouble() == 0 && at("is_causal").toBool(), "rehearsal: expected causal attention without dropout");
  const c10::IValue left = at("window_size_left");
  return {at("cum_seq_q").toTensor(), at("cum_seq_k").toTensor(), at("scale").toDouble(), left.isNone() ? -1 : left.toInt()};
}

// Calls `body` with each segment's rows of the queries and of the keys.
template <typename F>
void forEachSegment(const Segments& segments, const F& body) {
  const int32_t *queries = segments.queries.const_data_ptr<int32_t>(), *keys = segments.keys.const_data_ptr<int32_t>();
  for (int64_t s = 0; s + 1 < segments.queries.size(0); ++s)
    body(at::indexing::Slice(queries[s], queries[s + 1]), at::indexing::Slice(keys[s], keys[s + 1]));
}

// (rows, heads, E) -> (H, rows, E) float32, heads repeated where queries share them
at::Tensor heads(const at::Tensor& x, const at::indexing::Slice& rows, int64_t count) {
  return x.index({rows}).to(at::kFloat).transpose(0, 1).repeat_interleave(count / x.size(1), 0);
}

// (H, n, m), -inf where a query does not see a key
at::Tensor scores(const at::Tensor& q, const at::Tensor& k, const Segments& segments) {
  const int64_t n = q.size(1), m = k.size(1);
  const at::Tensor distance = at::arange(m - n, m).unsqueeze(1) - at::arange(m);
  const at::Tensor hidden = segments.reach < 0 ? distance < 0 : at::logical_or(distance < 0, distance > segments.reach);
  return at::matmul(q, k.transpose(1, 2)).mul(segments.scale).masked_fill(hidden, -std::numeric_limits<double>::infinity());
}

// (query, key, value, ...) -> output, log-sum-exp (H, T), and three that nothing reads
void attend(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  const auto given = torch::jit::pop(*stack, op.schema().arguments().size());
  const at::Tensor q = given[0].toTensor(), k = given[1].toTensor(), v = given[2].toTensor();
  const Segments segments = segmentsOf(op.schema(), given);
  at::Tensor out = at::empty_like(q), logSumExp = at::empty({q.size(1), q.size(0)}, at::kFloat);
  forEachSegment(segments, [&](const auto& queries, const auto& keys) {
    const at::Tensor s = scores(heads(q, queries, q.size(1)), heads(k, keys, q.size(1)), segments);
    out.index({queries}).copy_(at::matmul(s.softmax(-1), heads(v, keys, q.size(1))).transpose(0, 1));
    logSumExp.index({at::indexing::Slice(), queries}).copy_(s.logsumexp(-1));
  });
  torch::jit::push(*stack, out, logSumExp, at::zeros({2}, at::kUInt64), at::zeros({}, at::kUInt64), at::empty({0}, q.options()));
}

// (grad_out, query, key, value, out, logsumexp, ...) -> gradients of query, key and value
void attendBack(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  const auto given = torch::jit::pop(*stack, op.schema().arguments().size());
  const at::Tensor grad = given[0].toTensor(), q = given[1].toTensor(), k = given[2].toTensor(), v = given[3].toTensor();
  const at::Tensor out = given[4].toTensor(), logSumExp = given[5].toTensor();
  const Segments segments = segmentsOf(op.schema(), given);
  const int64_t count = q.size(1);
  at::Tensor gradQ = at::empty_like(q), gradK = at::empty_like(k), gradV = at::empty_like(v);
  const auto shared = [&](const at::Tensor& x) {
    return x.view({k.size(1), count / k.size(1), x.size(1), x.size(2)}).sum(1).transpose(0, 1);
  };
  forEachSegment(segments, [&](const auto& queries, const auto& keys) {
    const at::Tensor qs = heads(q, queries, count), ks = heads(k, keys, count), vs = heads(v, keys, count);
    const at::Tensor upstream = heads(grad, queries, count);
    const at::Tensor p = (scores(qs, ks, segments) - logSumExp.index({at::indexing::Slice(), queries}).unsqueeze(-1)).exp();
    const at::Tensor mean = (upstream * heads(out, queries, count)).sum(-1, true);
    const at::Tensor down = p * (at::matmul(upstream, vs.transpose(1, 2)) - mean) * segments.scale;
    gradQ.index({queries}).copy_(at::matmul(down, ks).transpose(0, 1));
    gradK.index({keys}).copy_(shared(at::matmul(down.transpose(1, 2), qs)));
    gradV.index({keys}).copy_(shared(at::matmul(p.transpose(1, 2), upstream)));
  });
  torch::jit::push(*stack, gradQ, gradK, gradV);
}

}  // namespace

TORCH_LIBRARY_IMPL(aten, CPU, m) {
  m.impl("_flash_attention_forward", torch::CppFunction::makeFromBoxedFunction<&attend>());
  m.impl("_flash_attention_backward", torch::CppFunction::makeFromBoxedFunction<&attendBack>());
}

}  // namespace rehearsal
