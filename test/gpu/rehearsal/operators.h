// The operators that a device must bring itself: new tensors, views, copies between host and device, single numbers.
#pragma once

#include <ATen/EmptyTensor.h>
#include <ATen/native/Resize.h>
#include <ATen/ops/_reshape_alias_native.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/set_native.h>
#include <ATen/ops/view_native.h>
#include <torch/library.h>

#include "fallback.h"

namespace rehearsal {
namespace {

const c10::DispatchKeySet kKey(c10::DispatchKey::PrivateUse1);

at::Tensor empty(at::IntArrayRef sizes, std::optional<at::ScalarType> dtype, std::optional<at::Layout>,
                 std::optional<at::Device> where, std::optional<bool>, std::optional<at::MemoryFormat> format) {
  const c10::DeviceGuard guard(where.value_or(deviceNow()));
  return at::detail::empty_generic(sizes, &allocator(), kKey, c10::dtype_or_default(dtype), format);
}

at::Tensor emptyStrided(at::IntArrayRef sizes, at::IntArrayRef strides, std::optional<at::ScalarType> dtype, std::optional<at::Layout>,
                        std::optional<at::Device> where, std::optional<bool>) {
  const c10::DeviceGuard guard(where.value_or(deviceNow()));
  return at::detail::empty_strided_generic(sizes, strides, &allocator(), kKey, c10::dtype_or_default(dtype));
}

// A larger storage with what was in the old one.
void growStorage(c10::StorageImpl& storage, size_t bytes) {
  const c10::DeviceGuard guard(storage.device());
  c10::DataPtr larger = allocator().allocate(bytes);
  const BlockPtr from = blockOf(storage.data_ptr()), to = blockOf(larger);
  const size_t kept = storage.nbytes();
  if (from) {
    const Lock lock(device().mutex);
    device().launch(currentStream(), {"resize", {{from, false}, {to, true}}, [from, to, kept] { std::memcpy(to->at, from->at, kept); }});
  }
  storage.set_data_ptr_noswap(std::move(larger));
  storage.set_nbytes(bytes);
}

const at::Tensor& resize(const at::Tensor& self, at::IntArrayRef sizes, std::optional<at::MemoryFormat>) {
  at::TensorImpl* impl = self.unsafeGetTensorImpl();
  const size_t bytes = at::detail::computeStorageNbytesContiguous(sizes, self.element_size(), self.storage_offset());
  if (bytes > impl->unsafe_storage().nbytes()) growStorage(*impl->unsafe_storage().unsafeGetStorageImpl(), bytes);
  impl->set_sizes_contiguous(sizes);
  return self;
}

void copyToDevice(const at::Tensor& from, const at::Tensor& to, bool nonBlocking) {
  const bool isLate = nonBlocking && PinnedAllocator::owns(from.const_data_ptr());
  // memory that is not pinned is taken over before the call returns
  const at::Tensor source = isLate ? from : from.clone();
  {
    const Lock lock(device().mutex);
    ++device().counts.toDevice;
    device().counts.toDeviceBytes += static_cast<int64_t>(from.nbytes());
  }
  const View target(to, true);
  launch("copy to the device", {target}, [source, target] { target.onHost().copy_(source); });
  if (!nonBlocking) waitForStream("copy to the device");
}

void copyToHost(const at::Tensor& from, const at::Tensor& to, bool nonBlocking) {
  {
    const Lock lock(device().mutex);
    ++device().counts.toHost;
    device().counts.toHostBytes += static_cast<int64_t>(from.nbytes());
  }
  const View source(from, false);
  // what reads it before it is there gets NaN, and -1 for whole numbers
  if (to.is_contiguous()) std::memset(to.mutable_data_ptr(), 0xff, to.nbytes());
  const at::Tensor target = to.detach();
  launch("copy to the host", {source}, [source, target, nonBlocking] {
    if (nonBlocking && target.storage().use_count() == 1) device().fault("a copy to the host came after the host's memory was given back");
    target.copy_(source.onHost());
  });
  if (!nonBlocking) waitForStream("copy to the host");
}

at::Tensor copyFrom(const at::Tensor& from, const at::Tensor& to, bool nonBlocking) {
  const at::AutoDispatchBelowADInplaceOrView plain;
  if (!isOurs(from)) copyToDevice(from, to, nonBlocking);
  else if (!isOurs(to)) copyToHost(from, to, nonBlocking);
  else {
    const View source(from, false), target(to, true);
    launch("copy", {target, source}, [source, target] { target.onHost().copy_(source.onHost()); });
  }
  return to;
}

at::Scalar oneNumber(const at::Tensor& self) {
  waitForStream("item");
  const View view(self, false);
  at::Scalar value;
  runNow("item", {view}, [&] { value = view.onHost().item(); });
  return value;
}

// CUDA chooses among its attention kernels here; here it is the one of single operators.
int64_t attentionKernel(const at::Tensor&, const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&, double, bool,
                        std::optional<double>, bool) {
  return 0;
}

// Shapes of operators of which torch has none: all results as the first argument, in the caller's outputs where there are.
void resultsLikeFirst(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  const auto given = torch::jit::pop(*stack, op.schema().arguments().size());
  const at::Tensor first = given[0].toTensor();
  const size_t count = op.schema().returns().size();
  for (size_t r = 0; r < count; ++r) {
    const c10::IValue& output = given[given.size() - count + r];
    if (hasOut(op)) output.toTensor().resize_(first.sizes());
    stack->push_back(hasOut(op) ? output : c10::IValue(at::empty_like(first)));
  }
}

}  // namespace

// write(to, from): as a collective writes, under another change counter, so that graphs which hold views of the memory stay valid
TORCH_LIBRARY(rehearsal, m) {
  m.def("write(Tensor to, Tensor from) -> ()", [](const at::Tensor& to, const at::Tensor& from) { to.variable_data().copy_(from.variable_data()); });
}

TORCH_LIBRARY_IMPL(_, PrivateUse1, m) { m.fallback(torch::CppFunction::makeFromBoxedFunction<&callOperator>()); }

TORCH_LIBRARY_IMPL(aten, PrivateUse1, m) {
  m.impl("empty.memory_format", TORCH_FN(empty));
  m.impl("empty_strided", TORCH_FN(emptyStrided));
  m.impl("as_strided", TORCH_FN(at::native::as_strided_tensorimpl));
  m.impl("view", TORCH_FN(at::native::view));
  m.impl("_reshape_alias", TORCH_FN(at::native::_reshape_alias));
  m.impl("resize_", TORCH_FN(resize));
  m.impl("set_.source_Storage_storage_offset", TORCH_FN(at::native::set_storage_cpu_));
  m.impl("_copy_from", TORCH_FN(copyFrom));
  m.impl("_local_scalar_dense", TORCH_FN(oneNumber));
  m.impl("_fused_sdp_choice", TORCH_FN(attentionKernel));
}

TORCH_LIBRARY_IMPL(aten, Meta, m) {
  for (const char* name : {"abs.out", "logical_not.out", "relu", "log_sigmoid_forward", "log_sigmoid_backward"})
    m.impl(name, torch::CppFunction::makeFromBoxedFunction<&resultsLikeFirst>());
}

}  // namespace rehearsal
