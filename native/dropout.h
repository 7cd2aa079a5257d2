// preftune::token_dropout: dropout whose mask is a function of each token's key, the module and the feature, and of nothing else:
// a token's features are dropped or kept alike whatever its position in a batch. A counter-based generator: feature 2i and 2i + 1 of a
// token take the halves of one 32-bit hash of i, keyed by two words of the token. The probability is held in 65536ths.
// preftune::dropped_product: drop(x) Aᵀ, what an adapter makes of its input first. By the rows' own kernel drop(x) is never there as a
// whole, in either direction: a part of the rows at a time is dropped and multiplied while the processor's cache holds it.
#pragma once

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "row-kernels.h"
#include "wide-product.h"

namespace preftune {
namespace {

constexpr int64_t kDropGrain = 1 << 14;     // numbers a task takes, at least
constexpr int64_t kDroppedPart = 1 << 17;  // numbers of drop(x) that are there at a time in dropped_product

// p in 65536ths, as the least 16-bit number (signed) that is kept, and the factor that keeps the mean.
struct Dropping {
  explicit Dropping(double p) {
    // a probability that rounds to 1 keeps one number in 65536
    const auto dropped = std::min<int32_t>(65535, static_cast<int32_t>(std::lround(p * 65536)));
    least = static_cast<int16_t>(dropped - 32768);
    factor = 65536.0 / (65536 - dropped);
  }
  int16_t least;
  double factor;
};

// What is read and written as float32: copies, where the tensors are in half precision. Nothing where they are undefined.
class InFloat32 {
 public:
  InFloat32(const at::Tensor& out, const at::Tensor& x) : out_(out) {
    if (!out.defined()) return;
    single_ = x.to(at::kFloat);
    result_ = out.scalar_type() == at::kFloat ? out : at::empty_like(single_);
    from_ = single_.const_data_ptr<float>();
    to_ = result_.mutable_data_ptr<float>();
  }
  const float* from(int64_t place) const { return from_ == nullptr ? nullptr : from_ + place; }
  float* to(int64_t place) const { return to_ == nullptr ? nullptr : to_ + place; }
  void round() const {
    if (!result_.is_same(out_)) out_.copy_(result_);
  }

 private:
  at::Tensor out_, single_, result_;
  const float* from_ = nullptr;
  float* to_ = nullptr;
};

bool dropsByRows(const at::Tensor& x) { return x.is_cpu() && x.scalar_type() != at::kDouble; }

// out, x: (T, n), of one float type that dropsByRows takes, contiguous; keys: (2, all tokens) int32, those of x beginning at `first`.
// `also` and `alsoIn`, where they are given, are such a pair, which drops the same features.
void dropRowsTo(const at::Tensor& out, const at::Tensor& x, const at::Tensor& keys, int64_t first, int64_t module, const Dropping& dropping,
                const at::Tensor& also = {}, const at::Tensor& alsoIn = {}) {
  const InFloat32 one(out, x), other(also, alsoIn);
  const int64_t rows = x.size(0), width = x.size(1), all = keys.size(1);
  const int32_t* words = keys.const_data_ptr<int32_t>() + first;
  const auto word = static_cast<uint32_t>(module);
  at::parallel_for(0, rows, std::max<int64_t>(1, kDropGrain / std::max<int64_t>(1, width)), [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const uint32_t start = static_cast<uint32_t>(words[t]) + word, key = (static_cast<uint32_t>(words[all + t]) ^ word) | 1u;
      const int64_t place = t * width;
      rowDrop(one.to(place), one.from(place), other.to(place), other.from(place), width, start, key, dropping.least,
              static_cast<float>(dropping.factor));
    }
  });
  one.round();
  other.round();
}

// As above, into a new tensor.
at::Tensor dropRows(const at::Tensor& x, const at::Tensor& keys, int64_t first, int64_t module, const Dropping& dropping) {
  at::Tensor out = at::empty_like(x);
  dropRowsTo(out, x, keys, first, module, dropping);
  return out;
}

// h ^= h >> 16 in 32-bit numbers that are signed: their lower half takes up the upper one. Byte order as on x86 and ARM.
void foldHalves(const at::Tensor& h) {
  const at::Tensor halves = h.unsqueeze(-1).view(at::kShort);
  halves.select(-1, 0).bitwise_xor_(halves.select(-1, 1));
}

// The same mask by torch's operators, on any device: (T, n) bool, true where a number is kept.
at::Tensor keptMask(const at::Tensor& keys, int64_t width, int64_t module, const Dropping& dropping) {
  const auto word = static_cast<int32_t>(static_cast<uint32_t>(module));
  const at::Tensor start = keys.select(0, 0).add(word).unsqueeze(1);
  const at::Tensor key = keys.select(0, 1).bitwise_xor(word).bitwise_or_(1).unsqueeze(1);
  const at::Tensor counters = at::arange((width + 1) / 2, keys.options()).mul_(static_cast<int32_t>(kDropStride)).unsqueeze(0);
  at::Tensor h = at::add(start, counters);
  foldHalves(h);
  h.mul_(key);
  foldHalves(h);
  h.mul_(static_cast<int32_t>(kDropMultiplier));
  return h.view(at::kShort).narrow(1, 0, width).ge(dropping.least);
}

class TokenDropout : public torch::autograd::Function<TokenDropout> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x, const at::Tensor& keys, int64_t module, double p) {
    at::AutoDispatchBelowADInplaceOrView guard;
    context->saved_data["module"] = module;
    context->saved_data["p"] = p;
    const Dropping dropping(p);
    // the rows' own kernel makes the mask again for the gradient; elsewhere it is kept, a byte a number
    const at::Tensor kept = dropsByRows(x) ? keys : keptMask(keys, x.size(1), module, dropping);
    context->save_for_backward({kept});
    return drop(x, kept, module, dropping);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context, torch::autograd::variable_list grads) {
    const Dropping dropping(context->saved_data["p"].toDouble());
    const at::Tensor grad = drop(grads[0].contiguous(), context->get_saved_variables()[0], context->saved_data["module"].toInt(), dropping);
    return {grad, at::Tensor(), at::Tensor(), at::Tensor()};
  }

 private:
  static at::Tensor drop(const at::Tensor& x, const at::Tensor& kept, int64_t module, const Dropping& dropping) {
    if (dropsByRows(x)) return dropRows(x, kept, 0, module, dropping);
    return at::mul(x, kept).mul_(dropping.factor);
  }
};

class DroppedProduct : public torch::autograd::Function<DroppedProduct> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x, const at::Tensor& keys, const at::Tensor& a,
                            int64_t module, double p) {
    at::AutoDispatchBelowADInplaceOrView guard;
    context->save_for_backward({x, keys, a});
    context->saved_data["module"] = module;
    context->saved_data["p"] = p;
    const at::Tensor typed = a.to(x.scalar_type());
    at::Tensor out = at::empty({x.size(0), a.size(0)}, x.options());
    inParts(x, [&](int64_t begin, int64_t rows) {
      at::Tensor part = out.narrow(0, begin, rows);
      at::mm_out(part, dropRows(x.narrow(0, begin, rows), keys, begin, module, Dropping(p)), typed.t());
    });
    return out;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context, torch::autograd::variable_list grads) {
    const auto saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &keys = saved[1], &a = saved[2], &grad = grads[0];
    const int64_t module = context->saved_data["module"].toInt();
    const Dropping dropping(context->saved_data["p"].toDouble());
    const at::Tensor typed = a.to(x.scalar_type());
    at::Tensor gradX = context->needs_input_grad(0) ? at::empty_like(x) : at::Tensor();
    at::Tensor gradA = context->needs_input_grad(2) ? at::zeros_like(a) : at::Tensor();
    inParts(x, [&](int64_t begin, int64_t rows) {
      const at::Tensor part = grad.narrow(0, begin, rows);
      const at::Tensor seen = x.narrow(0, begin, rows), dropped = at::empty_like(seen);
      if (gradX.defined()) dropRowsTo(dropped, seen, keys, begin, module, dropping, gradX.narrow(0, begin, rows), at::mm(part, typed));
      else dropRowsTo(dropped, seen, keys, begin, module, dropping);
      if (gradA.defined()) addProduct(gradA, part.t(), dropped);
    });
    return {gradX, at::Tensor(), gradA, at::Tensor(), at::Tensor()};
  }

 private:
  template <typename Part>
  static void inParts(const at::Tensor& x, const Part& part) {
    const int64_t rows = std::max<int64_t>(16, kDroppedPart / std::max<int64_t>(1, x.size(1)));
    for (int64_t begin = 0; begin < x.size(0); begin += rows) part(begin, std::min(rows, x.size(0) - begin));
  }
};

void checkDropping(const at::Tensor& x, const at::Tensor& keys, double p) {
  TORCH_CHECK(x.dim() == 2 && keys.dim() == 2 && keys.size(0) == 2 && keys.size(1) == x.size(0), "expected two words for each of the ",
              x.size(0), " tokens, got keys of shape ", keys.sizes());
  TORCH_CHECK(keys.scalar_type() == at::kInt, "expected int32 keys");
  TORCH_CHECK(p >= 0 && p < 1, "expected a probability from 0 to below 1, got ", p);
}

// x: (T, n), keys: (2, T) int32 on its device, 0 <= p < 1 -> (T, n): 0 with probability p, else x / (1 - p)
at::Tensor tokenDropout(const at::Tensor& x, const at::Tensor& keys, int64_t module, double p) {
  checkDropping(x, keys, p);
  return TokenDropout::apply(x.contiguous(), keys.contiguous(), module, p);
}

// x: (T, n), a: (r, n) float32 (or x's type), keys and p as above -> (T, r) in the type of x, for which a is rounded
at::Tensor droppedProduct(const at::Tensor& x, const at::Tensor& keys, const at::Tensor& a, int64_t module, double p) {
  checkDropping(x, keys, p);
  TORCH_CHECK(a.dim() == 2 && a.size(1) == x.size(1), "expected a matrix of ", x.size(1), " columns, got shape ", a.sizes());
  if (!dropsByRows(x)) return at::mm(tokenDropout(x, keys, module, p), a.to(x.scalar_type()).t());
  TORCH_CHECK(a.is_cpu() && a.scalar_type() == at::kFloat, "expected the matrix in float32 on the CPU");
  return DroppedProduct::apply(x.contiguous(), keys.contiguous(), a, module, p);
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(preftune, m) {
  m.def("token_dropout(Tensor x, Tensor keys, int module, float p) -> Tensor", tokenDropout);
  m.def("dropped_product(Tensor x, Tensor keys, Tensor a, int module, float p) -> Tensor", droppedProduct);
}

}  // namespace preftune
