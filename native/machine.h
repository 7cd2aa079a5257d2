// What JavaScript reads and sets: devices, threads, seeds and generators, memory, signals, the library of matrix
// products.
#pragma once

#include <ATen/Context.h>
#include <ATen/DeviceAccelerator.h>
#include <ATen/Parallel.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <torch/version.h>

#include <mutex>

#include "arguments.h"
#include "batch-invariance.h"
#include "generators.h"
#include "host-memory.h"
#include "instruction-sets.h"
#include "interrupt.h"
#include "matmul.h"

namespace preftune {
namespace {

napi_value torchVersion(const Arguments& a) { return fromString(a.env, TORCH_VERSION); }
napi_value setThreads(const Arguments& a) { at::set_num_threads(static_cast<int>(toInt(a.env, a[0]))); return undefined(a.env); }
napi_value threads(const Arguments& a) { return fromInt(a.env, at::get_num_threads()); }

// accelerator() -> { name, count }: what torch computes on besides the CPU, of the kinds that are supported or put there by a test;
// undefined for none
napi_value accelerator(const Arguments& a) {
  const auto type = at::getAccelerator();
  if (type != at::kCUDA && type != at::kMPS && type != at::kPrivateUse1) return undefined(a.env);
  napi_value out;
  check(napi_create_object(a.env, &out), "a new object");
  set(a.env, out, "name", fromString(a.env, c10::DeviceTypeName(*type, /*lower_case=*/true)));
  set(a.env, out, "count", fromInt(a.env, at::accelerator::deviceCount()));
  return out;
}

napi_value synchronize(const Arguments& a) {
  const c10::Device where(toString(a.env, a[0]));
  if (at::isAccelerator(where.type())) c10::impl::VirtualGuardImpl(where.type()).synchronizeDevice(where.index());
  return undefined(a.env);
}

// useDevice(device): it is the current one of this thread, where what names no device takes memory and launches kernels
napi_value useDevice(const Arguments& a) {
  const c10::Device where(toString(a.env, a[0]));
  if (at::isAccelerator(where.type()) && where.has_index()) c10::impl::VirtualGuardImpl(where.type()).setDevice(where);
  return undefined(a.env);
}

at::Generator generatorOf(napi_env env, napi_value device) { return at::globalContext().defaultGenerator(c10::Device(toString(env, device))); }

napi_value manualSeed(const Arguments& a) {
  const HeldGenerators held(true);
  at::manual_seed(static_cast<uint64_t>(toInt(a.env, a[0])));
  return undefined(a.env);
}
napi_value generatorState(const Arguments& a) { return fromHandle(a.env, handles().add(generatorOf(a.env, a[0]).get_state())); }
napi_value setGeneratorState(const Arguments& a) {
  const HeldGenerators held(true);
  generatorOf(a.env, a[0]).set_state(a.tensor(1));
  return undefined(a.env);
}

napi_value setDeterministic(const Arguments& a) {
  at::globalContext().setDeterministicAlgorithms(toBool(a.env, a[0]), /*warn_only=*/true);
  // torch would then fill every new tensor with NaN before a kernel overwrites it: a pass over memory for nothing
  at::globalContext().setDeterministicFillUninitializedMemory(false);
  return undefined(a.env);
}

napi_value setBatchInvariant(const Arguments& a) { batchInvariant() = toBool(a.env, a[0]); return undefined(a.env); }

// The instruction set that the addon's own kernels use.
napi_value instructionSet(const Arguments& a) { return fromString(a.env, levelName()); }

// Which library makes float32 products on the CPU.
napi_value hasOnednn(const Arguments& a) { return fromBool(a.env, hasKernel()); }
napi_value usesOnednn(const Arguments& a) { return fromBool(a.env, usesBlocks()); }
napi_value useOnednn(const Arguments& a) { useMatmul(toBool(a.env, a[0])); return undefined(a.env); }

// beginWithOnednn(value): the same, where nothing has been chosen in this process, by whatever thread
napi_value beginWithOnednn(const Arguments& a) {
  static std::once_flag once;
  const bool value = toBool(a.env, a[0]);
  std::call_once(once, [&] { useMatmul(value); });
  return undefined(a.env);
}

// measureMatmul(seconds) -> by shape { torch, onednn, own } in GFLOP/s; 0 for what is not there
napi_value measureMatmulSpeed(const Arguments& a) {
  napi_value all;
  check(napi_create_object(a.env, &all), "a new object");
  for (const MatmulSpeed& speed : measureMatmul(toDouble(a.env, a[0]))) {
    napi_value out;
    check(napi_create_object(a.env, &out), "a new object");
    set(a.env, out, "torch", fromDouble(a.env, speed.torch));
    set(a.env, out, "onednn", fromDouble(a.env, speed.onednn));
    set(a.env, out, "own", fromDouble(a.env, speed.own));
    set(a.env, all, speed.shape, out);
  }
  return all;
}

// watchSignals(windowMs, hangsUp), unwatchSignals(), setStopNotice(text, leaves) -> whether a signal came before: see interrupt.h
napi_value watchSignals(const Arguments& a) {
  watchStopSignals(toInt(a.env, a[0]), toBool(a.env, a[1]));
  return undefined(a.env);
}
napi_value unwatchSignals(const Arguments& a) {
  unwatchStopSignals();
  return undefined(a.env);
}
napi_value setNotice(const Arguments& a) {
  return fromBool(a.env, setStopNotice(toString(a.env, a[0]), toBool(a.env, a[1])));
}

napi_value hostBytes(const Arguments& a) { return fromDouble(a.env, static_cast<double>(hostBytesInUse())); }

// deviceMemory(device) -> { allocated, peak } in bytes, of torch's caching allocator
napi_value deviceMemory(const Arguments& a) {
  const c10::Device where(toString(a.env, a[0]));
  const auto stats = at::getDeviceAllocator(where.type())->getDeviceStats(where.index());
  const auto& bytes = stats.allocated_bytes[static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE)];
  napi_value out;
  check(napi_create_object(a.env, &out), "a new object");
  set(a.env, out, "allocated", fromInt(a.env, bytes.current));
  set(a.env, out, "peak", fromInt(a.env, bytes.peak));
  return out;
}

}  // namespace
}  // namespace preftune
