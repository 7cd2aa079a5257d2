// Tasks of unequal length on torch's threads: each thread takes those of its share in turn, and then those that others have left.
#pragma once

#include <ATen/Parallel.h>

#include <algorithm>
#include <atomic>
#include <vector>

namespace preftune {
namespace {

// Runs each of the tasks 0 … count-1 once. `begin()` is called once a thread and gives what runs a task on it, with what it keeps
// from one task to the next: those of a share come in order.
template <typename Begin>
void runTasks(int64_t count, const Begin& begin) {
  const int64_t shares = std::min<int64_t>(count, at::get_num_threads());
  if (shares <= 0) return;
  std::vector<std::atomic<int64_t>> next(static_cast<size_t>(shares));
  for (int64_t s = 0; s < shares; ++s) next[static_cast<size_t>(s)] = s * count / shares;
  at::parallel_for(0, shares, 1, [&](int64_t first, int64_t last) {
    auto run = begin();
    // more than one share comes to a thread where torch starts fewer, as inside of a task
    for (int64_t own = first; own < last; ++own) {
      for (int64_t k = 0; k < shares; ++k) {
        const int64_t share = (own + k) % shares, end = (share + 1) * count / shares;
        for (int64_t task = next[static_cast<size_t>(share)]++; task < end; task = next[static_cast<size_t>(share)]++) run(task);
      }
    }
  });
}

}  // namespace
}  // namespace preftune
