// SIGINT and SIGTERM answered while JavaScript computes: Node hears a signal only when its event loop turns, which is after a
// whole optimiser step. The handler here says at once what will happen, then hands the signal on to Node's own.
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

struct SignalWatch {
  std::array<StopNotice, 2> notices;
  std::atomic<const StopNotice*> current{nullptr};
  // what the first signal said
  std::atomic<const StopNotice*> told{nullptr};
  std::atomic<int> count{0};
  std::atomic<int64_t> heardMs{0};
  // signals that come in a shorter time are one: a terminal and a launcher both pass Ctrl-C on
  int64_t windowMs = 1000;
  bool installed = false;
};

constexpr std::array<int, 2> kStopSignals{SIGINT, SIGTERM};
constexpr int kLeftStatus = 130;

inline SignalWatch& signalWatch() {
  static SignalWatch watch;
  return watch;
}

inline std::array<struct sigaction, 2>& earlierActions() {
  static std::array<struct sigaction, 2> actions{};
  return actions;
}

inline int64_t monotonicMs() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<int64_t>(now.tv_sec) * 1000 + now.tv_nsec / 1000000;
}

// Calls only what a signal handler may: clock_gettime, write, _exit, lock-free atomics.
inline void onStopSignal(int number) {
  const int error = errno;
  SignalWatch& watch = signalWatch();
  const int64_t now = monotonicMs();
  if (watch.count > 0 && now - watch.heardMs < watch.windowMs) {
    errno = error;
    return;
  }
  watch.heardMs = now;
  if (++watch.count > 1) _exit(kLeftStatus);
  const StopNotice* notice = watch.current;
  watch.told = notice;
  if (notice != nullptr) {
    [[maybe_unused]] const auto written = write(STDERR_FILENO, notice->text.data(), notice->length);
    if (notice->leaves) _exit(kLeftStatus);
  }
  const auto handler = earlierActions()[number == kStopSignals[0] ? 0 : 1].sa_handler;
  if (handler != SIG_DFL && handler != SIG_IGN) handler(number);
  errno = error;
}

// Puts the handler before the one that Node has installed by now.
inline void watchStopSignals(int64_t windowMs) {
  SignalWatch& watch = signalWatch();
  watch.windowMs = windowMs;
  watch.count = 0;
  watch.told = nullptr;
  if (watch.installed) return;
  for (size_t i = 0; i < kStopSignals.size(); ++i) {
    struct sigaction action {};
    action.sa_handler = onStopSignal;
    action.sa_flags = SA_RESTART;
    sigfillset(&action.sa_mask);
    sigaction(kStopSignals[i], &action, &earlierActions()[i]);
  }
  watch.installed = true;
}

// Gives the signals back to Node's own handler.
inline void unwatchStopSignals() {
  SignalWatch& watch = signalWatch();
  if (!watch.installed) return;
  for (size_t i = 0; i < kStopSignals.size(); ++i) sigaction(kStopSignals[i], &earlierActions()[i], nullptr);
  watch.installed = false;
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
  const StopNotice* told = watch.told;
  return told != nullptr && told != &next;
}

}  // namespace preftune
