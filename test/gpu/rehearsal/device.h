// The state of the rehearsal device: blocks of memory whose pages are closed to the processor, streams whose work waits in queues,
// and who has waited for whom. Everything here is called under `device().mutex`.
#pragma once

#include <c10/util/Exception.h>

#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <set>
#include <string>
#include <vector>

namespace rehearsal {

// Devices of one process. Their memories are apart; streams and the generator are the same for both.
constexpr int kDevices = 2;
constexpr int kStreams = 4;

// For each stream how many of its works: of those that a thread or stream comes after, of those that use a block.
using Positions = std::array<uint64_t, kStreams>;

inline void join(Positions& into, const Positions& from) {
  for (int s = 0; s < kStreams; ++s) into[s] = std::max(into[s], from[s]);
}

// Memory of one tensor's storage. `at` is null once the pages are given back to the system.
struct Block {
  char* at = nullptr;
  size_t bytes = 0;
  size_t mapped = 0;
  int home = 0;  // the stream it was taken on
  int owner = 0;  // the device whose memory it is
  Positions read{}, written{}, recorded{};
};
using BlockPtr = std::shared_ptr<Block>;

// What a work does to a block.
struct Use {
  BlockPtr block;
  bool writes;
};

struct Work {
  std::string name;
  std::vector<Use> uses;
  std::function<void()> run;
};

struct Queue {
  std::deque<Work> waiting;
  uint64_t launched = 0, done = 0;
  Positions after{};  // what its next work comes after
};

struct Counts {
  std::vector<std::string> waits;  // what the host waited for, each time
  std::map<std::string, int64_t> launches;  // operator and type -> times
  std::set<std::string> early;  // operators that ran at once, since nothing else gives their shapes
  int64_t allocations = 0, toHost = 0, toHostBytes = 0, toDevice = 0, toDeviceBytes = 0;
};

// Opens a work's blocks while it lives: to read alone, unless it writes to them.
class Opened {
 public:
  explicit Opened(const std::vector<Use>& uses) {
    for (const Use& use : uses) {
      bool& writes = blocks_.try_emplace(use.block.get(), false).first->second;
      writes = writes || use.writes;
    }
    for (const auto& [block, writes] : blocks_) protect(*block, writes ? PROT_READ | PROT_WRITE : PROT_READ);
  }
  ~Opened() {
    for (const auto& [block, writes] : blocks_) protect(*block, PROT_NONE);
  }
  Opened(const Opened&) = delete;
  Opened& operator=(const Opened&) = delete;

 private:
  static void protect(const Block& block, int how) {
    if (block.at != nullptr) mprotect(block.at, block.mapped, how);
  }
  std::map<const Block*, bool> blocks_;
};

class Device {
 public:
  std::recursive_mutex mutex;
  Counts counts;
  std::array<size_t, kDevices> used{}, peak{};
  int64_t allocationsLeft = -1;  // memory runs out after so many more; less than 0: never

  // ---- lateness: work begins when it is waited for, or after a launch that happens to let some begin

  void setLateness(uint64_t seed, double fraction) {
    random_.seed(seed);
    fraction_ = fraction;
  }

  // ---- work

  // Queues work on a stream. @throws when it uses memory that another stream may still use
  void launch(int stream, Work work) {
    throwPending();
    Queue& queue = queues_[stream];
    join(queue.after, host_);
    for (const Use& use : work.uses) checkOrder(stream, work.name, use);
    const uint64_t position = ++queue.launched;
    for (const Use& use : work.uses) (use.writes ? use.block->written : use.block->read)[stream] = position;
    queue.after[stream] = position;
    queue.waiting.push_back(std::move(work));
    if (std::uniform_real_distribution<>(0, 1)(random_) < fraction_) runSome(static_cast<int>(random_() % kStreams));
  }

  // Runs a stream's work up to a position.
  void run(int stream, uint64_t position) {
    Queue& queue = queues_[stream];
    while (queue.done < position) {
      const Work work = std::move(queue.waiting.front());
      queue.waiting.pop_front();
      ++queue.done;
      execute(work);
    }
  }
  void run(int stream) { run(stream, queues_[stream].launched); }
  void runAll() { for (int s = 0; s < kStreams; ++s) run(s); }

  // The thread of the host waits for what a stream has been given so far.
  void wait(int stream, const std::string& cause) {
    counts.waits.push_back(cause);
    run(stream);
    join(host_, queues_[stream].after);
    throwPending();
  }
  void waitForAll(const std::string& cause) {
    counts.waits.push_back(cause);
    runAll();
    for (const Queue& queue : queues_) join(host_, queue.after);
    throwPending();
  }
  void waitFor(const Positions& positions, const std::string& cause) {
    counts.waits.push_back(cause);
    for (int s = 0; s < kStreams; ++s) run(s, positions[s]);
    join(host_, positions);
    throwPending();
  }

  // ---- events: what a stream had been given when they were recorded

  Positions positionsOf(int stream) {
    join(queues_[stream].after, host_);
    return queues_[stream].after;
  }
  void block(int stream, const Positions& positions) {
    Queue& queue = queues_[stream];
    queue.waiting.push_back({"wait for an event", {}, [this, positions] { for (int s = 0; s < kStreams; ++s) run(s, positions[s]); }});
    join(queue.after, positions);
    queue.after[stream] = ++queue.launched;
  }
  bool isDone(const Positions& positions) const {
    for (int s = 0; s < kStreams; ++s) if (queues_[s].done < positions[s]) return false;
    return true;
  }
  uint64_t pending() const {
    uint64_t count = 0;
    for (const Queue& queue : queues_) count += queue.waiting.size();
    return count;
  }

  // ---- memory

  // New memory, full of NaN (-1 as whole numbers), its pages closed. @throws c10::OutOfMemoryError where it has run out
  BlockPtr take(size_t bytes, int stream, int owner) {
    const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    auto block = std::make_shared<Block>();
    block->bytes = bytes;
    block->home = stream;
    block->owner = owner;
    block->mapped = (bytes + page - 1) / page * page;
    TORCH_CHECK_WITH(OutOfMemoryError, allocationsLeft != 0, "rehearsal out of memory: tried to allocate ", bytes, " bytes; ", used[owner], " are in use");
    if (allocationsLeft > 0) --allocationsLeft;
    ++counts.allocations;
    void* at = mmap(nullptr, block->mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    TORCH_CHECK_WITH(OutOfMemoryError, at != MAP_FAILED, "the system has no memory for the rehearsal device: ", bytes, " bytes");
    block->at = static_cast<char*>(at);
    std::memset(at, 0xff, bytes);
    mprotect(at, block->mapped, PROT_NONE);
    blocks_[at] = block->mapped;
    used[owner] += bytes;
    peak[owner] = std::max(peak[owner], used[owner]);
    return block;
  }

  // Gives memory back: its pages go when the work of its stream that is queued now is done. Work of another stream that nobody
  // waited for, on a stream that was not recorded, is a fault.
  void give(const BlockPtr& block) {
    used[block->owner] -= block->bytes;
    Queue& home = queues_[block->home];
    join(home.after, host_);
    Positions until{};
    for (int s = 0; s < kStreams; ++s) {
      const uint64_t last = std::max(block->read[s], block->written[s]);
      if (s == block->home || last <= home.after[s]) continue;
      if (last <= block->recorded[s]) until[s] = last;
      else fault("memory of stream " + std::to_string(block->home) + " was given back while work of stream " + std::to_string(s) +
                 " may still use it: let the one wait for the other, or record the stream");
    }
    ++home.launched;
    home.waiting.push_back({"free", {}, [this, block, until] {
      for (int s = 0; s < kStreams; ++s) run(s, until[s]);
      munmap(block->at, block->mapped);
      blocks_.erase(block->at);
      block->at = nullptr;
    }});
    home.after[block->home] = home.launched;
  }

  void record(const BlockPtr& block, int stream) { block->recorded[stream] = UINT64_MAX; }

  bool owns(const void* at) const {
    const auto after = blocks_.upper_bound(const_cast<void*>(at));
    return after != blocks_.begin() && static_cast<const char*>(at) < static_cast<const char*>(std::prev(after)->first) + std::prev(after)->second;
  }

  // A fault that is found when no call can be refused: the next launch or wait is.
  void fault(const std::string& text) {
    faults_.push_back(text);
    pending_ = text;
  }
  std::vector<std::string> takeFaults() {
    pending_.clear();
    return std::exchange(faults_, {});
  }

 private:
  void throwPending() {
    if (pending_.empty()) return;
    const std::string text = std::move(pending_);
    pending_.clear();
    TORCH_CHECK(false, text);
  }

  void checkOrder(int stream, const std::string& name, const Use& use) const {
    const Queue& queue = queues_[stream];
    for (int s = 0; s < kStreams; ++s) {
      const uint64_t last = use.writes ? std::max(use.block->read[s], use.block->written[s]) : use.block->written[s];
      TORCH_CHECK(s == stream || last <= queue.after[s], name, " on stream ", stream, use.writes ? " writes" : " reads",
                  " memory that stream ", s, " may still be at work on: expected a wait for it before");
    }
  }

  void runSome(int stream) {
    const Queue& queue = queues_[stream];
    if (!queue.waiting.empty()) run(stream, queue.done + 1 + random_() % queue.waiting.size());
  }

  void execute(const Work& work) {
    for (const Use& use : work.uses) {
      if (use.block->at == nullptr && use.block->bytes > 0) return fault(work.name + " came after its memory was given back");
    }
    try {
      const Opened opened(work.uses);
      work.run();
    } catch (const std::exception& error) {
      const auto* ofTorch = dynamic_cast<const c10::Error*>(&error);
      fault(work.name + " failed on the device, after the call that launched it had returned: " + (ofTorch != nullptr ? ofTorch->what_without_backtrace() : error.what()));
    }
  }

  std::array<Queue, kStreams> queues_;
  Positions host_{};
  std::map<void*, size_t> blocks_;
  std::vector<std::string> faults_;
  std::string pending_;
  std::mt19937_64 random_{1};
  double fraction_ = 0.02;
};

// Never destroyed: tensors may outlive every static object.
inline Device& device() {
  static Device* all = new Device();
  return *all;
}

using Lock = std::lock_guard<std::recursive_mutex>;

// ---- the processor touches the device's memory outside of a work

inline struct sigaction& earlierHandler() {
  static struct sigaction action {};
  return action;
}

inline void onTouch(int number, siginfo_t* info, void*) {
  if (device().owns(info->si_addr)) {
    static const char text[] = "rehearsal: the processor touched memory of the device outside of a kernel\n";
    [[maybe_unused]] const auto written = write(STDERR_FILENO, text, sizeof text - 1);
  }
  sigaction(number, &earlierHandler(), nullptr);  // the access is made again, and ends the process as it would have before
}

inline void watchTouches() {
  struct sigaction action {};
  action.sa_sigaction = onTouch;
  action.sa_flags = SA_SIGINFO;
  sigaction(SIGSEGV, &action, &earlierHandler());
}

}  // namespace rehearsal
