// preftune::lora_linear: x ↦ (W + s B A) x with W frozen. Over many rows the sum W + s B A is made first, so that one product
// does the work of three; nothing but x is kept for the backward pass. Over few rows, and with batch invariance, the low rank is cheaper.
// preftune::lora_linear_half: the same in half precision, where a small adapter would be lost in that sum. A and B are float32, and so
// are their gradients; what comes up from base and adapter adds up in the products themselves.
#pragma once

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <optional>

#include "batch-invariance.h"
#include "wide-product.h"

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
    return compute(x, weight, a, b, scale);
  }

  static at::Tensor compute(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& a, const at::Tensor& b, double scale) {
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

class LoraLinearHalf : public torch::autograd::Function<LoraLinearHalf> {
 public:
  // `dropped`: what the adapter sees in place of x; without dropout an empty tensor. `ah`, `bh`: a and b in the type of x.
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x, const at::Tensor& dropped, const at::Tensor& weight,
                            const at::Tensor& a, const at::Tensor& b, const at::Tensor& ah, const at::Tensor& bh, double scale) {
    at::AutoDispatchBelowADInplaceOrView guard;
    const at::Tensor& seen = dropped.numel() > 0 ? dropped : x;
    const at::Tensor low = at::mm(seen, ah.t());
    context->save_for_backward({seen, weight, low, ah, bh});
    context->saved_data["scale"] = scale;
    context->saved_data["drops"] = dropped.numel() > 0;
    return at::mm(x, weight.t()).addmm_(low, bh.t(), 1, scale);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context, torch::autograd::variable_list grads) {
    const auto saved = context->get_saved_variables();
    const at::Tensor &seen = saved[0], &weight = saved[1], &low = saved[2], &ah = saved[3], &bh = saved[4], &grad = grads[0];
    const double scale = context->saved_data["scale"].toDouble();
    const bool drops = context->saved_data["drops"].toBool();
    const at::Tensor gradLow = at::mm(grad, bh).mul_(scale);
    at::Tensor gradX, gradDropped, gradA, gradB;
    if (context->needs_input_grad(0)) gradX = at::mm(grad, weight);
    if (drops) gradDropped = at::mm(gradLow, ah);
    else if (gradX.defined()) gradX.addmm_(gradLow, ah);
    if (context->needs_input_grad(3)) gradA = wideProduct(gradLow.t(), seen);
    if (context->needs_input_grad(4)) gradB = wideProduct(grad.t(), low).mul_(scale);
    return {gradX, gradDropped, at::Tensor(), gradA, gradB, at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

// x, dropped: (T, in), weight: (out, in), of one half type; a: (r, in), b: (out, r), float32; ah, bh: their copies in that type -> (T, out)
at::Tensor loraLinearHalf(const at::Tensor& x, const std::optional<at::Tensor>& dropped, const at::Tensor& weight, const at::Tensor& a,
                          const at::Tensor& b, const at::Tensor& ah, const at::Tensor& bh, double scale) {
  TORCH_CHECK(x.dim() == 2 && weight.dim() == 2 && a.dim() == 2 && b.dim() == 2, "expected matrices");
  TORCH_CHECK(a.scalar_type() == at::kFloat && b.scalar_type() == at::kFloat, "expected an adapter in float32");
  TORCH_CHECK(isHalf(x) && x.scalar_type() == weight.scalar_type() && x.scalar_type() == ah.scalar_type() && x.scalar_type() == bh.scalar_type(),
              "expected everything else in one type of half precision");
  TORCH_CHECK(!weight.requires_grad(), "expected a frozen weight");
  return LoraLinearHalf::apply(x, dropped.value_or(at::empty({0}, x.options())), weight, a, b, ah.detach(), bh.detach(), scale);
}

// x: (T, in), weight: (out, in), a: (r, in), b: (out, r), all of one type -> (T, out)
at::Tensor loraLinear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& a, const at::Tensor& b, double scale) {
  TORCH_CHECK(x.dim() == 2 && weight.dim() == 2 && a.dim() == 2 && b.dim() == 2, "expected matrices");
  TORCH_CHECK(!weight.requires_grad(), "expected a frozen weight");
  return applied<LoraLinear>(x, weight, a, b, scale);
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(preftune, m) {
  m.def("lora_linear(Tensor x, Tensor weight, Tensor a, Tensor b, float scale) -> Tensor", loraLinear);
  m.def("lora_linear_half(Tensor x, Tensor? dropped, Tensor weight, Tensor a, Tensor b, Tensor ah, Tensor bh, float scale) -> Tensor", loraLinearHalf);
}

}  // namespace preftune
