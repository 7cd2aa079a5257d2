// Collectives of GPUs, by c10d's ProcessGroupNCCL. A library beside the addon: it needs NVIDIA's headers, and is compiled only for a
// torch with CUDA (src/setup/cuda-headers.ts). The addon sees a c10d::Backend and names nothing of CUDA: one serves torch with and without.
//
// c10d's own watch over NCCL ends the process, without a name, after ten minutes. It is off: the beats notice a lost rank, abort the
// group, and the wait that was stuck says which rank it was (lost-ranks.h).
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>

#include <cstdlib>
#include <type_traits>

#include "../rank-groups.h"

extern "C" __attribute__((visibility("default"))) void preftune_join_nccl(
    const preftune::StoreHandle& store, int64_t rank, int64_t size, preftune::BackendHandle& made) {
  // torchrun sets 1: an error of NCCL would end the process
  setenv("TORCH_NCCL_ASYNC_ERROR_HANDLING", "0", 1);
  setenv("TORCH_NCCL_ENABLE_MONITORING", "0", 1);
  setenv("TORCH_NCCL_DUMP_ON_TIMEOUT", "0", 1);
  // `wait` lets the current stream wait, not the thread
  setenv("TORCH_NCCL_BLOCKING_WAIT", "0", 1);
  const auto options = c10d::ProcessGroupNCCL::Options::create();
  options->timeout = std::chrono::hours(10 * 365 * 24);
  made = c10::make_intrusive<c10d::ProcessGroupNCCL>(store, static_cast<int>(rank), static_cast<int>(size), options);
}

static_assert(std::is_same_v<preftune::JoinGpu, decltype(&preftune_join_nccl)>);
