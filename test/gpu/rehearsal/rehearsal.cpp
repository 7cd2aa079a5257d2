// A device to rehearse GPUs on where there is none (docs/rehearsal.md), for tests alone. It computes with the CPU's kernels.
// test/support/rehearsal.ts types what is exported here.
#include <dlfcn.h>
#include <node_api.h>

#include "../../../native/arguments.h"
#include "attention.h"
#include "backend.h"
#include "fallback.h"
#include "operators.h"

namespace rehearsal {
namespace {

using preftune::Arguments, preftune::check, preftune::set, preftune::fromInt, preftune::fromString, preftune::fromRange, preftune::undefined;

// counts() -> what was counted since the last call: see `Counts`
napi_value counts(const Arguments& a) {
  const Lock lock(device().mutex);
  const Counts taken = std::exchange(device().counts, Counts());
  napi_value out, launches;
  check(napi_create_object(a.env, &out), "a new object");
  check(napi_create_object(a.env, &launches), "a new object");
  const auto text = [](napi_env env, const std::string& one) { return fromString(env, one); };
  for (const auto& [name, times] : taken.launches) set(a.env, launches, name.c_str(), fromInt(a.env, times));
  set(a.env, out, "launches", launches);
  set(a.env, out, "waits", fromRange(a.env, taken.waits, text));
  set(a.env, out, "early", fromRange(a.env, taken.early, text));
  set(a.env, out, "allocations", fromInt(a.env, taken.allocations));
  set(a.env, out, "toHost", fromInt(a.env, taken.toHost));
  set(a.env, out, "toHostBytes", fromInt(a.env, taken.toHostBytes));
  set(a.env, out, "toDevice", fromInt(a.env, taken.toDevice));
  set(a.env, out, "toDeviceBytes", fromInt(a.env, taken.toDeviceBytes));
  return out;
}

// faults() -> those found since the last call
napi_value faults(const Arguments& a) {
  const Lock lock(device().mutex);
  const auto taken = device().takeFaults();
  return fromRange(a.env, taken, [](napi_env env, const std::string& one) { return fromString(env, one); });
}

// setLateness(seed, fraction): the launches that at random let earlier work begin; waits always do
napi_value setLateness(const Arguments& a) {
  const Lock lock(device().mutex);
  device().setLateness(static_cast<uint64_t>(preftune::toInt(a.env, a[0])), preftune::toDouble(a.env, a[1]));
  return undefined(a.env);
}

// runOutAfter(count): memory runs out after so many more allocations; less than 0: never
napi_value runOutAfter(const Arguments& a) {
  const Lock lock(device().mutex);
  device().allocationsLeft = preftune::toInt(a.env, a[0]);
  return undefined(a.env);
}

// pending() -> works that have not begun
napi_value pending(const Arguments& a) {
  const Lock lock(device().mutex);
  return fromInt(a.env, static_cast<int64_t>(device().pending()));
}

// useStream(number) -> the stream that this thread used before
napi_value useStream(const Arguments& a) {
  const int64_t number = preftune::toInt(a.env, a[0]);
  TORCH_CHECK(number >= 0 && number < kStreams, "expected a stream from 0 to ", kStreams - 1, ", got ", number);
  return fromInt(a.env, std::exchange(currentStream(), static_cast<int>(number)));
}

// waitForStream(number): this thread's stream comes after what that one was given, as by an event
napi_value afterStream(const Arguments& a) {
  const Lock lock(device().mutex);
  device().block(currentStream(), device().positionsOf(static_cast<int>(preftune::toInt(a.env, a[0]))));
  return undefined(a.env);
}

// touch(): reads memory of the device with the processor, which ends the process
napi_value touch(const Arguments& a) {
  const c10::DataPtr data = allocator().allocate(64);
  return fromInt(a.env, *static_cast<volatile char*>(data.get()));
}

// Node unloads an addon with the last thread that uses it. This one is part of torch from now on.
void stayLoaded() {
  Dl_info own;
  if (dladdr(reinterpret_cast<const void*>(&stayLoaded), &own) != 0) dlopen(own.dli_fname, RTLD_LAZY | RTLD_NODELETE);
}

void initialise(napi_env env, napi_value exports) {
  static std::once_flag once;
  std::call_once(once, [] {
    stayLoaded();
    registerBackend();
    watchTouches();
  });
  preftune::define<counts>(env, exports, "counts");
  preftune::define<faults>(env, exports, "faults");
  preftune::define<setLateness>(env, exports, "setLateness");
  preftune::define<runOutAfter>(env, exports, "runOutAfter");
  preftune::define<pending>(env, exports, "pending");
  preftune::define<useStream>(env, exports, "useStream");
  preftune::define<afterStream>(env, exports, "afterStream");
  preftune::define<touch>(env, exports, "touch");
}

}  // namespace
}  // namespace rehearsal

NAPI_MODULE_INIT() {
  try {
    rehearsal::initialise(env, exports);
    return exports;
  } catch (const std::exception& error) {
    return preftune::throwError(env, error.what());
  }
}
