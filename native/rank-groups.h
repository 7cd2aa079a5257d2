// What the two units of collectives share: groups of ranks and work under way, which JavaScript knows by number.
#pragma once

#include <ATen/ATen.h>
#include <torch/csrc/distributed/c10d/Backend.hpp>
#include <torch/csrc/distributed/c10d/Store.hpp>

#include <mutex>
#include <unordered_map>
#include <utility>
#include <vector>

namespace preftune {

using StoreHandle = c10::intrusive_ptr<c10d::Store>;
using BackendHandle = c10::intrusive_ptr<c10d::Backend>;
using WorkHandle = c10::intrusive_ptr<c10d::Work>;

// Numbered things of this process. Never destroyed, as libtorch's own statics may go first.
template <typename T>
class Numbered {
 public:
  int64_t add(T thing) {
    const std::lock_guard<std::mutex> lock(mutex_);
    things_.emplace(++last_, std::move(thing));
    return last_;
  }
  T get(int64_t number) {
    const std::lock_guard<std::mutex> lock(mutex_);
    return find(number)->second;
  }
  T take(int64_t number) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = find(number);
    T thing = std::move(found->second);
    things_.erase(found);
    return thing;
  }
  template <typename Test>
  bool any(const Test& test) {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (const auto& [number, thing] : things_) {
      if (test(thing)) return true;
    }
    return false;
  }

 private:
  auto find(int64_t number) {
    const auto found = things_.find(number);
    TORCH_CHECK(found != things_.end(), "expected a number that is open, got ", number);
    return found;
  }

  std::mutex mutex_;
  std::unordered_map<int64_t, T> things_;
  int64_t last_ = 0;
};

// Gloo carries what lies in the CPU's memory, NCCL, where it was joined, what lies on a GPU.
struct Group {
  int64_t rank, size;
  BackendHandle cpu, gpu;
};

// A collective under way: its parts, in the order in which all ranks began them, and the memory that they use.
struct Collective {
  std::vector<WorkHandle> parts;
  std::vector<at::Tensor> tensors;
};

// Makes the backend of GPUs.
using JoinGpu = void (*)(const StoreHandle& store, int64_t rank, int64_t size, BackendHandle& made);
// Its name in the library.
constexpr const char* kJoinNccl = "preftune_join_nccl";

}  // namespace preftune
