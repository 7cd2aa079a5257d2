// Batch invariance: while it is on, the result of a row of a batch does not depend on the other rows, to the bit. Generation's
// passes over many sequences turn it on. On the CPU, float32 and bfloat16; operators that differ from one number of rows to another
// look here.
#pragma once

#include <ATen/ATen.h>

namespace preftune {
namespace {

// Per thread of JavaScript: operators read it before they spread over torch's threads.
bool& batchInvariant() {
  static thread_local bool on = false;
  return on;
}

// In passes of generation nothing is recorded: operators go past autograd, which takes longer than a small tensor's numbers. Changes in place
// are counted all the same.
bool recordsNothing() { return batchInvariant() && !c10::GradMode::is_enabled(); }

// Whether the kernels for float32 take `x`.
bool isCpuFloat(const at::Tensor& x) { return x.is_cpu() && x.scalar_type() == at::kFloat; }

// Whether they take it as it is or copied in float32: what is kept and given back stays in half precision.
bool isCpuFloatOrHalf(const at::Tensor& x) { return x.is_cpu() && (x.scalar_type() == at::kFloat || at::isReducedFloatingType(x.scalar_type())); }

// Whether an operator with a kernel for float32 takes `x` by way of it: torch's own kernels for bfloat16 sum up, and round at the
// ends of a tensor, in ways that depend on its size.
bool widens(const at::Tensor& x) { return batchInvariant() && x.is_cpu() && x.scalar_type() == at::kBFloat16; }

// What `F`, a function of autograd, gives: where nothing is recorded without a node of the graph, by its `compute`.
template <typename F, typename... Args>
at::Tensor applied(const Args&... args) {
  if (c10::GradMode::is_enabled()) return F::apply(args...);
  const at::AutoDispatchBelowADInplaceOrView guard;
  return F::compute(args...);
}

}  // namespace
}  // namespace preftune
