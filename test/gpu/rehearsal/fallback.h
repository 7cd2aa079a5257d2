// Every operator that has no kernel here: its shapes are found at the call, on tensors without data; the CPU's kernel
// runs when the stream gets there, with the memory of its arguments open for as long as it takes.
#pragma once

#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_strided.h>
#include <ATen/ops/from_blob.h>
#include <c10/core/DeviceGuard.h>

#include <optional>
#include <unordered_map>

#include "backend.h"

namespace rehearsal {
namespace {

// A tensor of the device as a work sees it: where its memory is and how it lies there.
class View {
 public:
  View(const at::Tensor& tensor, bool writes)
      : use_{blockOf(tensor.storage().data_ptr()), writes}, offset_(tensor.storage_offset() * static_cast<int64_t>(tensor.element_size())),
        sizes_(tensor.sizes().vec()), strides_(tensor.strides().vec()), dtype_(tensor.scalar_type()) {
    TORCH_CHECK(!use_.block || use_.block->owner == tensor.device().index(), "expected memory of ", tensor.device(),
                ", got that of device ", use_.block->owner, ": CUDA would find an illegal memory access");
  }

  void addTo(std::vector<Use>& uses) const { if (use_.block) uses.push_back(use_); }
  c10::ScalarType dtype() const { return dtype_; }

  // The memory as a tensor of the CPU, while it is open.
  at::Tensor onHost() const {
    const auto options = at::TensorOptions().dtype(dtype_);
    if (!use_.block) return at::empty_strided(sizes_, strides_, options);
    return at::from_blob(use_.block->at + offset_, sizes_, strides_, options);
  }

 private:
  Use use_;
  int64_t offset_;
  std::vector<int64_t> sizes_, strides_;
  c10::ScalarType dtype_;
};

bool isOurs(const at::Tensor& tensor) { return tensor.defined() && tensor.device().type() == kType; }

std::string typeOf(const View& view) { return std::string(c10::getDtypeNames(view.dtype()).first); }

void launch(const std::string& name, const std::vector<View>& views, std::function<void()> run) {
  std::vector<Use> uses;
  for (const View& view : views) view.addTo(uses);
  const Lock lock(device().mutex);
  ++device().counts.launches[name + (views.empty() ? "" : " " + typeOf(views[0]))];
  device().launch(currentStream(), {name, std::move(uses), std::move(run)});
}

// Waits until this thread's stream has done all that it was given.
void waitForStream(const std::string& cause) {
  const Lock lock(device().mutex);
  device().wait(currentStream(), cause);
}

// Runs `body` as a kernel right now, behind what its stream was given.
void runNow(const std::string& name, const std::vector<View>& views, const std::function<void()>& body) {
  const Lock lock(device().mutex);
  std::exception_ptr failed;
  launch(name, views, [&] {
    try {
      body();
    } catch (...) {
      failed = std::current_exception();
    }
  });
  device().run(currentStream());
  if (failed) std::rethrow_exception(failed);
}

template <typename F>
c10::IValue mapTensors(const c10::IValue& value, const F& f) {
  if (value.isTensor()) return value.toTensor().defined() ? c10::IValue(f(value.toTensor())) : value;
  if (value.isTensorList()) {
    c10::List<at::Tensor> out;
    for (const at::Tensor& tensor : value.toTensorVector()) out.push_back(tensor.defined() ? f(tensor) : tensor);
    return out;
  }
  if (value.isOptionalTensorList()) {
    c10::List<std::optional<at::Tensor>> out;
    for (const std::optional<at::Tensor>& tensor : value.toOptionalTensorVector())
      out.push_back(tensor.has_value() && tensor->defined() ? std::optional(f(*tensor)) : tensor);
    return out;
  }
  return value;
}

bool writes(const c10::Argument& argument) { return argument.alias_info() != nullptr && argument.alias_info()->isWrite(); }

// CUDA's kernels take numbers of the host as arguments, and nothing else of its memory.
at::Tensor hostNumber(const c10::OperatorHandle& op, const c10::Argument& argument, const at::Tensor& tensor) {
  const std::string& name = op.schema().name();
  const bool takes = op.hasTag(at::Tag::pointwise) || name == "aten::_fused_adamw_" || name == "aten::fill_";
  TORCH_CHECK(tensor.device().is_cpu() && tensor.dim() == 0 && takes, "Expected all tensors to be on the same device: \"", argument.name(),
              "\" of ", name, " is on ", tensor.device(), ", others are on ", deviceNow());
  at::Tensor copy = tensor.detach().clone();
  if (tensor.unsafeGetTensorImpl()->is_wrapped_number()) copy.unsafeGetTensorImpl()->set_wrapped_number(true);
  return copy;
}

using Values = std::vector<c10::IValue>;

bool isOutput(const c10::Argument& argument) { return writes(argument) && argument.kwarg_only(); }

// The arguments of a call: tensors of the device as views, numbers of the host as copies.
struct Call {
  c10::OperatorHandle op;
  Values arguments;
  std::vector<View> views;
  std::vector<size_t> viewAt;  // the argument that each view is of

  // @param madeNow - outputs are made on the host: their shape is not known before
  Call(const c10::OperatorHandle& handle, Values given, bool madeNow = false) : op(handle), arguments(std::move(given)) {
    const auto& schema = op.schema().arguments();
    for (size_t i = 0; i < schema.size(); ++i) {
      arguments[i] = mapTensors(arguments[i], [&](const at::Tensor& tensor) {
        // the guard of the call has made the first one's device the current one
        if (tensor.device() != deviceNow()) return hostNumber(op, schema[i], tensor);
        if (madeNow && isOutput(schema[i])) return at::empty({0}, tensor.options().device(c10::kCPU));
        views.emplace_back(tensor, writes(schema[i]));
        viewAt.push_back(i);
        return tensor;
      });
    }
  }

  // The arguments with `f` of every tensor of the device, on another device.
  template <typename F>
  Values with(c10::Device where, const F& f) const {
    Values out;
    for (const c10::IValue& argument : arguments) {
      if (argument.isDevice()) out.emplace_back(where);
      else if (argument.isGenerator()) out.emplace_back();
      else out.push_back(mapTensors(argument, [&](const at::Tensor& tensor) { return isOurs(tensor) ? f(tensor) : tensor; }));
    }
    return out;
  }
};

// The CPU's generator begins with a seed, and has its own state again afterwards.
class Seeded {
 public:
  explicit Seeded(uint64_t seed) : generator_(at::detail::getDefaultCPUGenerator()) {
    const std::lock_guard<std::mutex> lock(generator_.mutex());
    before_ = generator_.get_state();
    generator_.set_current_seed(seed);
  }
  ~Seeded() {
    const std::lock_guard<std::mutex> lock(generator_.mutex());
    generator_.set_state(before_);
  }
  Seeded(const Seeded&) = delete;
  Seeded& operator=(const Seeded&) = delete;

 private:
  at::Generator generator_;
  at::Tensor before_;
};

// What a work needs of its call when it runs. It holds no tensor of the device: memory is given back as on CUDA.
class Kernel {
 public:
  Kernel(const Call& call, std::optional<uint64_t> seed) : op_(call.op), seed_(seed), views_(call.views) {
    arguments_ = call.with(c10::kCPU, [](const at::Tensor&) { return at::empty({0}); });
    isView_.resize(arguments_.size());
    for (const size_t i : call.viewAt) isView_[i] = true;
    ours_.reserve(arguments_.size());
    for (const c10::IValue& argument : call.arguments) ours_.push_back(whichAreOurs(argument));
  }

  Values operator()() const {
    const at::AutoDispatchBelowADInplaceOrView plain;
    size_t next = 0;
    torch::jit::Stack stack;
    for (size_t i = 0; i < arguments_.size(); ++i) {
      size_t n = 0;
      stack.push_back(!isView_[i] ? arguments_[i] : mapTensors(arguments_[i], [&](const at::Tensor& tensor) {
        return ours_[i][n++] ? views_[next++].onHost() : tensor;
      }));
    }
    if (!seed_.has_value()) {
      op_.callBoxed(stack);
      return stack;
    }
    const Seeded seeded(*seed_);
    op_.callBoxed(stack);
    return stack;
  }

 private:
  static std::vector<bool> whichAreOurs(const c10::IValue& value) {
    std::vector<bool> out;
    mapTensors(value, [&](const at::Tensor& tensor) {
      out.push_back(isOurs(tensor));
      return tensor;
    });
    return out;
  }

  c10::OperatorHandle op_;
  std::optional<uint64_t> seed_;
  std::vector<View> views_;
  Values arguments_;
  std::vector<bool> isView_;
  std::vector<std::vector<bool>> ours_;
};

at::Tensor withoutData(const at::Tensor& like) {
  return at::empty_strided(like.sizes(), like.strides(), like.options().device(c10::kMeta));
}

at::Tensor onDeviceLike(const at::Tensor& like) {
  return at::empty_strided(like.sizes(), like.strides(), like.options().device(deviceNow()));
}

bool gives(const c10::OperatorHandle& op, bool (*is)(const c10::Argument&)) {
  for (const c10::Argument& value : op.schema().returns()) if (is(value)) return true;
  return false;
}
bool isFresh(const c10::Argument& value) { return value.alias_info() == nullptr; }
bool isNumber(const c10::Argument& value) { return value.real_type()->kind() != c10::TypeKind::TensorType && value.real_type()->kind() != c10::TypeKind::ListType; }
bool hasOut(const c10::OperatorHandle& op) {
  for (const c10::Argument& argument : op.schema().arguments()) if (isOutput(argument)) return true;
  return false;
}

// What the operator gives for tensors without data; nothing where torch cannot say.
std::optional<Values> infer(const Call& call) {
  if (!call.op.hasComputedKernelForDispatchKey(c10::DispatchKey::Meta)) return std::nullopt;
  const at::AutoDispatchBelowADInplaceOrView plain;
  torch::jit::Stack stack = call.with(c10::kMeta, withoutData);
  try {
    call.op.callBoxed(stack);
  } catch (const c10::NotImplementedError&) {
    return std::nullopt;
  }
  return stack;
}

// The results of a call on the device: arguments that are written to as they are, new tensors in the shapes of `found`.
Values resultsOf(const c10::OperatorHandle& op, const Values& arguments, const Values& found, std::vector<View>& fresh) {
  Values results;
  const auto& schema = op.schema();
  for (size_t r = 0; r < schema.returns().size(); ++r) {
    const c10::Argument& value = schema.returns()[r];
    if (isFresh(value)) {
      results.push_back(mapTensors(found.at(r), [&](const at::Tensor& tensor) {
        at::Tensor made = onDeviceLike(tensor);
        fresh.emplace_back(made, true);
        return made;
      }));
      continue;
    }
    TORCH_CHECK_NOT_IMPLEMENTED(writes(value), schema.name(), " gives a view: rehearsal has none of it");
    const size_t before = results.size();
    for (size_t i = 0; i < schema.arguments().size() && results.size() == before; ++i)
      if (writes(schema.arguments()[i]) && *schema.arguments()[i].alias_info() == *value.alias_info()) results.push_back(arguments[i]);
  }
  return results;
}

// Copies new tensors of the CPU to where they belong. @throws where their shape or type is not the one found before
void copyOut(const std::string& name, const Values& results, const std::vector<View>& fresh) {
  size_t next = 0;
  for (const c10::IValue& result : results) {
    mapTensors(result, [&](const at::Tensor& tensor) {
      if (next >= fresh.size()) return tensor;
      const at::Tensor to = fresh[next++].onHost();
      TORCH_CHECK(to.sizes() == tensor.sizes() && to.scalar_type() == tensor.scalar_type(), name, " gave ", tensor.sizes(), " ", tensor.scalar_type(),
                  ", expected ", to.sizes(), " ", to.scalar_type());
      to.copy_(tensor);
      return tensor;
    });
  }
}

std::optional<uint64_t> seedOf(const c10::OperatorHandle& op) {
  if (!op.hasTag(at::Tag::nondeterministic_seeded)) return std::nullopt;
  at::Generator generator = defaultGenerator();
  const std::lock_guard<std::mutex> lock(generator.mutex());
  return static_cast<Generator*>(generator.unsafeGetGeneratorImpl())->next();
}

// Outputs given by the caller, the last arguments, take the shape that is found, as CUDA's kernels resize them.
void resizeOutputs(const Values& arguments, const Values& found) {
  for (size_t r = 0; r < found.size(); ++r) {
    const at::Tensor out = arguments[arguments.size() - found.size() + r].toTensor();
    if (out.sizes() != found[r].toTensor().sizes()) out.resize_(found[r].toTensor().sizes());
  }
}

// The operator at once: where its shapes depend on values, or torch has no shapes for it.
Values callNow(const c10::OperatorHandle& op, const Values& arguments) {
  const std::string name = op.schema().name();
  const Call call(op, arguments, true);
  const Kernel kernel(call, seedOf(op));
  Values found;
  runNow(name, call.views, [&] { found = kernel(); });
  std::vector<View> targets;
  const Values results = resultsOf(op, arguments, found, targets);
  Values copied;
  if (hasOut(op)) {
    resizeOutputs(arguments, found);
    for (const c10::IValue& result : results) targets.emplace_back(result.toTensor(), true);
    copied = found;
  } else {
    for (size_t r = 0; r < found.size(); ++r) if (isFresh(op.schema().returns()[r])) copied.push_back(found[r]);
  }
  runNow(name, targets, [&] { copyOut(name, copied, targets); });
  return results;
}

// The operator later: its results in the shapes that were found.
Values callLate(const c10::OperatorHandle& op, const Values& arguments, const Values& found) {
  const std::string name = op.schema().name();
  if (hasOut(op)) resizeOutputs(arguments, found);
  const Call call(op, arguments);
  std::vector<View> fresh;
  Values results = resultsOf(op, arguments, found, fresh);
  std::vector<View> views = call.views;
  views.insert(views.end(), fresh.begin(), fresh.end());
  launch(name, views, [name, fresh, kernel = Kernel(call, seedOf(op))] {
    const Values made = kernel();
    if (!fresh.empty()) copyOut(name, made, fresh);
  });
  return results;
}

// The device of the first tensor of ours, else the one that is named, else the current one.
c10::Device deviceOf(const Values& arguments) {
  std::optional<c10::Device> found, named;
  for (const c10::IValue& argument : arguments) {
    if (argument.isDevice() && argument.toDevice().type() == kType) named = argument.toDevice();
    mapTensors(argument, [&](const at::Tensor& tensor) {
      if (!found.has_value() && isOurs(tensor)) found = tensor.device();
      return tensor;
    });
  }
  return found.value_or(named.value_or(deviceNow()));
}

void callOperator(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  const std::string name = op.schema().name();
  TORCH_CHECK_NOT_IMPLEMENTED(op.hasComputedKernelForDispatchKey(c10::DispatchKey::CPU), name, " has no kernel for the CPU, which rehearsal would run");
  const Values arguments = torch::jit::pop(*stack, op.schema().arguments().size());
  const c10::DeviceGuard guard(deviceOf(arguments));
  const auto giveBack = [stack](const Values& results) { for (const c10::IValue& result : results) stack->push_back(result); };
  const bool dependsOnValues = op.hasTag(at::Tag::dynamic_output_shape) || op.hasTag(at::Tag::data_dependent_output) || gives(op, isNumber);
  if (dependsOnValues) {
    waitForStream(name);
    return giveBack(callNow(op, arguments));
  }
  const bool asks = gives(op, isFresh) || hasOut(op);
  const std::optional<Values> found = asks ? infer(Call(op, arguments)) : Values();
  if (found.has_value()) return giveBack(callLate(op, arguments, *found));
  {
    const Lock lock(device().mutex);
    device().counts.early.insert(name);
  }
  giveBack(callNow(op, arguments));
}

}  // namespace
}  // namespace rehearsal
