// The bridge from Node to libtorch: operators by schema, autograd, tensors from and to typed arrays.
// It knows schemas and Node-API, nothing of learning. `src/torch/native.ts` types every function exported here.
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/variable.h>

#include <dlfcn.h>

#include <memory>
#include <mutex>

#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include "adamw-8bit.h"
#include "adamw-bf16.h"
#include "arguments.h"
#include "batch-invariance.h"
#include "dropout.h"
#include "exp-rows.h"
#include "gated-mlp.h"
#include "generators.h"
#include "greatest.h"
#include "half-copy.h"
#include "host-memory.h"
#include "lora.h"
#include "machine.h"
#include "matmul.h"
#include "meta.h"
#include "operators.h"
#include "paged-attention.h"
#include "quantised-linear.h"
#include "rms-norm-rotary.h"
#include "segment-attention.h"
#include "sum-squares.h"
#include "wide-product.h"

namespace preftune {
namespace {

// ---- operators ---------------------------------------------------------------------------------------------------

// findOperator("aten::add", "Tensor") -> id, or undefined when torch has no such operator.
napi_value findOperator(const Arguments& a) {
  const auto found = c10::Dispatcher::singleton().findSchema({toString(a.env, a[0]), toString(a.env, a[1])});
  if (!found.has_value()) return undefined(a.env);
  auto op = std::make_unique<Operator>(Operator{*found, {}, found->hasTag(at::Tag::nondeterministic_seeded)});
  for (const auto& argument : found->schema().arguments()) op->parameters.push_back(parameterOf(argument.real_type()));
  if (op->parameters.size() > kMaxArguments - 1) throw std::runtime_error("operator with too many parameters");
  operators().push_back(std::move(op));
  return fromDouble(a.env, static_cast<double>(operators().size() - 1));
}

// describeOperator(id) -> { schema, parameters: [{ name, type, keywordOnly, hasDefault }], returns: [type] }
napi_value describeOperator(const Arguments& a) {
  const auto& schema = operators().at(static_cast<size_t>(toInt(a.env, a[0])))->handle.schema();
  napi_value out;
  check(napi_create_object(a.env, &out), "a new object");
  std::ostringstream text;
  text << schema;
  set(a.env, out, "schema", fromString(a.env, text.str()));
  set(a.env, out, "parameters", fromRange(a.env, schema.arguments(), [](napi_env env, const c10::Argument& argument) {
        napi_value item;
        check(napi_create_object(env, &item), "a new object");
        set(env, item, "name", fromString(env, argument.name()));
        set(env, item, "type", fromString(env, argument.real_type()->str()));
        set(env, item, "keywordOnly", fromBool(env, argument.kwarg_only()));
        set(env, item, "hasDefault", fromBool(env, argument.default_value().has_value()));
        return item;
      }));
  set(a.env, out, "returns", fromRange(a.env, schema.returns(), [](napi_env env, const c10::Argument& argument) {
        return fromString(env, argument.real_type()->str());
      }));
  return out;
}

[[noreturn]] void throwCallError(napi_env env, const Operator& op, const napi_value* argv, const std::string& reason) {
  std::ostringstream text;
  text << c10::toString(op.handle.operator_name()) << " failed: " << reason << "\n  schema: " << op.handle.schema()
       << "\n  arguments: " << describeArguments(env, op, argv);
  throw std::runtime_error(text.str());
}

// An in-place operator returns its own argument: hand back that argument's handle instead of a second one.
napi_value resultTo(napi_env env, const c10::IValue& value, const Operator& op, const napi_value* argv) {
  if (value.isTensor() && !op.parameters.empty() && op.parameters[0].kind == Kind::tensor && value.toTensor().defined()) {
    const Handle self = toHandle(env, argv[0]);
    if (handles().get(self).is_same(value.toTensor())) return argv[0];
  }
  return valueTo(env, value);
}

// call(id, ...arguments in schema order); undefined stands for the schema's default.
napi_value call(const Arguments& a) {
  uint32_t id;
  check(napi_get_value_uint32(a.env, a[0], &id), "an operator id");
  const Operator& op = *operators().at(id);
  const napi_value* argv = a.values + 1;
  const auto& arguments = op.handle.schema().arguments();
  torch::jit::Stack stack;
  stack.reserve(arguments.size());
  try {
    for (size_t i = 0; i < arguments.size(); ++i) {
      const auto& fallback = arguments[i].default_value();
      try {
        if (fallback.has_value() && typeOf(a.env, argv[i]) == napi_undefined) stack.push_back(*fallback);
        else stack.push_back(valueFrom(a.env, argv[i], op.parameters[i]));
      } catch (const std::exception& error) {
        throw std::runtime_error("argument \"" + arguments[i].name() + "\": " + messageOf(error));
      }
    }
    const HeldGenerators held(op.draws);
    std::optional<at::AutoDispatchBelowAutograd> straight;
    if (recordsNothing()) straight.emplace();
    op.handle.callBoxed(stack);
  } catch (const std::exception& error) {
    throwCallError(a.env, op, argv, messageOf(error));
  }
  if (stack.empty()) return undefined(a.env);
  if (stack.size() == 1) return resultTo(a.env, stack[0], op, argv);
  return fromRange(a.env, stack, [](napi_env env, const c10::IValue& value) { return valueTo(env, value); });
}

// ---- scopes and lifetimes ----------------------------------------------------------------------------------------

napi_value openScope(const Arguments& a) { return fromHandle(a.env, handles().openScope()); }
napi_value closeScope(const Arguments& a) { handles().closeScope(a.handle(0)); return undefined(a.env); }
napi_value keep(const Arguments& a) { handles().keep(a.handle(0), a.handle(1)); return undefined(a.env); }
napi_value free(const Arguments& a) { handles().free(a.handle(0)); return undefined(a.env); }
napi_value isAlive(const Arguments& a) { return fromBool(a.env, handles().alive(a.handle(0))); }
napi_value liveTensorCount(const Arguments& a) { return fromDouble(a.env, static_cast<double>(handles().live())); }

// ---- facts about a tensor ----------------------------------------------------------------------------------------

napi_value shape(const Arguments& a) { return fromRange(a.env, a.tensor(0).sizes(), fromInt); }
napi_value dtype(const Arguments& a) { return fromInt(a.env, static_cast<int64_t>(a.tensor(0).scalar_type())); }
napi_value device(const Arguments& a) { return fromString(a.env, a.tensor(0).device().str()); }
napi_value isContiguous(const Arguments& a) { return fromBool(a.env, a.tensor(0).is_contiguous()); }
napi_value sameStorage(const Arguments& a) { return fromBool(a.env, a.tensor(0).is_alias_of(a.tensor(1))); }
napi_value version(const Arguments& a) { return fromInt(a.env, a.tensor(0)._version()); }

// ---- autograd ----------------------------------------------------------------------------------------------------

napi_value requiresGrad(const Arguments& a) { return fromBool(a.env, a.tensor(0).requires_grad()); }
napi_value setRequiresGrad(const Arguments& a) { a.tensor(0).set_requires_grad(toBool(a.env, a[1])); return undefined(a.env); }
napi_value isGradEnabled(const Arguments& a) { return fromBool(a.env, c10::GradMode::is_enabled()); }
napi_value setGradEnabled(const Arguments& a) { c10::GradMode::set_enabled(toBool(a.env, a[0])); return undefined(a.env); }

napi_value grad(const Arguments& a) {
  const at::Tensor& g = a.tensor(0).grad();
  return g.defined() ? fromHandle(a.env, handles().add(g)) : undefined(a.env);
}

napi_value setGrad(const Arguments& a) {
  a.tensor(0).mutable_grad() = isNothing(a.env, a[1]) ? at::Tensor() : a.tensor(1);
  return undefined(a.env);
}

std::vector<at::Tensor> tensors(const Arguments& a, size_t i) { return toVector<at::Tensor>(a.env, a[i], tensorFrom); }

// backward(outputs, gradients | undefined, retainGraph): adds to the `grad` of the leaves.
napi_value backward(const Arguments& a) {
  const auto gradients = isNothing(a.env, a[1]) ? std::vector<at::Tensor>() : tensors(a, 1);
  torch::autograd::backward(tensors(a, 0), gradients, toBool(a.env, a[2]));
  return undefined(a.env);
}

// gradients(outputs, inputs, gradients | undefined, retainGraph) -> handles, undefined where an input was not used.
napi_value gradients(const Arguments& a) {
  const auto given = isNothing(a.env, a[2]) ? std::vector<at::Tensor>() : tensors(a, 2);
  const auto out = torch::autograd::grad(tensors(a, 0), tensors(a, 1), given, toBool(a.env, a[3]), false, true);
  return fromRange(a.env, out, [](napi_env env, const at::Tensor& t) { return valueTo(env, c10::IValue(t)); });
}

// ---- memory shared with JavaScript -------------------------------------------------------------------------------

// A tensor over a typed array's bytes keeps the array alive. Tensors may be freed on any thread, references only on the
// thread of JavaScript that made them, so they wait in its list until its next call empties it.
struct Retired {
  std::mutex mutex;
  std::vector<napi_ref> references;
  bool isClosed = false;  // the thread has ended, and its references with it
};

std::shared_ptr<Retired>& retired() {
  static thread_local auto list = std::make_shared<Retired>();
  return list;
}

void releaseRetired(napi_env env) {
  std::vector<napi_ref> done;
  {
    const std::lock_guard<std::mutex> lock(retired()->mutex);
    done.swap(retired()->references);
  }
  for (napi_ref reference : done) napi_delete_reference(env, reference);
}

// fromTypedArray(array, shape, dtype, copy) -> handle
napi_value fromTypedArray(const Arguments& a) {
  releaseRetired(a.env);
  napi_typedarray_type type;
  size_t length = 0;
  size_t offset = 0;
  void* data = nullptr;
  napi_value buffer;
  check(napi_get_typedarray_info(a.env, a[0], &type, &length, &data, &buffer, &offset), "a typed array");
  size_t bufferBytes = 0;
  void* bufferData = nullptr;
  check(napi_get_arraybuffer_info(a.env, buffer, &bufferData, &bufferBytes), "an array buffer");
  const auto sizes = toVector<int64_t>(a.env, a[1], toInt);
  const auto options = at::TensorOptions().dtype(static_cast<at::ScalarType>(toInt(a.env, a[2])));
  const size_t bytes = c10::multiply_integers(sizes) * options.dtype().itemsize();
  if (bytes > bufferBytes - offset) throw std::runtime_error("the typed array is smaller than the shape asks for");
  if (toBool(a.env, a[3]) || bytes == 0) {
    at::Tensor out = at::empty(sizes, options);
    if (bytes > 0) std::memcpy(out.data_ptr(), data, bytes);
    return fromHandle(a.env, handles().add(std::move(out)));
  }
  napi_ref reference;
  check(napi_create_reference(a.env, a[0], 1, &reference), "a reference");
  const auto release = [reference, list = retired()](void*) {
    const std::lock_guard<std::mutex> lock(list->mutex);
    if (!list->isClosed) list->references.push_back(reference);
  };
  return fromHandle(a.env, handles().add(at::from_blob(data, sizes, release, options)));
}

// read(tensor, typed array, from): fills the array with the tensor's bytes from byte `from` on. JavaScript's memory, and not a view
// of the tensor's: Node gives a view's memory back only when its event loop turns, which a long computation never lets it.
napi_value read(const Arguments& a) {
  napi_typedarray_type type;
  size_t length = 0;
  void* data = nullptr;
  check(napi_get_typedarray_info(a.env, a[1], &type, &length, &data, nullptr, nullptr), "a typed array");
  check(type == napi_uint8_array ? napi_ok : napi_invalid_arg, "a Uint8Array");
  const at::Tensor from = a.tensor(0).detach().to(at::kCPU).contiguous();
  const auto first = static_cast<size_t>(toInt(a.env, a[2]));  // a negative number is then larger than every tensor
  if (first > from.nbytes() || length > from.nbytes() - first) throw std::runtime_error("expected bytes within the tensor");
  if (length > 0) std::memcpy(data, static_cast<const char*>(from.const_data_ptr()) + first, length);
  return undefined(a.env);
}

// item(tensor) -> number, of a tensor with one element
napi_value item(const Arguments& a) {
  const at::Scalar value = a.tensor(0).item();
  return value.isBoolean() ? fromBool(a.env, value.toBool()) : fromDouble(a.env, value.toDouble());
}

// ---- threads of JavaScript ---------------------------------------------------------------------------------------

// A worker's end, by itself or by force: its tensors are freed while references can still be deleted.
void endThread(void* env) {
  generatorHold().giveAll();
  delete ownHandles();
  ownHandles() = nullptr;
  operators().clear();
  releaseRetired(static_cast<napi_env>(env));
  const std::lock_guard<std::mutex> lock(retired()->mutex);
  retired()->isClosed = true;
}

// freeAtEnd(): what this thread holds is given back when it ends
napi_value freeAtEnd(const Arguments& a) {
  check(napi_add_env_cleanup_hook(a.env, endThread, a.env), "a hook at the end of a thread");
  return undefined(a.env);
}

napi_value holdGenerators(const Arguments& a) { generatorHold().take(); return undefined(a.env); }
napi_value releaseGenerators(const Arguments& a) { generatorHold().give(); return undefined(a.env); }

// Node unloads an addon with the last worker that uses it. This one has put functions and an allocator into torch.
void stayLoaded() {
  Dl_info own;
  if (dladdr(reinterpret_cast<const void*>(&stayLoaded), &own) != 0) dlopen(own.dli_fname, RTLD_LAZY | RTLD_NODELETE);
}

napi_value initialise(napi_env env, napi_value exports) {
#if defined(__GLIBC__)
  // glibc gives blocks over 128 KiB back to the kernel on every free; a training step then pays for thousands of page
  // faults. Keeping them in the heap makes a step up to twice as fast.
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  mallopt(M_TOP_PAD, 64 << 20);
#endif
  static std::once_flag once;
  std::call_once(once, [] {
    limitInstructionSets();
    keepMklReproducible();
    keepFewPrograms();
    stayLoaded();
    useHostAllocator();
    replaceProducts();
  });
  define<findOperator>(env, exports, "findOperator");
  define<describeOperator>(env, exports, "describeOperator");
  define<call>(env, exports, "call");
  define<openScope>(env, exports, "openScope");
  define<closeScope>(env, exports, "closeScope");
  define<keep>(env, exports, "keep");
  define<free>(env, exports, "free");
  define<isAlive>(env, exports, "isAlive");
  define<liveTensorCount>(env, exports, "liveTensorCount");
  define<shape>(env, exports, "shape");
  define<dtype>(env, exports, "dtype");
  define<device>(env, exports, "device");
  define<isContiguous>(env, exports, "isContiguous");
  define<sameStorage>(env, exports, "sameStorage");
  define<version>(env, exports, "version");
  define<requiresGrad>(env, exports, "requiresGrad");
  define<setRequiresGrad>(env, exports, "setRequiresGrad");
  define<isGradEnabled>(env, exports, "isGradEnabled");
  define<setGradEnabled>(env, exports, "setGradEnabled");
  define<grad>(env, exports, "grad");
  define<setGrad>(env, exports, "setGrad");
  define<backward>(env, exports, "backward");
  define<gradients>(env, exports, "gradients");
  define<fromTypedArray>(env, exports, "fromTypedArray");
  define<read>(env, exports, "read");
  define<item>(env, exports, "item");
  define<torchVersion>(env, exports, "torchVersion");
  define<setThreads>(env, exports, "setThreads");
  define<threads>(env, exports, "threads");
  define<accelerator>(env, exports, "accelerator");
  define<synchronize>(env, exports, "synchronize");
  define<useDevice>(env, exports, "useDevice");
  define<freeAtEnd>(env, exports, "freeAtEnd");
  define<holdGenerators>(env, exports, "holdGenerators");
  define<releaseGenerators>(env, exports, "releaseGenerators");
  define<manualSeed>(env, exports, "manualSeed");
  define<generatorState>(env, exports, "generatorState");
  define<setGeneratorState>(env, exports, "setGeneratorState");
  define<setDeterministic>(env, exports, "setDeterministic");
  define<setBatchInvariant>(env, exports, "setBatchInvariant");
  define<instructionSet>(env, exports, "instructionSet");
  define<hasOnednn>(env, exports, "hasOnednn");
  define<usesOnednn>(env, exports, "usesOnednn");
  define<useOnednn>(env, exports, "useOnednn");
  define<beginWithOnednn>(env, exports, "beginWithOnednn");
  define<measureMatmulSpeed>(env, exports, "measureMatmul");
  define<hostBytes>(env, exports, "hostBytes");
  define<deviceMemory>(env, exports, "deviceMemory");
  define<watchSignals>(env, exports, "watchSignals");
  define<unwatchSignals>(env, exports, "unwatchSignals");
  define<setNotice>(env, exports, "setStopNotice");
  return exports;
}

}  // namespace
}  // namespace preftune

NAPI_MODULE_INIT() {
  try {
    return preftune::initialise(env, exports);
  } catch (const std::exception& error) {
    return preftune::throwError(env, error.what());
  }
}
