// Collectives of GPUs, by c10d's ProcessGroupNCCL. A separate unit: it needs NVIDIA's headers, and is compiled only for a torch
// with CUDA (src/setup/cuda-headers.ts). The rest of the addon sees a c10d::Backend and names nothing of CUDA.
//
// c10d's own watch over NCCL ends the process, without a name, after ten minutes. It is off: the beats notice a lost rank, abort the
// group, and the wait that was stuck says which rank it was (lost-ranks.h).
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>

#include <cstdlib>

#include "../rank-groups.h"

namespace preftune {
namespace {

BackendHandle joinNccl(const StoreHandle& store, int64_t rank, int64_t size) {
  // torchrun sets 1: an error of NCCL would end the process
  setenv("TORCH_NCCL_ASYNC_ERROR_HANDLING", "0", 1);
  setenv("TORCH_NCCL_ENABLE_MONITORING", "0", 1);
  setenv("TORCH_NCCL_DUMP_ON_TIMEOUT", "0", 1);
  // `wait` lets the current stream wait, not the thread
  setenv("TORCH_NCCL_BLOCKING_WAIT", "0", 1);
  const auto options = c10d::ProcessGroupNCCL::Options::create();
  options->timeout = std::chrono::hours(7 * 24);
  return c10::make_intrusive<c10d::ProcessGroupNCCL>(store, static_cast<int>(rank), static_cast<int>(size), options);
}

const bool isKnown = (joinGpu() = joinNccl) != nullptr;

}  // namespace
}  // namespace preftune
