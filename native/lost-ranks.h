// Threads that say through the store that this rank is alive, and notice when another no longer is: the thread that trains may be
// in a kernel or a write for minutes, and no limit has to cover that. Which rank is lost is left in the store, so that all say the
// same.
//
// Three things tell that a rank is gone, the quickest first: its process, where it is on this host; its beats, once a collective or the
// connection to it has failed; its beats, by the limit. Time in which this process was stopped itself does not count: after SIGSTOP and SIGCONT of all, or
// of a suspended machine, nobody is lost.
#pragma once

#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <fstream>
#include <functional>
#include <memory>
#include <mutex>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

namespace preftune {

using Milliseconds = std::chrono::milliseconds;

struct BeatSettings {
  std::string host;  // of the store
  int64_t port;
  std::string prefix;  // of keys, another for each start of the run
  int64_t rank, size;
  std::string self;  // "host a, pid 812"
  bool isStoreOurs;  // rank 0 serves it
  Milliseconds limit;
};

// When a process of this host was started; empty where there is none, or only what its parent has not collected.
inline std::string processStart(int64_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  // a process that ends between opening and reading is an error of the read, which an iterator over the buffer would throw
  std::string text;
  std::getline(file, text, '\0');
  const size_t name = text.rfind(')');
  if (name == std::string::npos) return "";
  std::istringstream rest(text.substr(name + 1));
  std::string state, word;
  rest >> state;
  for (int field = 4; field <= 22; ++field) rest >> word;
  return state == "Z" || state == "X" ? "" : word;
}

// Where process ids mean the same: a host's name, its start, the namespace of its processes.
inline std::string processNamespace() {
  char host[256] = "", space[256] = "";
  gethostname(host, sizeof(host) - 1);
  if (readlink("/proc/self/ns/pid", space, sizeof(space) - 1) < 0) return "";
  std::string boot;
  std::getline(std::ifstream("/proc/sys/kernel/random/boot_id"), boot);
  return std::string(host) + " " + boot + " " + space;
}

class LostRanks : public std::enable_shared_from_this<LostRanks> {
 public:
  // The threads hold the object too: one that is stuck in a call of the store outlives its owner.
  static std::shared_ptr<LostRanks> begin(BeatSettings settings) {
    const std::shared_ptr<LostRanks> watch(new LostRanks(std::move(settings)));
    std::thread([watch] { watch->countTime(); }).detach();
    std::thread([watch] { watch->run(); }).detach();
    return watch;
  }

  // What this rank does: "step 1240, saving".
  void note(const std::string& what) {
    const std::lock_guard<std::mutex> lock(mutex_);
    doing_ = what;
  }

  // Tells the others that this rank ends by its own error; returns when they can read it, or when the store does not answer.
  void fail(const std::string& error) {
    std::unique_lock<std::mutex> lock(mutex_);
    isHeard_ = true;
    failure_ = std::string(kFailed) + "rank " + std::to_string(settings_.rank) + " (" + settings_.self + "): " + error;
    woken_.notify_all();
    woken_.wait_for(lock, Milliseconds(kSaying), [this] { return failure_.empty() || isOver_; });
  }

  // The rank that is lost, as a sentence; empty while none is.
  std::string verdict() {
    const std::lock_guard<std::mutex> lock(mutex_);
    isHeard_ = isHeard_ || !verdict_.empty();
    return verdict_;
  }

  // From now on this process ends with `status` where nobody has asked for the verdict a while after it, as the thread that does is in a
  // kernel or a write; and long after it in any case. Says so on standard error, `ending` behind the verdict.
  void endProcess(int64_t status, const std::string& ending) {
    onLoss([self = weak_from_this(), status, ending] {
      const std::shared_ptr<LostRanks> watch = self.lock();
      if (watch) std::thread([watch, status, ending] { watch->endUnheard(static_cast<int>(status), ending); }).detach();
    });
  }

  // After a collective has failed somebody is gone who need not be silent for the whole limit. Empty where all are there.
  std::string verdictAfterFailure() {
    suspects_ = true;
    woken_.notify_all();
    // without beats, as rank 0 has left and its store with it, no time passes and nothing more is heard
    for (const int64_t until = awake_ + 8 * kBeat; awake_ < until && !isOver();) {
      if (const std::string found = verdict(); !found.empty()) return found;
      std::this_thread::sleep_for(Milliseconds(20));
    }
    const std::lock_guard<std::mutex> lock(mutex_);
    if (verdict_.empty() && isOver_ && peers_[0].hasEnded()) verdict_ = hasLeft(0);
    return verdict_;
  }

  // The connection to a rank ended, which need not be silent for the whole limit.
  void connectionEnded(int64_t rank) {
    const std::lock_guard<std::mutex> lock(mutex_);
    peers_[static_cast<size_t>(rank)].isCutOff = isAnyCutOff_ = true;
  }

  // What to do once a rank is lost, from the thread of the beats.
  void onLoss(std::function<void()> act) {
    const std::lock_guard<std::mutex> lock(mutex_);
    onLoss_.push_back(std::move(act));
  }

  // Says that this rank leaves, and stays until the others leave too, or have read it: a connection that is closed fails a collective
  // which another has all data of and has not looked at yet, and the store goes with the rank that serves it. Once somebody is lost
  // collectives fail in any case, and only the store has to stay, for the verdict in it.
  void end() {
    std::unique_lock<std::mutex> lock(mutex_);
    isEnding_ = true;
    woken_.notify_all();
    // on a busy machine saying it takes a while; who is gone without it is lost to the others
    const bool isAwaited = verdict_.empty() || serves();
    woken_.wait_for(lock, Milliseconds(isAwaited ? kSaying : 2 * kBeat), [this] { return isOver_; });
    onLoss_.clear();
  }

 private:
  static constexpr int64_t kBeat = 400, kLinger = 10000, kSaying = kLinger + 1000, kUnheard = 1000, kHeard = 20000;  // ms
  // What the verdict begins with where a rank has failed by its own error.
  static constexpr const char* kFailed = "failed: ";
  static constexpr const char *kNotYet = "not yet", *kEnded = "ended";

  struct Peer {
    std::string beat;
    int64_t changed = 0;  // on the clock of time awake
    bool isCutOff = false;

    // "count or ended", its own name, namespace, pid, start, what it does
    std::string line(int number) const {
      std::istringstream all(beat);
      std::string one;
      for (int i = 0; i <= number; ++i) {
        one.clear();
        std::getline(all, one);
      }
      return one;
    }
    bool hasEnded() const { return line(0) == kEnded; }
    std::string name(int64_t rank) const {
      const std::string self = line(1);
      return "rank " + std::to_string(rank) + (self.empty() ? "" : " (" + self + ")");
    }
    std::string lastAt() const {
      const std::string doing = line(5);
      return doing.empty() ? "" : "; last at " + doing;
    }
  };

  explicit LostRanks(BeatSettings settings)
      : settings_(std::move(settings)), peers_(static_cast<size_t>(settings_.size)), started_(processStart(getpid())),
        place_(started_.empty() ? "" : processNamespace()) {}

  bool serves() const { return settings_.isStoreOurs && settings_.rank == 0; }
  std::string key(const std::string& name) const { return settings_.prefix + "/" + name; }
  std::string beatKey(int64_t rank) const { return key("beat/" + std::to_string(rank)); }

  static std::string textOf(const std::vector<uint8_t>& bytes) { return std::string(bytes.begin(), bytes.end()); }
  static std::vector<uint8_t> bytesOf(const std::string& text) { return std::vector<uint8_t>(text.begin(), text.end()); }

  // Callers hold the mutex.
  std::string storeIsLost(const std::string& why) const {
    const std::string place = "at " + settings_.host + ":" + std::to_string(settings_.port) + " cannot be reached from here (" + settings_.self + "): " + why;
    if (!settings_.isStoreOurs) return "the launcher's store, in which the ranks meet, " + place;
    return peers_[0].name(0) + ", whose store the ranks meet in, " + place + peers_[0].lastAt();
  }

  void conclude(const std::string& verdict) {
    std::vector<std::function<void()>> acts;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (!verdict_.empty()) return;
      verdict_ = verdict;
      acts.swap(onLoss_);
    }
    for (const auto& act : acts) act();
  }

  void endUnheard(int status, const std::string& ending) {
    std::this_thread::sleep_for(Milliseconds(kUnheard));
    std::string said;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      // a process that leaves is slow, not stuck
      said = isHeard_ || isEnding_ ? "" : verdict_;
    }
    if (said.empty()) {
      std::this_thread::sleep_for(Milliseconds(kHeard));
    } else {
      const bool isError = said.rfind(kFailed, 0) == 0;
      const std::string line = "preftune: " + (isError ? said.substr(std::strlen(kFailed)) : said + ending) + "\n";
      [[maybe_unused]] const auto written = write(STDERR_FILENO, line.data(), line.size());
    }
    _exit(status);
  }

  // The clock of time awake, in ms: a stop of this process counts as one tick.
  void countTime() {
    constexpr Milliseconds tick{100};
    auto last = std::chrono::steady_clock::now();
    std::unique_lock<std::mutex> lock(mutex_);
    while (!isOver_) {
      woken_.wait_for(lock, tick);
      const auto now = std::chrono::steady_clock::now();
      awake_ += std::min<int64_t>(std::chrono::duration_cast<Milliseconds>(now - last).count(), 5 * tick.count());
      last = now;
      // the store's own calls may block for ever on a host that has lost its network
      const int64_t silent = awake_ - answered_;
      if (!verdict_.empty() || isOver_ || silent <= settings_.limit.count()) continue;
      const std::string said = storeIsLost("no answer for " + std::to_string(silent / 1000) + " s");
      lock.unlock();
      conclude(said);
      lock.lock();
    }
  }

  void run() {
    try {
      c10d::TCPStoreOptions options;
      options.port = static_cast<uint16_t>(settings_.port);
      options.waitWorkers = false;
      options.timeout = settings_.limit;
      const auto store = c10::make_intrusive<c10d::TCPStore>(settings_.host, options);
      for (int64_t rank = 0; rank < settings_.size; ++rank) store->compareSet(beatKey(rank), {}, bytesOf(kNotYet));
      for (int64_t count = 0; beat(*store, std::to_string(count)); ++count) {
      }
      linger(*store);
    } catch (const std::exception& error) {
      std::unique_lock<std::mutex> lock(mutex_);
      // rank 0 ends when all is done: then there is no store, and nothing to say
      const bool isDone = isEnding_ || (settings_.isStoreOurs && peers_[0].hasEnded());
      const std::string said = isDone ? "" : storeIsLost(firstLine(error.what()));
      lock.unlock();
      if (!said.empty()) conclude(said);
    }
    const std::lock_guard<std::mutex> lock(mutex_);
    isOver_ = true;
    woken_.notify_all();
  }

  bool isOver() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return isOver_;
  }

  static std::string firstLine(const std::string& text) { return text.substr(0, text.find('\n')); }

  // One round: says that this rank is there, looks at the others, waits. @returns whether another follows
  bool beat(c10d::Store& store, const std::string& count) {
    std::string failure;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      failure = failure_;
    }
    if (!failure.empty()) claim(store, failure);
    say(store, count);
    look(store);
    std::unique_lock<std::mutex> lock(mutex_);
    answered_ = awake_.load();
    if (!failure.empty()) failure_.clear();
    woken_.notify_all();
    woken_.wait_for(lock, Milliseconds(suspects_ || isAnyCutOff_ || !haveBegun_ ? kBeat / 8 : kBeat), [this] { return isEnding_ || !failure_.empty() || (suspects_ && !wasSuspecting_); });
    wasSuspecting_ = suspects_;
    return !isEnding_ || !failure_.empty();
  }

  void say(c10d::Store& store, const std::string& count) {
    std::string text;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      text = count + "\n" + settings_.self + "\n" + place_ + "\n" + std::to_string(getpid()) + "\n" + started_ + "\n" + doing_;
    }
    store.set(beatKey(settings_.rank), bytesOf(text));
  }

  // Leaves a verdict in the store where there is none. @returns the one that is there
  std::string claim(c10d::Store& store, const std::string& said) { return textOf(store.compareSet(key("lost"), {}, bytesOf(said))); }

  // Reads what another has concluded, and the beats of all in one request.
  void look(c10d::Store& store) {
    if (store.check({key("lost")})) return conclude(textOf(store.get(key("lost"))));
    std::vector<std::string> keys;
    for (int64_t rank = 0; rank < settings_.size; ++rank) keys.push_back(beatKey(rank));
    const std::vector<std::vector<uint8_t>> found = store.multiGet(keys);
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      haveBegun_ = true;
      for (size_t rank = 0; rank < peers_.size(); ++rank) {
        const std::string now = textOf(found[rank]);
        haveBegun_ &= now != kNotYet;
        // a rank that has not begun is silent since this one began
        if (now != kNotYet && now != peers_[rank].beat) {
          peers_[rank].beat = now;
          peers_[rank].changed = awake_;
        }
      }
    }
    if (const std::string said = whoIsLost(store); !said.empty()) conclude(claim(store, said));
  }

  // A sentence about the rank that is lost; empty while none is.
  std::string whoIsLost(c10d::Store& store) {
    const int64_t now = awake_;
    int64_t silent = -1, ended = -1;
    for (int64_t rank = 0; rank < settings_.size; ++rank) {
      const Peer& peer = peers_[static_cast<size_t>(rank)];
      if (rank == settings_.rank) continue;
      if (peer.hasEnded()) {
        ended = rank;
        continue;
      }
      if (isGone(store, rank)) return peer.name(rank) + " is gone, its process has ended" + peer.lastAt();
      const bool isElsewhere = peer.line(2) != place_;
      const int64_t limit = settings_.limit.count();
      const int64_t most = !isElsewhere ? limit : peer.isCutOff ? 2 * kBeat : suspects_ ? 3 * kBeat : limit;
      if (now - peer.changed < std::min(limit, most)) continue;
      if (silent < 0 || peer.changed < peers_[static_cast<size_t>(silent)].changed) silent = rank;
    }
    if (silent >= 0) {
      const Peer& peer = peers_[static_cast<size_t>(silent)];
      const std::string seconds = std::to_string(std::max<int64_t>(1, (now - peer.changed) / 1000));
      return peer.name(silent) + " gave no sign of life for " + seconds + " s" + peer.lastAt();
    }
    // later than it takes a silent one to be found
    if (!suspects_) suspectedSince_ = now;
    return ended < 0 || now - suspectedSince_ < 5 * kBeat ? "" : hasLeft(ended);
  }

  std::string hasLeft(int64_t rank) const {
    const Peer& peer = peers_[static_cast<size_t>(rank)];
    return peer.name(rank) + " has left while others wait for it" + peer.lastAt();
  }

  // Whether the rank's process, one of this host, is no longer there and has not said that it ends.
  bool isGone(c10d::Store& store, int64_t rank) {
    const Peer& peer = peers_[static_cast<size_t>(rank)];
    if (place_.empty() || peer.line(2) != place_) return false;
    if (processStart(std::stoll(peer.line(3))) == peer.line(4)) return false;
    // it may have ended after its beat was read
    return textOf(store.get(beatKey(rank))) == peer.beat;
  }

  void linger(c10d::Store& store) {
    say(store, kEnded);
    const int64_t until = awake_ + kLinger;
    suspects_ = true;
    while (awake_ < until) {
      bool isAlone = true;
      for (int64_t rank = 0; rank < settings_.size; ++rank) {
        if (rank == settings_.rank) continue;
        Peer& peer = peers_[static_cast<size_t>(rank)];
        const std::string now = textOf(store.get(beatKey(rank)));
        // no longer than this: the store is asked again below, and may not answer
        if (now != kNotYet && now != peer.beat) {
          const std::lock_guard<std::mutex> lock(mutex_);
          peer = {now, awake_};
        }
        // on a busy machine a process that is there may not come to its beats for seconds; one that is lost is not waited for
        const bool isHere = !place_.empty() && peer.line(2) == place_;
        const int64_t most = isHere ? settings_.limit.count() : 3 * kBeat;
        const bool isThere = awake_ - peer.changed < most && !(isHere && isGone(store, rank));
        if (!peer.hasEnded() && isThere) isAlone = false;
      }
      if (isAlone) return;
      std::this_thread::sleep_for(Milliseconds(20));
    }
  }

  const BeatSettings settings_;
  std::vector<Peer> peers_;  // written by the thread of the beats alone, under the mutex
  const std::string started_, place_;
  std::mutex mutex_;
  std::condition_variable woken_;
  std::string doing_ = "starting", verdict_, failure_;
  std::vector<std::function<void()>> onLoss_;
  bool isEnding_ = false, isOver_ = false, wasSuspecting_ = false, haveBegun_ = false, isHeard_ = false;
  int64_t suspectedSince_ = 0;
  std::atomic<bool> suspects_{false}, isAnyCutOff_{false};
  std::atomic<int64_t> awake_{0}, answered_{0};
};

}  // namespace preftune
