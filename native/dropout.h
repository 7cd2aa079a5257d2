// preftune::token_dropout: dropout whose mask is a function of each token's key, the module and the feature, and of nothing else:
// a token's features are dropped or kept alike whatever its position in a batch. A counter-based generator: feature 2i and 2i + 1 of a
// token take the halves of one 32-bit hash of i, keyed by two words of the token. The probability is held in 65536ths.
#pragma once

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "row-kernels.h"

namespace preftune {
namespace {

constexpr int64_t kDropGrain = 1 << 14;  // numbers a task takes, at least

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

bool dropsByRows(const at::Tensor& x) { return x.is_cpu() && x.scalar_type() != at::kDouble; }

// x: (T, n) float32, keys: (2, T) int32, both contiguous and on the CPU -> (T, n)
at::Tensor dropRows(const at::Tensor& x, const at::Tensor& keys, int64_t module, const Dropping& dropping) {
  at::Tensor out = at::empty_like(x);
  const int64_t rows = x.size(0), width = x.size(1);
  const float* from = x.const_data_ptr<float>();
  float* to = out.mutable_data_ptr<float>();
  const int32_t* words = keys.const_data_ptr<int32_t>();
  const auto word = static_cast<uint32_t>(module);
  at::parallel_for(0, rows, std::max<int64_t>(1, kDropGrain / std::max<int64_t>(1, width)), [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const uint32_t start = static_cast<uint32_t>(words[t]) + word, key = (static_cast<uint32_t>(words[rows + t]) ^ word) | 1u;
      rowDrop(to + t * width, from + t * width, width, start, key, dropping.least, static_cast<float>(dropping.factor));
    }
  });
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
    if (dropsByRows(x)) return dropRows(x.to(at::kFloat), kept, module, dropping).to(x.scalar_type());
    return at::mul(x, kept).mul_(dropping.factor);
  }
};

// x: (T, n), keys: (2, T) int32 on its device, 0 <= p < 1 -> (T, n): 0 with probability p, else x / (1 - p)
at::Tensor tokenDropout(const at::Tensor& x, const at::Tensor& keys, int64_t module, double p) {
  TORCH_CHECK(x.dim() == 2 && keys.dim() == 2 && keys.size(0) == 2 && keys.size(1) == x.size(0), "expected two words for each of the ",
              x.size(0), " tokens, got keys of shape ", keys.sizes());
  TORCH_CHECK(keys.scalar_type() == at::kInt, "expected int32 keys");
  TORCH_CHECK(p >= 0 && p < 1, "expected a probability from 0 to below 1, got ", p);
  return TokenDropout::apply(x.contiguous(), keys.contiguous(), module, p);
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(preftune, m) {
  m.def("token_dropout(Tensor x, Tensor keys, int module, float p) -> Tensor", tokenDropout);
}

}  // namespace preftune
