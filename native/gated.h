// preftune::gated: act(gate) · up, the middle of a gated feed-forward layer, on any device. It keeps its two inputs for the
// backward pass and nothing else; torch's own operators in a row would also keep act(gate).
#pragma once

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

namespace preftune {
namespace {

at::Tensor activate(const at::Tensor& gate, bool silu) { return silu ? at::silu(gate) : at::gelu(gate, "tanh"); }

class Gated : public torch::autograd::Function<Gated> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& gate, const at::Tensor& up, bool silu) {
    at::AutoDispatchBelowADInplaceOrView guard;
    context->save_for_backward({gate, up});
    context->saved_data["silu"] = silu;
    return activate(gate, silu).mul_(up);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context, torch::autograd::variable_list grads) {
    const auto saved = context->get_saved_variables();
    const at::Tensor &gate = saved[0], &up = saved[1];
    const bool silu = context->saved_data["silu"].toBool();
    at::Tensor gradUp = activate(gate, silu).mul_(grads[0]);
    const at::Tensor gradActivated = grads[0] * up;
    at::Tensor gradGate = silu ? at::silu_backward(gradActivated, gate) : at::gelu_backward(gradActivated, gate, "tanh");
    return {gradGate, gradUp, at::Tensor()};
  }
};

at::Tensor gated(const at::Tensor& gate, const at::Tensor& up, c10::string_view activation) {
  TORCH_CHECK(activation == "silu" || activation == "gelu_tanh", "expected activation silu or gelu_tanh, got ", activation);
  return Gated::apply(gate, up, activation == "silu");
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(preftune, m) {
  m.def("gated(Tensor gate, Tensor up, str activation) -> Tensor", gated);
}

}  // namespace preftune
