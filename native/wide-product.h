// Products whose sums stay in float32 while what is multiplied is in half precision: on CUDA by its own kernels for that, elsewhere by
// the kernels there are. preftune::add_product_: sum += a b; preftune::exact_product: a b for a float32 and b in half precision, as
// exact as in float32.
#pragma once

#include <ATen/ATen.h>
#include <torch/library.h>

namespace preftune {
namespace {

bool isHalf(const at::Tensor& x) { return x.scalar_type() == at::kBFloat16 || x.scalar_type() == at::kHalf; }

// float32; a and b of one type
at::Tensor wideProduct(const at::Tensor& a, const at::Tensor& b) {
  if (a.is_cuda() && isHalf(a)) return at::mm(a, b, at::kFloat);
  return at::mm(a, b).to(at::kFloat);
}

// sum (n, m) float32; a (n, k); b (k, m) of the same type. On CUDA a float32 `a` beside a `b` in half precision is rounded to its type,
// as torch's autograd rounds the gradient of logits.
void addProduct(at::Tensor& sum, const at::Tensor& a, const at::Tensor& b) {
  TORCH_CHECK(sum.scalar_type() == at::kFloat && a.dim() == 2 && b.dim() == 2, "expected matrices and a float32 sum");
  if (b.is_cuda() && isHalf(b)) {
    at::addmm_out(sum, sum, a.to(b.scalar_type()), b, at::kFloat);
  } else if (a.scalar_type() == at::kFloat) {
    sum.addmm_(a, b.to(at::kFloat));
  } else {
    sum.add_(at::mm(a, b));
  }
}

// a (n, k) float32, b (k, m) -> (n, m) float32. A bfloat16 product takes a as the sum of two bfloat16 numbers: 16 bits of it count,
// and one of CUDA's float32 products costs some ten of these.
at::Tensor exactProduct(const at::Tensor& a, const at::Tensor& b) {
  TORCH_CHECK(a.scalar_type() == at::kFloat && a.dim() == 2 && b.dim() == 2, "expected matrices, the first in float32");
  if (!b.is_cuda() || b.scalar_type() != at::kBFloat16) return at::matmul(a, b.to(at::kFloat));
  const at::Tensor high = a.to(at::kBFloat16);
  at::Tensor out = at::mm(high, b, at::kFloat);
  addProduct(out, a - high, b);
  return out;
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(preftune, m) {
  m.def("add_product_(Tensor(a!) sum, Tensor a, Tensor b) -> ()", [](at::Tensor sum, const at::Tensor& a, const at::Tensor& b) { addProduct(sum, a, b); });
  m.def("exact_product(Tensor a, Tensor b) -> Tensor", exactProduct);
}

}  // namespace preftune
