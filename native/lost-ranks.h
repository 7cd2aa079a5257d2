// A thread that says through the store that this rank is alive, and notices when another no longer is: the thread that trains may be
// in a kernel or a write for minutes, and no limit has to cover that. Which rank is lost is left in the store, so that all say the same.
#pragma once

#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace preftune {

using Clock = std::chrono::steady_clock;

struct BeatSettings {
  std::string host;  // of the store
  int64_t port;
  std::string prefix;  // of keys, another for each start of the run
  int64_t rank, size;
  std::string self;  // "host a, pid 812"
  bool isStoreOurs;  // rank 0 serves it
  std::chrono::milliseconds limit;
};

class LostRanks {
 public:
  explicit LostRanks(BeatSettings settings) : settings_(std::move(settings)), peers_(static_cast<size_t>(settings_.size)) {
    note("starting");
    const auto now = Clock::now();
    for (Peer& peer : peers_) peer.changed = now;
    round_ = now.time_since_epoch().count();
    thread_ = std::thread([this] { run(); });
  }

  ~LostRanks() {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      isEnding_ = true;
    }
    woken_.notify_all();
    thread_.join();
  }

  // What this rank does: "step 1240, saving".
  void note(const std::string& what) {
    const std::lock_guard<std::mutex> lock(mutex_);
    doing_ = what;
  }

  // The rank that is lost, as a sentence; empty while none is.
  std::string verdict() {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (verdict_.empty() && age() > settings_.limit) {
      // the store's own calls may block for ever on a host that has lost its network
      verdict_ = storeIsLost(std::to_string(std::chrono::duration_cast<std::chrono::seconds>(age()).count()) + " s without an answer");
    }
    return verdict_;
  }

  // After a collective has failed somebody is gone who need not be silent for the whole limit: who misses three beats is.
  std::string verdictAfterFailure() {
    suspects_ = true;
    woken_.notify_all();
    const auto until = Clock::now() + 8 * kBeat;
    while (Clock::now() < until) {
      if (const std::string found = verdict(); !found.empty()) return found;
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    return "";
  }

 private:
  static constexpr std::chrono::milliseconds kBeat{400};

  struct Peer {
    std::string beat;
    Clock::time_point changed;
  };

  Clock::duration age() const { return Clock::now().time_since_epoch() - Clock::duration(round_.load()); }

  std::string key(const std::string& name) const { return settings_.prefix + "/" + name; }

  static std::string textOf(const std::vector<uint8_t>& bytes) { return std::string(bytes.begin(), bytes.end()); }
  static std::vector<uint8_t> bytesOf(const std::string& text) { return std::vector<uint8_t>(text.begin(), text.end()); }

  std::string storeIsLost(const std::string& why) const {
    const std::string whose = settings_.isStoreOurs ? "rank 0, whose store the ranks meet in, " : "the launcher's store, in which the ranks meet, ";
    return whose + "at " + settings_.host + ":" + std::to_string(settings_.port) + " cannot be reached: " + why;
  }

  void conclude(const std::string& verdict) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (verdict_.empty()) verdict_ = verdict;
  }

  void run() {
    try {
      c10d::TCPStoreOptions options;
      options.port = static_cast<uint16_t>(settings_.port);
      options.waitWorkers = false;
      options.timeout = std::chrono::duration_cast<std::chrono::milliseconds>(settings_.limit);
      const auto store = c10::make_intrusive<c10d::TCPStore>(settings_.host, options);
      for (int64_t count = 0;; ++count) {
        beat(*store, count);
        round_ = Clock::now().time_since_epoch().count();
        std::unique_lock<std::mutex> lock(mutex_);
        if (woken_.wait_for(lock, kBeat, [this] { return isEnding_; })) break;
      }
      store->set(key("beat/" + std::to_string(settings_.rank)), bytesOf("left"));
    } catch (const std::exception& error) {
      conclude(storeIsLost(std::string(error.what()).substr(0, std::string(error.what()).find('\n'))));
    }
  }

  void beat(c10d::Store& store, int64_t count) {
    std::string doing;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      doing = doing_;
    }
    store.set(key("beat/" + std::to_string(settings_.rank)), bytesOf(std::to_string(count) + "\n" + settings_.self + "\n" + doing));
    if (store.check({key("lost")})) return conclude(textOf(store.get(key("lost"))));
    for (int64_t rank = 0; rank < settings_.size; ++rank) {
      if (rank != settings_.rank) look(store, rank);
    }
  }

  // Reads another rank's beat.
  void look(c10d::Store& store, int64_t rank) {
    Peer& peer = peers_[static_cast<size_t>(rank)];
    const std::string name = key("beat/" + std::to_string(rank));
    const std::string now = store.check({name}) ? textOf(store.get(name)) : "";
    if (now != peer.beat || now.empty() || now == "left") {
      peer.beat = now;
      peer.changed = Clock::now();
      return;
    }
    const auto silent = Clock::now() - peer.changed;
    if (silent < (suspects_ ? std::min<Clock::duration>(settings_.limit, 3 * kBeat) : settings_.limit)) return;
    const size_t first = now.find('\n'), second = now.find('\n', first + 1);
    const auto seconds = std::max<int64_t>(1, std::chrono::duration_cast<std::chrono::seconds>(silent).count());
    const std::string said = "rank " + std::to_string(rank) + " (" + now.substr(first + 1, second - first - 1) + ") gave no sign of life for " +
                             std::to_string(seconds) + " s; last at " + now.substr(second + 1);
    store.set(key("lost"), bytesOf(said));
    conclude(said);
  }

  const BeatSettings settings_;
  std::vector<Peer> peers_;  // of the thread alone
  std::mutex mutex_;
  std::condition_variable woken_;
  std::string doing_, verdict_;
  bool isEnding_ = false;
  std::atomic<bool> suspects_{false};
  std::atomic<Clock::rep> round_{0};
  std::thread thread_;
};

}  // namespace preftune
