// Float32 matrix products on the CPU through oneDNN, which torch carries, in place of MKL where MKL is slow: on processors that
// are not Intel's, MKL uses at most half of their vector width. torch's own `mm` and `addmm` are replaced, so every product of
// every operator is meant. PREFTUNE_MATMUL=torch leaves MKL in charge; =onednn takes oneDNN on Intel's processors too.
#pragma once

#include <ATen/ATen.h>
#include <ATen/CPUFunctions.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <c10/util/Exception.h>
#include <torch/library.h>

#include <cstdlib>
#include <string_view>

#include "thin.h"

#if defined(__linux__) && defined(__x86_64__)
#define PREFTUNE_HAS_ONEDNN 1
// in no public header of torch; null where a release does not have it
namespace at::native {
__attribute__((weak)) void mkldnn_matmul(const at::Tensor& a, const at::Tensor& b, const at::Tensor& out, float beta, float alpha);
}
#else
#define PREFTUNE_HAS_ONEDNN 0
#endif

namespace preftune {
namespace {

// How products of float32 matrices are made. `inPlace`: oneDNN, also adding to a sum. `fresh`: oneDNN where the result is a new
// matrix (processors without AVX-512).
enum class Matmul { torch, fresh, inPlace };

#if PREFTUNE_HAS_ONEDNN

using LinearPointwise = at::Tensor(const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&, c10::string_view,
                                   c10::List<std::optional<at::Scalar>>, std::optional<c10::string_view>);

at::Tensor freshProduct(const at::Tensor& a, const at::Tensor& b) {
  static const auto call = c10::Dispatcher::singleton().findSchemaOrThrow("mkldnn::_linear_pointwise", "").typed<LinearPointwise>();
  return call.call(a, b.t(), std::nullopt, "none", c10::List<std::optional<at::Scalar>>(), "");
}

void productInto(const at::Tensor& out, const at::Tensor& a, const at::Tensor& b, float beta, float alpha) {
  at::native::mkldnn_matmul(a, b, out, beta, alpha);
}

// Whether `body` runs and gives the product of ones: what a release of torch refuses or does not have is not used.
template <typename F>
bool works(const F& body) {
  try {
    at::AutoDispatchBelowADInplaceOrView guard;
    const at::Tensor a = at::ones({16, 32}), b = at::ones({32, 48});
    return body(a, b).eq(32).all().template item<bool>();
  } catch (const std::exception&) {
    return false;
  }
}

Matmul findMatmul() {
  const char* set = std::getenv("PREFTUNE_MATMUL");
  const std::string_view asked = set == nullptr ? "" : set;
  TORCH_CHECK(asked == "" || asked == "torch" || asked == "onednn", "PREFTUNE_MATMUL: expected torch or onednn, got ", std::string(asked));
  __builtin_cpu_init();
  if (asked == "torch" || (asked == "" && __builtin_cpu_is("intel"))) return Matmul::torch;
  const auto into = [](const at::Tensor& a, const at::Tensor& b) {
    at::Tensor out = at::empty({a.size(0), b.size(1)}, a.options());
    productInto(out, a, b, 0, 1);
    return out;
  };
  if (at::native::mkldnn_matmul != nullptr && works(into)) return Matmul::inPlace;
  return __builtin_cpu_supports("avx2") && works(freshProduct) ? Matmul::fresh : Matmul::torch;
}

#else

at::Tensor freshProduct(const at::Tensor& a, const at::Tensor& b) { return at::cpu::mm(a, b); }
void productInto(at::Tensor out, const at::Tensor& a, const at::Tensor& b, float beta, float alpha) {
  at::cpu::addmm_(out, a, b, beta, alpha);
}
Matmul findMatmul() { return Matmul::torch; }

#endif

Matmul matmulKind() {
  static const Matmul kind = findMatmul();
  return kind;
}

// Below this many products of two numbers oneDNN's call costs more than it saves.
constexpr int64_t kLeastProducts = 1 << 20;

bool fits(const at::Tensor& a, const at::Tensor& b) {
  return a.scalar_type() == at::kFloat && b.scalar_type() == at::kFloat && a.dim() == 2 && b.dim() == 2 && a.size(1) == b.size(0) &&
         a.size(0) * a.size(1) * b.size(1) >= kLeastProducts;
}

bool isResult(const at::Tensor& out, const at::Tensor& a, const at::Tensor& b) {
  return out.scalar_type() == at::kFloat && out.is_contiguous() && out.dim() == 2 && out.size(0) == a.size(0) && out.size(1) == b.size(1);
}

at::Tensor emptyProduct(const at::Tensor& a, const at::Tensor& b) { return at::empty({a.size(0), b.size(1)}, a.options()); }

at::Tensor mm(const at::Tensor& a, const at::Tensor& b) {
  if (isThin(a, b)) return thinProduct(a, b);
  if (!fits(a, b)) return at::cpu::mm(a, b);
  if (matmulKind() == Matmul::fresh) return freshProduct(a, b);
  at::Tensor out = emptyProduct(a, b);
  productInto(out, a, b, 0, 1);
  return out;
}

at::Tensor& mmOut(const at::Tensor& a, const at::Tensor& b, at::Tensor& out) {
  if (!fits(a, b) || !isResult(out, a, b)) return at::cpu::mm_out(out, a, b);
  productInto(out, a, b, 0, 1);
  return out;
}

at::Tensor addmm(const at::Tensor& self, const at::Tensor& a, const at::Tensor& b, const at::Scalar& beta, const at::Scalar& alpha) {
  if (isThin(a, b) && self.scalar_type() == at::kFloat) return thinProduct(a, b).mul_(alpha).add_(self, beta);
  if (!fits(a, b) || self.scalar_type() != at::kFloat || alpha.toDouble() == 0) return at::cpu::addmm(self, a, b, beta, alpha);
  at::Tensor out = emptyProduct(a, b);
  out.copy_(self);
  productInto(out, a, b, beta.to<float>(), alpha.to<float>());
  return out;
}

at::Tensor& addmmInto(at::Tensor& self, const at::Tensor& a, const at::Tensor& b, const at::Scalar& beta, const at::Scalar& alpha) {
  if (isThin(a, b) && isResult(self, a, b) && beta.toDouble() == 1) return self.add_(thinProduct(a, b), alpha);
  if (!fits(a, b) || !isResult(self, a, b) || alpha.toDouble() == 0) return at::cpu::addmm_(self, a, b, beta, alpha);
  productInto(self, a, b, beta.to<float>(), alpha.to<float>());
  return self;
}

struct Quiet : c10::WarningHandler {
  void process(const c10::Warning&) override {}
};

// Replaces torch's products in this process. Once.
void useFastProducts() {
  const Matmul kind = matmulKind();
  if (kind == Matmul::torch) return;
  // torch warns that a kernel of its own is replaced: that is the intent
  Quiet quiet;
  const c10::WarningUtils::WarningHandlerGuard guard(&quiet);
  static torch::Library library(torch::Library::IMPL, "aten", c10::DispatchKey::CPU, __FILE__, __LINE__);
  library.impl("mm", mm);
  if (kind != Matmul::inPlace) return;
  library.impl("mm.out", mmOut);
  library.impl("addmm", addmm);
  library.impl("addmm_", addmmInto);
}

}  // namespace
}  // namespace preftune
