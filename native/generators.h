// torch's generators belong to the process. A thread that seeds them holds them until it has drawn, so that another thread of
// JavaScript neither draws from the series nor begins another: whoever draws or seeds holds them while it does.
#pragma once

#include <condition_variable>
#include <mutex>
#include <thread>

namespace preftune {

class GeneratorHold {
 public:
  // Waits while another thread holds them.
  void take() {
    std::unique_lock<std::mutex> lock(mutex_);
    freed_.wait(lock, [this] { return depth_ == 0 || owner_ == std::this_thread::get_id(); });
    owner_ = std::this_thread::get_id();
    ++depth_;
  }
  void give() {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (depth_ > 0 && owner_ == std::this_thread::get_id() && --depth_ == 0) freed_.notify_all();
  }
  // Of a thread that ends in between.
  void giveAll() {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (depth_ == 0 || owner_ != std::this_thread::get_id()) return;
    depth_ = 0;
    freed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable freed_;
  std::thread::id owner_;
  int depth_ = 0;
};

inline GeneratorHold& generatorHold() {
  static auto* hold = new GeneratorHold();
  return *hold;
}

// Holds the generators, where `isNeeded`, until its end.
class HeldGenerators {
 public:
  explicit HeldGenerators(bool isNeeded) : isHeld_(isNeeded) { if (isHeld_) generatorHold().take(); }
  ~HeldGenerators() { if (isHeld_) generatorHold().give(); }
  HeldGenerators(const HeldGenerators&) = delete;
  HeldGenerators& operator=(const HeldGenerators&) = delete;

 private:
  const bool isHeld_;
};

}  // namespace preftune
