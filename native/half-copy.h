// preftune::half_copy: a weight in another type without casting it: a copy replaces it in the forward pass,
// and the copy's gradient goes to the weight, in the weight's type. And torch's fused optimiser made to count the changes it
// makes, as every other operator in place does (torch's own optimisers count them in Python): a stale copy is recognised by that.
#pragma once

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/csrc/autograd/variable.h>
#include <torch/library.h>

namespace preftune {
namespace {

class HalfCopy : public torch::autograd::Function<HalfCopy> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& weight, const at::Tensor& copy) {
    context->saved_data["dtype"] = weight.scalar_type();
    return copy.detach();
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context, torch::autograd::variable_list grads) {
    return {grads[0].to(context->saved_data["dtype"].toScalarType()), at::Tensor()};
  }
};

at::Tensor halfCopy(const at::Tensor& weight, const at::Tensor& copy) {
  TORCH_CHECK(weight.sizes() == copy.sizes() && !copy.requires_grad(), "expected a copy of the weight's shape that requires no gradient");
  return HalfCopy::apply(weight, copy);
}

void countingChanges(const c10::OperatorHandle& op, c10::DispatchKeySet keys, torch::jit::Stack* stack) {
  const auto weights = torch::jit::peek(*stack, 0, op.schema().arguments().size()).toTensorVector();
  op.redispatchBoxed(keys & c10::after_ADInplaceOrView_keyset, stack);
  for (const at::Tensor& weight : weights) torch::autograd::impl::bump_version(weight);
}

}  // namespace

TORCH_LIBRARY_IMPL(aten, ADInplaceOrView, m) {
  m.impl("_fused_adamw_", torch::CppFunction::makeFromBoxedFunction<&countingChanges>());
}

TORCH_LIBRARY_FRAGMENT(preftune, m) {
  m.def("half_copy(Tensor weight, Tensor copy) -> Tensor", halfCopy);
}

}  // namespace preftune
