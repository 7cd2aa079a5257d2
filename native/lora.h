// preftune::lora_linear: x ↦ (W + s B A) x with W frozen. Over many rows the sum W + s B A is made first, so that one product
// does the work of three; nothing but x is kept for the backward pass. Over few rows, and with batch invariance, the low rank is cheaper.
#pragma once

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "batch-invariance.h"

namespace preftune {
namespace {

at::Tensor mergedWeight(const at::Tensor& weight, const at::Tensor& a, const at::Tensor& b, double scale) {
  return at::addmm(weight, b, a, 1, scale);
}

class LoraLinear : public torch::autograd::Function<LoraLinear> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x, const at::Tensor& weight, const at::Tensor& a,
                            const at::Tensor& b, double scale) {
    at::AutoDispatchBelowADInplaceOrView guard;
    context->save_for_backward({x, weight, a, b});
    context->saved_data["scale"] = scale;
    if (!batchInvariant() && x.size(0) > weight.size(1)) return at::mm(x, mergedWeight(weight, a, b, scale).t());
    return at::mm(x, weight.t()).addmm_(at::mm(x, a.t()), b.t(), 1, scale);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context, torch::autograd::variable_list grads) {
    const auto saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1], &a = saved[2], &b = saved[3], &grad = grads[0];
    const double scale = context->saved_data["scale"].toDouble();
    const at::Tensor low = at::mm(grad, b).mul_(scale);
    at::Tensor gradX;
    if (context->needs_input_grad(0)) {
      gradX = x.size(0) > weight.size(0) ? at::mm(grad, mergedWeight(weight, a, b, scale)) : at::mm(grad, weight).addmm_(low, a);
    }
    const at::Tensor gradB = at::mm(grad.t(), at::mm(x, a.t()).mul_(scale));
    return {gradX, at::Tensor(), at::mm(low.t(), x), gradB, at::Tensor()};
  }
};

// x: (T, in), weight: (out, in), a: (r, in), b: (out, r), all of one type -> (T, out)
at::Tensor loraLinear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& a, const at::Tensor& b, double scale) {
  TORCH_CHECK(x.dim() == 2 && weight.dim() == 2 && a.dim() == 2 && b.dim() == 2, "expected matrices");
  TORCH_CHECK(!weight.requires_grad(), "expected a frozen weight");
  return LoraLinear::apply(x, weight, a, b, scale);
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(preftune, m) {
  m.def("lora_linear(Tensor x, Tensor weight, Tensor a, Tensor b, float scale) -> Tensor", loraLinear);
}

}  // namespace preftune
