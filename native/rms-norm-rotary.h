// preftune::rms_norm and preftune::rotate_heads (norm of each head, then rotary positions): on the CPU one pass over memory each way,
// in float32, and nothing kept for the backward pass but the input, in its own type; elsewhere torch's own operators in a row.
#pragma once

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <optional>

#include "batch-invariance.h"
#include "in-type.h"
#include "row-kernels.h"

namespace preftune {
namespace {

constexpr int64_t kNormRows = 128;  // rows a task takes; sums over rows are made task by task, whatever the threads

// body(first row, end row, task)
template <typename F>
void forEachTask(int64_t rows, const F& body) {
  const int64_t tasks = (rows + kNormRows - 1) / kNormRows;
  at::parallel_for(0, tasks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) body(task * kNormRows, std::min(rows, (task + 1) * kNormRows), task);
  });
}

float inverseRoot(const float* x, int64_t width, float eps) {
  return 1.0f / std::sqrt(rowDot(x, x, width) / static_cast<float>(width) + eps);
}

// One row of dL/dx and its part of dL/dweight (null: not wanted) from dL/dy of y = x · weight / rms(x).
void normGradRow(float* out, float* gradWeight, const float* grad, const float* x, const float* weight, int64_t width, float eps) {
  const float inverse = inverseRoot(x, width, eps);
  if (gradWeight != nullptr) rowAddProduct(gradWeight, grad, x, width, inverse);
  const float along = rowDot3(grad, x, weight, width) * inverse * inverse * inverse / static_cast<float>(width);
  rowNormGrad(out, grad, weight, x, width, inverse, along);
}

// x: (…, width); the rows of the other dimensions.
int64_t rowsOfLast(const at::Tensor& x) { return x.numel() / std::max<int64_t>(1, x.size(-1)); }

class RmsNorm : public torch::autograd::Function<RmsNorm> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x, const at::Tensor& weight, double eps) {
    at::AutoDispatchBelowADInplaceOrView guard;
    context->save_for_backward({x, weight});
    context->saved_data["eps"] = eps;
    return compute(x, weight, eps);
  }

  static at::Tensor compute(const at::Tensor& x, const at::Tensor& weight, double eps) {
    const at::Tensor wide = inFloat(x), factors = inFloat(weight);
    at::Tensor out = at::empty_like(wide);
    const int64_t width = x.size(-1);
    const float *from = wide.const_data_ptr<float>(), *w = factors.const_data_ptr<float>();
    float* to = out.mutable_data_ptr<float>();
    forEachTask(rowsOfLast(x), [&](int64_t first, int64_t end, int64_t) {
      for (int64_t r = first * width; r < end * width; r += width)
        rowWeigh(to + r, from + r, w, width, inverseRoot(from + r, width, static_cast<float>(eps)));
    });
    return inType(out, x.scalar_type());
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context, torch::autograd::variable_list grads) {
    const auto saved = context->get_saved_variables();
    const at::Tensor x = inFloat(saved[0]), weight = inFloat(saved[1]), grad = inFloat(grads[0]);
    const float eps = static_cast<float>(context->saved_data["eps"].toDouble());
    const int64_t width = x.size(-1), rows = rowsOfLast(x);
    at::Tensor out = at::empty_like(x);
    at::Tensor shares;
    if (context->needs_input_grad(1)) shares = at::zeros({(rows + kNormRows - 1) / kNormRows, width}, x.options());
    const float *g = grad.const_data_ptr<float>(), *from = x.const_data_ptr<float>(), *w = weight.const_data_ptr<float>();
    float* to = out.mutable_data_ptr<float>();
    float* share = shares.defined() ? shares.mutable_data_ptr<float>() : nullptr;
    forEachTask(rows, [&](int64_t first, int64_t end, int64_t task) {
      for (int64_t r = first * width; r < end * width; r += width)
        normGradRow(to + r, share == nullptr ? nullptr : share + task * width, g + r, from + r, w, width, eps);
    });
    return {out.to(saved[0].scalar_type()), shares.defined() ? shares.sum(0).to(saved[1].scalar_type()) : at::Tensor(), at::Tensor()};
  }
};

// torch's own norm, in the type of the weight; the result in that of x.
at::Tensor torchNorm(const at::Tensor& x, const at::Tensor& weight, double eps) {
  return at::rms_norm(x.to(weight.scalar_type()), weight.sizes(), weight, eps).to(x.scalar_type());
}

// The result is in the type of x, whatever the weight's.
at::Tensor rmsNorm(const at::Tensor& x, const at::Tensor& weight, double eps) {
  TORCH_CHECK(weight.dim() == 1 && x.dim() > 0 && x.size(-1) == weight.size(0), "expected a weight for each of ", x.size(-1), " features");
  if (!isCpuFloatOrHalf(x) || !isCpuFloatOrHalf(weight)) return torchNorm(x, weight, eps);
  return applied<RmsNorm>(x.contiguous(), weight.contiguous(), eps);
}

struct HeadShape {
  int64_t rows, heads, width;
};

class NormRotate : public torch::autograd::Function<NormRotate> {
 public:
  // Without a norm, `weight` is an empty tensor.
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x, const at::Tensor& weight, double eps,
                            const at::Tensor& cos, const at::Tensor& sin) {
    at::AutoDispatchBelowADInplaceOrView guard;
    context->save_for_backward({weight.numel() > 0 ? x : at::Tensor(), weight, cos, sin});
    context->saved_data["eps"] = eps;
    return compute(x, weight, eps, cos, sin);
  }

  static at::Tensor compute(const at::Tensor& x, const at::Tensor& weight, double eps, const at::Tensor& cos, const at::Tensor& sin) {
    const bool norms = weight.numel() > 0;
    const at::Tensor wide = inFloat(x), factors = inFloat(weight), cosines = inFloat(cos), sines = inFloat(sin);
    at::Tensor out = at::empty_like(wide);
    const HeadShape n{x.size(0), x.size(1), x.size(2)};
    const float *from = wide.const_data_ptr<float>(), *w = factors.const_data_ptr<float>();
    const float *c = cosines.const_data_ptr<float>(), *s = sines.const_data_ptr<float>();
    float* to = out.mutable_data_ptr<float>();
    forEachTask(n.rows, [&](int64_t first, int64_t end, int64_t) {
      for (int64_t t = first; t < end; ++t) {
        for (int64_t at = t * n.heads * n.width; at < (t + 1) * n.heads * n.width; at += n.width) {
          const float* row = from + at;
          if (norms) {
            rowWeigh(to + at, row, w, n.width, inverseRoot(row, n.width, static_cast<float>(eps)));
            row = to + at;
          }
          rowRotate(to + at, row, c + t * n.width, s + t * n.width, n.width, 1.0f);
        }
      }
    });
    return inType(out, x.scalar_type());
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context, torch::autograd::variable_list grads) {
    const auto saved = context->get_saved_variables();
    const at::Tensor weight = inFloat(saved[1]), cosines = inFloat(saved[2]), sines = inFloat(saved[3]), grad = inFloat(grads[0]);
    const bool norms = weight.numel() > 0;
    const at::Tensor x = norms ? inFloat(saved[0]) : at::Tensor();
    const float eps = static_cast<float>(context->saved_data["eps"].toDouble());
    const HeadShape n{grad.size(0), grad.size(1), grad.size(2)};
    at::Tensor out = at::empty_like(grad);
    at::Tensor shares;
    if (norms && context->needs_input_grad(1)) shares = at::zeros({(n.rows + kNormRows - 1) / kNormRows, n.width}, grad.options());
    const float *g = grad.const_data_ptr<float>(), *from = norms ? x.const_data_ptr<float>() : nullptr;
    const float *w = weight.const_data_ptr<float>(), *c = cosines.const_data_ptr<float>(), *s = sines.const_data_ptr<float>();
    float* to = out.mutable_data_ptr<float>();
    float* share = shares.defined() ? shares.mutable_data_ptr<float>() : nullptr;
    forEachTask(n.rows, [&](int64_t first, int64_t end, int64_t task) {
      for (int64_t t = first; t < end; ++t) {
        for (int64_t at = t * n.heads * n.width; at < (t + 1) * n.heads * n.width; at += n.width) {
          rowRotate(to + at, g + at, c + t * n.width, s + t * n.width, n.width, -1.0f);
          if (norms) normGradRow(to + at, share == nullptr ? nullptr : share + task * n.width, to + at, from + at, w, n.width, eps);
        }
      }
    });
    const at::Tensor gradWeight = shares.defined() ? shares.sum(0).to(saved[1].scalar_type()) : at::Tensor();
    return {out.to(grads[0].scalar_type()), gradWeight, at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

// The rotation by torch's operators, each half of a head written in place: five visits to memory instead of ten, and no graph.
class Rotate : public torch::autograd::Function<Rotate> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin) {
    at::AutoDispatchBelowADInplaceOrView guard;
    context->save_for_backward({cos, sin});
    return turned(x, cos, sin, 1);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context, torch::autograd::variable_list grads) {
    const auto saved = context->get_saved_variables();
    return {turned(grads[0], saved[0], saved[1], -1), at::Tensor(), at::Tensor()};
  }

 private:
  static at::Tensor turned(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin, double sign) {
    at::Tensor out = at::empty(x.sizes(), x.options());
    const int64_t half = x.size(-1) / 2;
    const at::Tensor c = cos.narrow(-1, 0, half), s = sin.narrow(-1, 0, half), left = x.narrow(-1, 0, half), right = x.narrow(-1, half, half);
    at::Tensor toLeft = out.narrow(-1, 0, half), toRight = out.narrow(-1, half, half);
    at::mul_out(toLeft, left, c).addcmul_(right, s, -sign);
    at::mul_out(toRight, right, c).addcmul_(left, s, sign);
    return out;
  }
};

// joined: (T, H · E) or (T, H, E), weight: (E) or none, cos and sin: (T, 1, E), the same in both halves of E -> (T, H, E)
at::Tensor rotateHeads(const at::Tensor& joined, const std::optional<at::Tensor>& weight, double eps, const at::Tensor& cos, const at::Tensor& sin) {
  const int64_t width = cos.dim() == 0 ? 0 : cos.size(-1);
  const bool isJoined = joined.dim() == 2 && width > 0 && joined.size(1) % width == 0;
  const at::Tensor x = isJoined ? joined.view({joined.size(0), joined.size(1) / width, width}) : joined;
  TORCH_CHECK(x.dim() == 3 && x.size(2) % 2 == 0, "expected heads (T, H, E) with an even E");
  TORCH_CHECK(cos.numel() == x.size(0) * x.size(2) && sin.numel() == cos.numel(), "expected an angle for each position and feature");
  const at::Tensor norm = weight.has_value() ? *weight : at::Tensor();
  TORCH_CHECK(!norm.defined() || norm.numel() == x.size(2), "expected a weight for each of ", x.size(2), " features");
  if (isCpuFloatOrHalf(x) && isCpuFloatOrHalf(cos) && (!norm.defined() || isCpuFloatOrHalf(norm))) {
    const at::Tensor w = norm.defined() ? norm.contiguous() : at::empty({0}, x.options());
    return applied<NormRotate>(x.contiguous(), w, eps, cos.contiguous(), sin.contiguous());
  }
  const at::Tensor h = norm.defined() ? torchNorm(x, norm, eps) : x;
  if (h.is_cuda() && h.scalar_type() == cos.scalar_type()) return Rotate::apply(h, cos, sin);
  const auto halves = h.chunk(2, -1);
  return h * cos + at::cat({-halves[1], halves[0]}, -1) * sin;
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(preftune, m) {
  m.def("rms_norm(Tensor x, Tensor weight, float eps) -> Tensor", rmsNorm);
  m.def("rotate_heads(Tensor x, Tensor? weight, float eps, Tensor cos, Tensor sin) -> Tensor", rotateHeads);
}

}  // namespace preftune
