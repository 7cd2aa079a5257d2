// The table of live tensors. JavaScript holds a tensor as a small whole number (slot and generation), so a
// call needs no wrapper objects, and a scope can free thousands of tensors in one go. Each thread of JavaScript has its own
// table.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <stdexcept>
#include <vector>

namespace preftune {

using Handle = uint32_t;

// 22 bits of slot, 9 of generation: the number stays a small integer in V8, 4 million tensors can live at once,
// and a handle that was freed is recognised until its slot has been reused 511 times.
constexpr uint32_t kSlotBits = 22;
constexpr uint32_t kSlotMask = (1u << kSlotBits) - 1;
constexpr uint32_t kGenerationMask = (1u << 9) - 1;

class HandleTable {
 public:
  Handle add(at::Tensor tensor) {
    uint32_t slot;
    if (free_.empty()) {
      slot = static_cast<uint32_t>(slots_.size());
      if (slot > kSlotMask) throw std::runtime_error("more than 4 million live tensors");
      slots_.emplace_back();
    } else {
      slot = free_.back();
      free_.pop_back();
    }
    Slot& s = slots_[slot];
    s.tensor = std::move(tensor);
    s.depth = static_cast<uint32_t>(scopes_.size());
    const Handle handle = (s.generation << kSlotBits) | slot;
    if (!scopes_.empty()) scopes_.back().push_back(handle);
    ++live_;
    return handle;
  }

  const at::Tensor& get(Handle handle) const {
    const Slot* s = find(handle);
    if (s == nullptr) throw std::runtime_error("a tensor was used after it was freed (its scope has ended or it was disposed)");
    return s->tensor;
  }

  bool alive(Handle handle) const { return find(handle) != nullptr; }

  void free(Handle handle) {
    if (find(handle) == nullptr) return;
    Slot& s = slots_[handle & kSlotMask];
    s.tensor = at::Tensor();
    s.generation = (s.generation + 1) & kGenerationMask;
    free_.push_back(handle & kSlotMask);
    --live_;
  }

  uint32_t openScope() {
    scopes_.emplace_back();
    return static_cast<uint32_t>(scopes_.size());
  }

  // Frees what was made since openScope returned `depth` and was not kept.
  void closeScope(uint32_t depth) {
    if (depth == 0 || depth != scopes_.size()) throw std::runtime_error("scopes must end in the reverse order of their beginning");
    std::vector<Handle> made = std::move(scopes_.back());
    scopes_.pop_back();
    for (const Handle handle : made) {
      const Slot* s = find(handle);
      if (s != nullptr && s->depth == depth) free(handle);
    }
  }

  // Hands a tensor over to the scope around the one numbered `depth`.
  void keep(Handle handle, uint32_t depth) {
    if (find(handle) == nullptr) throw std::runtime_error("scope.keep: the tensor was freed before");
    Slot& s = slots_[handle & kSlotMask];
    if (s.depth < depth) return;
    s.depth = depth - 1;
    if (depth >= 2) scopes_[depth - 2].push_back(handle);
  }

  size_t live() const { return live_; }

 private:
  struct Slot {
    at::Tensor tensor;
    uint32_t generation = 0;
    uint32_t depth = 0;
  };

  const Slot* find(Handle handle) const {
    const uint32_t slot = handle & kSlotMask;
    if (slot >= slots_.size()) return nullptr;
    const Slot& s = slots_[slot];
    return s.generation == (handle >> kSlotBits) && s.tensor.defined() ? &s : nullptr;
  }

  std::vector<Slot> slots_;
  std::vector<uint32_t> free_;
  std::vector<std::vector<Handle>> scopes_;
  size_t live_ = 0;
};

// The table of this thread. The main thread's is never destroyed: libtorch's own statics may go first.
inline HandleTable*& ownHandles() {
  static thread_local HandleTable* table = nullptr;
  return table;
}

inline HandleTable& handles() {
  HandleTable*& table = ownHandles();
  if (table == nullptr) table = new HandleTable();
  return *table;
}

}  // namespace preftune
