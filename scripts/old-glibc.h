// Included before everything else where build-prebuilt.ts compiles: what GCC 12 makes on glibc 2.36 (Debian 12) then runs with glibc 2.28 and
// libstdc++ of GCC 8 too. What got a new version without a new meaning is asked for by its old one; what is new is done here.
#pragma once
#include <version>
#if defined(__linux__) && defined(__GLIBCXX__)
#include <dlfcn.h>
#include <pthread.h>
#include <time.h>

#include <future>

#ifdef __x86_64__
#define FIRST_GLIBC "GLIBC_2.2.5"
#else
#define FIRST_GLIBC "GLIBC_2.17"
#endif
// moved from libdl and libpthread into libc (2.34); log and pow without System V's handling of errors (2.29)
__asm__(".symver dlopen, dlopen@" FIRST_GLIBC);
__asm__(".symver dlsym, dlsym@" FIRST_GLIBC);
__asm__(".symver dladdr, dladdr@" FIRST_GLIBC);
__asm__(".symver pthread_once, pthread_once@" FIRST_GLIBC);
__asm__(".symver log, log@" FIRST_GLIBC);
__asm__(".symver pow, pow@" FIRST_GLIBC);
// the same function under the version of GCC 12
#define WAIT "_ZNSt18condition_variable4waitERSt11unique_lockISt5mutexE"
__asm__(".symver " WAIT ", " WAIT "@GLIBCXX_3.4.11");
#undef WAIT
#undef FIRST_GLIBC

#define OWN __attribute__((weak, visibility("hidden")))
extern "C" {
// whether the process has a single thread (2.32): "no" is always right
OWN char __libc_single_threaded = 0;

// a wait by a clock of one's choice (2.30): that of the system where it has one, else by the clock of the wall
OWN int pthread_cond_clockwait(pthread_cond_t* condition, pthread_mutex_t* mutex, clockid_t clock, const timespec* until) {
  using Wait = int (*)(pthread_cond_t*, pthread_mutex_t*, clockid_t, const timespec*);
  static const auto wait = reinterpret_cast<Wait>(dlsym(RTLD_DEFAULT, "pthread_cond_clockwait"));
  if (wait != nullptr) return wait(condition, mutex, clock, until);
  constexpr long long kSecond = 1'000'000'000;
  const auto nanoseconds = [](const timespec& time) { return time.tv_sec * kSecond + time.tv_nsec; };
  timespec now{};
  clock_gettime(clock, &now);
  const long long rest = nanoseconds(*until) - nanoseconds(now);
  clock_gettime(CLOCK_REALTIME, &now);
  const long long end = nanoseconds(now) + (rest > 0 ? rest : 0);
  const timespec wall{static_cast<time_t>(end / kSecond), static_cast<long>(end % kSecond)};
  return pthread_cond_timedwait(condition, mutex, &wall);
}
}
#undef OWN

// a wait of std::future by the steady clock (GCC 11), by the clock of the wall
inline bool std::__atomic_futex_unsigned_base::_M_futex_wait_until_steady(unsigned* address, unsigned value, bool hasTimeout, chrono::seconds seconds, chrono::nanoseconds rest) {
  const auto left = chrono::steady_clock::time_point(seconds) + rest - chrono::steady_clock::now();
  const auto until = (chrono::system_clock::now() + left).time_since_epoch();
  const auto whole = chrono::duration_cast<chrono::seconds>(until);
  return _M_futex_wait_until(address, value, hasTimeout, whole, until - whole);
}
#endif
