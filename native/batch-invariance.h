// Row by row: while it is on, what a row of a batch comes to does not depend on the other rows, to the bit. Generation's passes
// over many sequences ask for it. On the CPU, float32 and bfloat16; operators that differ from one number of rows to another
// look here.
#pragma once

#include <ATen/ATen.h>

namespace preftune {
namespace {

// Of one thread of JavaScript: the passes it asks for read it before they spread over torch's threads.
bool& rowByRow() {
  static thread_local bool on = false;
  return on;
}

// Whether an operator with a kernel for float32 takes `x` by way of it: torch's own kernels for bfloat16 sum up, and round at the
// ends of a tensor, in ways that depend on its size.
bool widens(const at::Tensor& x) { return rowByRow() && x.is_cpu() && x.scalar_type() == at::kBFloat16; }

}  // namespace
}  // namespace preftune
