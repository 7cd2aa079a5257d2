// SIGINT, SIGTERM and SIGHUP answered while JavaScript computes: Node hears a signal only when its event loop turns, which is
// after a complete optimiser step. The handler here says at once what will happen, then hands the signal on to Node's own.
#pragma once

#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <string>

namespace preftune {

// What a signal does now. Two take turns: the handler reads one while the other is written.
struct StopNotice {
  std::array<char, 512> text{};
  size_t length = 0;
  bool leaves = false;
};

// How often a stop was asked for on one way: by the parent process, or by anyone else.
struct HeardSignals {
  std::atomic<int> count{0};
  std::atomic<int64_t> lastMs{0};
};

struct SignalWatch {
  std::array<StopNotice, 2> notices;
  std::atomic<const StopNotice*> current{nullptr};
  // what the first signal said
  std::atomic<const StopNotice*> shown{nullptr};
  // A parent that is a launcher or a shell passes on what the whole process group was sent, sooner or later: what came on
  // both ways came once, so the ways are counted separately and the larger count holds.
  std::array<HeardSignals, 2> heard;
  pid_t parent = 0;
  // on one way, signals that come in a shorter time are one
  int64_t windowMs = 1000;
  // how many of kStopSignals are watched
  size_t installed = 0;
};

// The last is left alone where it is to be ignored (nohup).
constexpr std::array<int, 3> kStopSignals{SIGINT, SIGTERM, SIGHUP};

inline SignalWatch& signalWatch() {
  static SignalWatch watch;
  return watch;
}

inline std::array<struct sigaction, kStopSignals.size()>& earlierActions() {
  static std::array<struct sigaction, kStopSignals.size()> actions{};
  return actions;
}

inline int64_t monotonicMs() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<int64_t>(now.tv_sec) * 1000 + now.tv_nsec / 1000000;
}

// Counts a signal. 1: it is the first; 2: it is another and asks to leave at once; 0: it adds nothing to what came before.
inline int countStopSignal(SignalWatch& watch, int number, bool isFromParent) {
  const int before = std::max<int>(watch.heard[0].count, watch.heard[1].count);
  HeardSignals& way = watch.heard[isFromParent ? 1 : 0];
  const int64_t now = monotonicMs();
  if (way.count > 0 && now - way.lastMs < watch.windowMs) return 0;
  // a terminal that closes may say so more than once, from shell and kernel, and nobody is impatient
  if (number == SIGHUP && before > 0) return 0;
  way.lastMs = now;
  return ++way.count > before ? std::min(before + 1, 2) : 0;
}

// The signal as the handler of before, Node's, takes it.
inline void passOn(int number) {
  const size_t index = std::find(kStopSignals.begin(), kStopSignals.end(), number) - kStopSignals.begin();
  const auto handler = earlierActions()[index].sa_handler;
  if (handler != SIG_DFL && handler != SIG_IGN) handler(number);
}

// Calls only what a signal handler may: clock_gettime, write, _exit, lock-free atomics.
inline void onStopSignal(int number, siginfo_t* info, void*) {
  const int error = errno;
  SignalWatch& watch = signalWatch();
  const int count = countStopSignal(watch, number, info->si_pid > 0 && info->si_pid == watch.parent);
  if (count > 1) _exit(128 + number);
  if (count == 1) {
    const StopNotice* notice = watch.current;
    watch.shown = notice;
    if (notice != nullptr) {
      [[maybe_unused]] const auto written = write(STDERR_FILENO, notice->text.data(), notice->length);
      if (notice->leaves) _exit(128 + number);
    }
    passOn(number);
  }
  errno = error;
}

// Puts the handler before the one that Node has installed by now, for SIGHUP only where `hangsUp` says so.
inline void watchStopSignals(int64_t windowMs, bool hangsUp) {
  SignalWatch& watch = signalWatch();
  watch.windowMs = windowMs;
  for (HeardSignals& way : watch.heard) way.count = 0;
  watch.shown = nullptr;
  watch.parent = getppid();
  if (watch.installed > 0) return;
  watch.installed = kStopSignals.size() - (hangsUp ? 0 : 1);
  for (size_t i = 0; i < watch.installed; ++i) {
    struct sigaction action {};
    action.sa_sigaction = onStopSignal;
    action.sa_flags = SA_RESTART | SA_SIGINFO;
    sigfillset(&action.sa_mask);
    sigaction(kStopSignals[i], &action, &earlierActions()[i]);
  }
}

// Gives the signals back to Node's own handler.
inline void unwatchStopSignals() {
  SignalWatch& watch = signalWatch();
  for (size_t i = 0; i < watch.installed; ++i) sigaction(kStopSignals[i], &earlierActions()[i], nullptr);
  watch.installed = 0;
}

// From now on the first signal says `text`, and ends the process where `leaves` is true. True: it came before, and said what
// stood here until now, so that no work that this text is about may begin.
inline bool setStopNotice(const std::string& text, bool leaves) {
  SignalWatch& watch = signalWatch();
  StopNotice& next = watch.notices[watch.current == &watch.notices[0] ? 1 : 0];
  next.length = std::min(text.size(), next.text.size());
  std::memcpy(next.text.data(), text.data(), next.length);
  next.leaves = leaves;
  watch.current = &next;
  const StopNotice* shown = watch.shown;
  return shown != nullptr && shown != &next;
}

}  // namespace preftune
