// preftune::gated: act(gate) · up, the middle of a gated feed-forward layer, on any device; gated_linear: the projection of that
// product. They keep gate and up for the backward pass and compute the rest again, which is cheap; torch's own operators in a
// row would also keep act(gate) and the product. In float32 on the CPU the product takes one pass over memory, and a number comes out
// the same at every position of the tensor.
#pragma once

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "batch-invariance.h"
#include "in-type.h"
#include "row-kernels.h"

namespace preftune {
namespace {

constexpr int64_t kGatedGrain = 1 << 15;

at::Tensor activate(const at::Tensor& gate, bool silu) { return silu ? at::silu(gate) : at::gelu(gate, "tanh"); }

at::Tensor fusedProduct(const at::Tensor& gate, const at::Tensor& up, bool silu) {
  at::Tensor out = at::empty_like(gate);
  const float *g = gate.const_data_ptr<float>(), *u = up.const_data_ptr<float>();
  float* to = out.mutable_data_ptr<float>();
  at::parallel_for(0, gate.numel(), kGatedGrain, [&](int64_t begin, int64_t end) {
    if (silu) rowSwiglu(to + begin, g + begin, u + begin, end - begin);
    else rowGeglu(to + begin, g + begin, u + begin, end - begin);
  });
  return out;
}

torch::autograd::variable_list swigluGrad(const at::Tensor& grad, const at::Tensor& gate, const at::Tensor& up) {
  at::Tensor gradGate = at::empty_like(gate), gradUp = at::empty_like(up);
  const float *d = grad.const_data_ptr<float>(), *g = gate.const_data_ptr<float>(), *u = up.const_data_ptr<float>();
  float *toGate = gradGate.mutable_data_ptr<float>(), *toUp = gradUp.mutable_data_ptr<float>();
  at::parallel_for(0, gate.numel(), kGatedGrain, [&](int64_t begin, int64_t end) {
    rowSwigluGrad(toGate + begin, toUp + begin, d + begin, g + begin, u + begin, end - begin);
  });
  return {gradGate, gradUp};
}

at::Tensor product(const at::Tensor& gate, const at::Tensor& up, bool silu) {
  if (isCpuFloat(gate)) return fusedProduct(gate, up, silu);
  if (widens(gate)) return inType(fusedProduct(inFloat(gate), inFloat(up), silu), gate.scalar_type());
  return activate(gate, silu).mul_(up);
}

// Gradients of gate and up for that of their product.
torch::autograd::variable_list productGrad(const at::Tensor& grad, const at::Tensor& gate, const at::Tensor& up, bool silu) {
  if (isCpuFloat(gate) && silu) return swigluGrad(grad.contiguous(), gate, up);
  const at::Tensor gradActivated = grad * up;
  const at::Tensor gradUp = isCpuFloat(gate) ? fusedProduct(gate, grad.contiguous(), silu) : activate(gate, silu).mul_(grad);
  return {silu ? at::silu_backward(gradActivated, gate) : at::gelu_backward(gradActivated, gate, "tanh"), gradUp};
}

class Gated : public torch::autograd::Function<Gated> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& gate, const at::Tensor& up, bool silu) {
    at::AutoDispatchBelowADInplaceOrView guard;
    context->save_for_backward({gate, up});
    context->saved_data["silu"] = silu;
    return compute(gate, up, silu);
  }

  static at::Tensor compute(const at::Tensor& gate, const at::Tensor& up, bool silu) { return product(gate, up, silu); }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context, torch::autograd::variable_list grads) {
    const auto saved = context->get_saved_variables();
    auto factors = productGrad(grads[0], saved[0], saved[1], context->saved_data["silu"].toBool());
    return {factors[0], factors[1], at::Tensor()};
  }
};

class GatedLinear : public torch::autograd::Function<GatedLinear> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& gate, const at::Tensor& up, const at::Tensor& weight,
                            bool silu) {
    at::AutoDispatchBelowADInplaceOrView guard;
    context->save_for_backward({gate, up, weight});
    context->saved_data["silu"] = silu;
    return compute(gate, up, weight, silu);
  }

  static at::Tensor compute(const at::Tensor& gate, const at::Tensor& up, const at::Tensor& weight, bool silu) {
    return at::mm(product(gate, up, silu), weight.t());
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context, torch::autograd::variable_list grads) {
    const auto saved = context->get_saved_variables();
    const at::Tensor &gate = saved[0], &up = saved[1], &weight = saved[2], &grad = grads[0];
    const bool silu = context->saved_data["silu"].toBool();
    at::Tensor gradWeight;
    if (context->needs_input_grad(2)) gradWeight = at::mm(grad.t(), product(gate, up, silu));
    auto factors = productGrad(at::mm(grad, weight), gate, up, silu);
    return {factors[0], factors[1], gradWeight, at::Tensor()};
  }
};

void checkFactors(const at::Tensor& gate, const at::Tensor& up, c10::string_view activation) {
  TORCH_CHECK(activation == "silu" || activation == "gelu_tanh", "expected activation silu or gelu_tanh, got ", activation);
  TORCH_CHECK(gate.sizes() == up.sizes() && gate.scalar_type() == up.scalar_type(), "expected gate and up of one shape and type");
}

at::Tensor gated(const at::Tensor& gate, const at::Tensor& up, c10::string_view activation) {
  checkFactors(gate, up, activation);
  return applied<Gated>(gate.contiguous(), up.contiguous(), activation == "silu");
}

// gate, up: (T, in), weight: (out, in) -> (T, out)
at::Tensor gatedLinear(const at::Tensor& gate, const at::Tensor& up, const at::Tensor& weight, c10::string_view activation) {
  checkFactors(gate, up, activation);
  TORCH_CHECK(gate.dim() == 2 && weight.dim() == 2 && weight.size(1) == gate.size(1), "expected a weight for each of the features");
  return applied<GatedLinear>(gate.contiguous(), up.contiguous(), weight, activation == "silu");
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(preftune, m) {
  m.def("gated(Tensor gate, Tensor up, str activation) -> Tensor", gated);
  m.def("gated_linear(Tensor gate, Tensor up, Tensor weight, str activation) -> Tensor", gatedLinear);
}

}  // namespace preftune
