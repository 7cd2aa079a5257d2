// What torch asks of a device besides operators: its allocator, guard (streams, events), generator and hooks.
#pragma once

#include <ATen/core/Generator.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <ATen/ops/empty.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>

#include "device.h"

namespace rehearsal {
namespace {

constexpr c10::DeviceType kType = c10::DeviceType::PrivateUse1;

// The device that this thread computes on where nothing names one.
inline c10::DeviceIndex& currentDevice() {
  static thread_local c10::DeviceIndex index = 0;
  return index;
}
inline c10::Device deviceNow() { return {kType, currentDevice()}; }

inline int& currentStream() {
  static thread_local int stream = 0;
  return stream;
}

// The block behind a storage's memory; null for none.
BlockPtr blockOf(const c10::DataPtr& data) {
  const auto* block = static_cast<const BlockPtr*>(data.get_context());
  return block == nullptr ? nullptr : *block;
}

void giveBlock(void* context) {
  const std::unique_ptr<BlockPtr> block(static_cast<BlockPtr*>(context));
  const Lock lock(device().mutex);
  device().give(*block);
}

class Allocator final : public c10::DeviceAllocator {
 public:
  c10::DataPtr allocate(size_t bytes) override {
    if (bytes == 0) return {nullptr, deviceNow()};
    const Lock lock(device().mutex);
    const BlockPtr block = device().take(bytes, currentStream(), currentDevice());
    return {block->at, new BlockPtr(block), &giveBlock, deviceNow()};
  }
  void copy_data(void*, const void*, size_t) const override { TORCH_CHECK(false, "rehearsal: memory is copied by operators alone"); }
  bool initialized() override { return true; }
  void emptyCache(c10::MempoolId_t) override {}
  void recordStream(const c10::DataPtr& data, c10::Stream stream) override {
    const Lock lock(device().mutex);
    if (const BlockPtr block = blockOf(data)) device().record(block, static_cast<int>(stream.id()));
  }
  c10::CachingDeviceAllocator::DeviceStats getDeviceStats(c10::DeviceIndex index) override {
    const Lock lock(device().mutex);
    c10::CachingDeviceAllocator::DeviceStats stats;
    auto& bytes = stats.allocated_bytes[static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE)];
    bytes.current = static_cast<int64_t>(device().used.at(index));
    bytes.peak = static_cast<int64_t>(device().peak.at(index));
    return stats;
  }
  void resetAccumulatedStats(c10::DeviceIndex) override {}
  void resetPeakStats(c10::DeviceIndex index) override {
    const Lock lock(device().mutex);
    device().peak.at(index) = device().used.at(index);
  }
};

Allocator& allocator() {
  static Allocator* own = new Allocator();
  return *own;
}

class Guard final : public c10::impl::DeviceGuardImplInterface {
 public:
  c10::DeviceType type() const override { return kType; }
  c10::Device exchangeDevice(c10::Device to) const override {
    const c10::Device before = getDevice();
    setDevice(to);
    return before;
  }
  c10::Device getDevice() const override { return deviceNow(); }
  void setDevice(c10::Device to) const override {
    TORCH_CHECK(to.index() >= 0 && to.index() < kDevices, "rehearsal: expected a device below ", kDevices, ", got ", to);
    currentDevice() = to.index();
  }
  void uncheckedSetDevice(c10::Device to) const noexcept override { currentDevice() = to.index(); }
  c10::DeviceIndex deviceCount() const noexcept override { return kDevices; }
  c10::Stream getStream(c10::Device where) const override { return streamOf(where, currentStream()); }
  c10::Stream getDefaultStream(c10::Device where) const override { return streamOf(where, 0); }
  c10::Stream exchangeStream(c10::Stream stream) const override {
    return streamOf(stream.device(), std::exchange(currentStream(), static_cast<int>(stream.id())));
  }

  void record(void** event, const c10::Stream& stream, const c10::DeviceIndex, const c10::EventFlag) const override {
    const Lock lock(device().mutex);
    if (*event == nullptr) *event = new Positions();
    *static_cast<Positions*>(*event) = device().positionsOf(static_cast<int>(stream.id()));
  }
  void destroyEvent(void* event, const c10::DeviceIndex) const noexcept override { delete static_cast<Positions*>(event); }
  void block(void* event, const c10::Stream& stream) const override {
    const Lock lock(device().mutex);
    if (event != nullptr) device().block(static_cast<int>(stream.id()), *static_cast<Positions*>(event));
  }
  bool queryEvent(void* event) const override {
    const Lock lock(device().mutex);
    return event == nullptr || device().isDone(*static_cast<Positions*>(event));
  }
  void synchronizeEvent(void* event) const override {
    const Lock lock(device().mutex);
    if (event != nullptr) device().waitFor(*static_cast<Positions*>(event), "an event");
  }
  bool queryStream(const c10::Stream& stream) const override {
    const Lock lock(device().mutex);
    return device().isDone(device().positionsOf(static_cast<int>(stream.id())));
  }
  void synchronizeStream(const c10::Stream& stream) const override {
    const Lock lock(device().mutex);
    device().wait(static_cast<int>(stream.id()), "a stream");
  }
  void synchronizeDevice(const c10::DeviceIndex) const override {
    const Lock lock(device().mutex);
    device().waitForAll("the device");
  }
  void recordDataPtrOnStream(const c10::DataPtr& data, const c10::Stream& stream) const override { allocator().recordStream(data, stream); }

 private:
  static c10::Stream streamOf(c10::Device where, int id) {
    return c10::Stream(c10::Stream::UNSAFE, where.has_index() ? where : deviceNow(), id);
  }
};

// A seed, and how many operators have drawn: each draws from a separate series, so that what it draws does not depend on when
// it runs.
class Generator final : public c10::GeneratorImpl {
 public:
  Generator() : c10::GeneratorImpl(c10::Device(kType, 0), c10::DispatchKeySet(c10::DispatchKey::PrivateUse1)) {}
  void set_current_seed(uint64_t seed) override {
    seed_ = seed;
    drawn_ = 0;
  }
  uint64_t current_seed() const override { return seed_; }
  uint64_t seed() override {
    set_current_seed(c10::detail::getNonDeterministicRandom());
    return seed_;
  }
  void set_offset(uint64_t offset) override { drawn_ = offset; }
  uint64_t get_offset() const override { return drawn_; }
  c10::intrusive_ptr<c10::TensorImpl> get_state() const override {
    at::Tensor state = at::empty({2}, at::kLong);
    state.mutable_data_ptr<int64_t>()[0] = static_cast<int64_t>(seed_);
    state.mutable_data_ptr<int64_t>()[1] = static_cast<int64_t>(drawn_);
    return state.view(at::kByte).getIntrusivePtr();
  }
  void set_state(const c10::TensorImpl& state) override {
    TORCH_CHECK(state.device().is_cpu() && state.dtype() == caffe2::TypeMeta::Make<uint8_t>() && state.numel() == 16, "expected a state of 16 bytes");
    const auto* words = static_cast<const uint64_t*>(state.data());
    seed_ = words[0];
    drawn_ = words[1];
  }
  // The seed of the next operator that draws.
  uint64_t next() { return seed_ * 0x9e3779b97f4a7c15ULL + ++drawn_ * 0xbf58476d1ce4e5b9ULL; }

 private:
  Generator* clone_impl() const override {
    auto* copy = new Generator();
    copy->seed_ = seed_;
    copy->drawn_ = drawn_;
    return copy;
  }
  uint64_t seed_ = c10::default_rng_seed_val, drawn_ = 0;
};

const at::Generator& defaultGenerator() {
  static const auto* own = new at::Generator(c10::make_intrusive<Generator>());
  return *own;
}

// Blocks of host memory that copies to the device may read late.
class PinnedAllocator final : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t bytes) override {
    c10::DataPtr data = c10::GetCPUAllocator()->allocate(bytes);
    void* at = data.get();
    const Lock lock(device().mutex);
    ranges()[at] = bytes;
    return {at, new c10::DataPtr(std::move(data)), &giveBack, c10::Device(c10::DeviceType::CPU)};
  }
  void copy_data(void* to, const void* from, size_t count) const override { default_copy_data(to, from, count); }
  static bool owns(const void* at) {
    const Lock lock(device().mutex);
    const auto after = ranges().upper_bound(const_cast<void*>(at));
    return after != ranges().begin() && static_cast<const char*>(at) < static_cast<const char*>(std::prev(after)->first) + std::prev(after)->second;
  }

 private:
  static void giveBack(void* context) {
    const std::unique_ptr<c10::DataPtr> data(static_cast<c10::DataPtr*>(context));
    const Lock lock(device().mutex);
    ranges().erase(data->get());
  }
  static std::map<void*, size_t>& ranges() {
    static auto* all = new std::map<void*, size_t>();
    return *all;
  }
};

struct Hooks final : public at::PrivateUse1HooksInterface {
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
  c10::DeviceIndex deviceCount() const override { return kDevices; }
  void setCurrentDevice(c10::DeviceIndex to) const override { currentDevice() = to; }
  c10::DeviceIndex getCurrentDevice() const override { return currentDevice(); }
  c10::DeviceIndex exchangeDevice(c10::DeviceIndex to) const override { return std::exchange(currentDevice(), to); }
  c10::DeviceIndex maybeExchangeDevice(c10::DeviceIndex to) const override { return to < 0 ? currentDevice() : exchangeDevice(to); }
  const at::Generator& getDefaultGenerator(c10::DeviceIndex) const override { return defaultGenerator(); }
  at::Generator getNewGenerator(c10::DeviceIndex) const override { return at::Generator(c10::make_intrusive<Generator>()); }
  bool isPinnedPtr(const void* at) const override { return PinnedAllocator::owns(at); }
  at::Allocator* getPinnedMemoryAllocator() const override {
    static auto* own = new PinnedAllocator();
    return own;
  }
};

void registerBackend() {
  c10::register_privateuse1_backend("rehearsal");
  c10::SetAllocator(kType, &allocator());
  at::RegisterPrivateUse1HooksInterface(new Hooks());
}

C10_REGISTER_GUARD_IMPL(PrivateUse1, Guard)

}  // namespace
}  // namespace rehearsal
