// Memory of tensors on the CPU: large blocks out of one reserved range of addresses, the smallest free block that is large
// enough first, neighbours joined when freed. torch asks glibc for aligned memory, and glibc 2.36 cannot give a freed aligned
// block out again to a request of the same size (it looks for size + alignment): a training step then leaves holes that
// nothing fits, and takes up to twice the memory in use. Pages stay with the process: no step pays for them again.
#pragma once

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/impl/alloc_cpu.h>

#if defined(__linux__)
#include <sys/mman.h>
#include <unistd.h>
#endif

#include <map>
#include <mutex>
#include <set>

namespace preftune {
namespace {

// AddressSanitizer sees only blocks that it allocated: with it torch's allocator stays
#if defined(__linux__) && !defined(__SANITIZE_ADDRESS__)

constexpr size_t kLeast = 64 << 10;  // smaller requests are glibc's
constexpr size_t kAlign = 64;        // as torch's own allocator
constexpr size_t kHugePage = 2 << 20;
constexpr size_t kGrowth = 8 * kHugePage;

// Blocks of one range [base, base + limit) of addresses, of which [base, base + end) is in use or free.
class Range {
 public:
  explicit Range(size_t limit) : limit_(limit) {
    void* at = mmap(nullptr, limit + kHugePage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED) return;
    base_ = reinterpret_cast<char*>((reinterpret_cast<uintptr_t>(at) + kHugePage - 1) / kHugePage * kHugePage);
    madvise(base_, limit, MADV_HUGEPAGE);  // one page fault where there would be 512; where it is refused, nothing changes
  }

  bool owns(const void* at) const { return base_ != nullptr && at >= base_ && at < base_ + limit_; }

  // nullptr when the range or the machine's memory is full
  void* take(size_t bytes) {
    if (base_ == nullptr || bytes > limit_) return nullptr;
    const size_t size = (bytes + kAlign - 1) / kAlign * kAlign;
    const std::lock_guard<std::mutex> lock(mutex_);
    auto best = free_.lower_bound({size, 0});
    if (best == free_.end() && !grow(size)) return nullptr;
    if (best == free_.end()) best = free_.lower_bound({size, 0});
    const auto [found, offset] = *best;
    free_.erase(best);
    blocks_[offset] = {size, false};
    used_ += size;
    if (found > size) addFree(offset + size, found - size);
    return base_ + offset;
  }

  void give(void* at) {
    const std::lock_guard<std::mutex> lock(mutex_);
    auto block = blocks_.find(static_cast<char*>(at) - base_);
    size_t offset = block->first, size = block->second.size;
    used_ -= size;
    auto next = std::next(block);
    if (next != blocks_.end() && next->second.isFree) {
      size += next->second.size;
      free_.erase({next->second.size, next->first});
      blocks_.erase(next);
    }
    if (block != blocks_.begin()) {
      auto before = std::prev(block);
      if (before->second.isFree) {
        free_.erase({before->second.size, before->first});
        size += before->second.size;
        offset = before->first;
        blocks_.erase(block);
      }
    }
    addFree(offset, size);
  }

  size_t used() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return used_;
  }

 private:
  struct Block {
    size_t size;
    bool isFree;
  };

  void addFree(size_t offset, size_t size) {
    blocks_[offset] = {size, true};
    free_.insert({size, offset});
  }

  // Makes the last free block at least `size` large.
  bool grow(size_t size) {
    auto last = blocks_.empty() ? blocks_.end() : std::prev(blocks_.end());
    const bool joins = last != blocks_.end() && last->second.isFree;
    const size_t begin = joins ? last->first : end_;
    const size_t wanted = begin + size;
    const size_t open = (wanted + kGrowth - 1) / kGrowth * kGrowth;
    if (open > limit_ || mprotect(base_ + end_, open - end_, PROT_READ | PROT_WRITE) != 0) return false;
    if (joins) {
      free_.erase({last->second.size, last->first});
      blocks_.erase(last);
    }
    addFree(begin, open - begin);
    end_ = open;
    return true;
  }

  char* base_ = nullptr;
  size_t limit_, end_ = 0, used_ = 0;
  std::map<size_t, Block> blocks_;             // by offset
  std::set<std::pair<size_t, size_t>> free_;  // (size, offset)
  std::mutex mutex_;
};

Range& range() {
  // never destroyed: tensors may outlive every static object. Twice the machine's memory: the rest are holes.
  static Range* all = new Range(2 * static_cast<size_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<size_t>(sysconf(_SC_PAGESIZE)));
  return *all;
}

void releaseHost(void* at) {
  if (at == nullptr) return;
  if (range().owns(at)) range().give(at);
  else c10::free_cpu(at);
}

class HostAllocator final : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t bytes) override {
    void* at = bytes < kLeast ? nullptr : range().take(bytes);
    if (at == nullptr) at = c10::alloc_cpu(bytes);
    return {at, at, &releaseHost, c10::Device(c10::DeviceType::CPU)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &releaseHost; }
  void copy_data(void* to, const void* from, size_t count) const override { default_copy_data(to, from, count); }
};

void useHostAllocator() {
  static HostAllocator* allocator = new HostAllocator();
  c10::SetCPUAllocator(allocator, 1);
}

// Bytes of blocks in use, small ones left out.
size_t hostBytesInUse() { return range().used(); }

#else
void useHostAllocator() {}
size_t hostBytesInUse() { return 0; }
#endif

}  // namespace
}  // namespace preftune
