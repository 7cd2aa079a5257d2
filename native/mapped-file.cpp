// Parts of mapped files. On a page that is not in memory the system reads ahead, by as much as the device's setting says, often
// megabytes: where a process wants some ranges of a file it would read most of the others too.
#include <ATen/core/Tensor.h>
#include <sys/mman.h>
#include <torch/library.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>

namespace preftune {
namespace {

// Linux cuts a request at its read-ahead, which is no less than this.
constexpr uintptr_t kRequest = 128 << 10;

// Begins to read these bytes of a mapped file, in pages, and has none read ahead of them. A hint: where it is refused, nothing changes.
void readAlone(const at::Tensor& bytes) {
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const auto first = reinterpret_cast<uintptr_t>(bytes.const_data_ptr());
  const uintptr_t begin = first / page * page, end = first + bytes.nbytes();
  madvise(reinterpret_cast<void*>(begin), end - begin, MADV_RANDOM);
  for (uintptr_t at = begin; at < end; at += kRequest) {
    madvise(reinterpret_cast<void*>(at), std::min(kRequest, end - at), MADV_WILLNEED);
  }
}

TORCH_LIBRARY_FRAGMENT(preftune, m) { m.def("read_alone(Tensor bytes) -> ()", readAlone); }

}  // namespace
}  // namespace preftune
