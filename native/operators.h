// Calls any operator of torch's dispatcher by its schema: looked up once, arguments converted by schema type, called boxed.
#pragma once

#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/ivalue.h>
#include <c10/core/ScalarType.h>

#include <memory>
#include <string>
#include <vector>

#include "handles.h"
#include "node.h"

namespace preftune {

enum class Kind {
  tensor, tensorList, optionalTensorList, integer, real, boolean, scalar, text, integerList, realList, booleanList,
  dtype, device, layout, memoryFormat, unsupported,
};

struct Parameter {
  Kind kind;
  bool optional;
};

struct Operator {
  c10::OperatorHandle handle;
  std::vector<Parameter> parameters;
  bool draws;  // random numbers, from a generator of the process
};

inline Parameter parameterOf(const c10::TypePtr& given) {
  c10::TypePtr type = given;
  bool optional = false;
  if (auto inner = type->cast<c10::OptionalType>()) {
    optional = true;
    type = inner->getElementType();
  }
  const auto is = [&](Kind kind) { return Parameter{kind, optional}; };
  switch (type->kind()) {
    case c10::TypeKind::TensorType: return is(Kind::tensor);
    case c10::TypeKind::IntType:
    case c10::TypeKind::SymIntType: return is(Kind::integer);
    case c10::TypeKind::FloatType: return is(Kind::real);
    case c10::TypeKind::BoolType: return is(Kind::boolean);
    case c10::TypeKind::NumberType: return is(Kind::scalar);
    case c10::TypeKind::StringType: return is(Kind::text);
    case c10::TypeKind::DeviceObjType: return is(Kind::device);
    case c10::TypeKind::ScalarTypeType: return is(Kind::dtype);
    case c10::TypeKind::LayoutType: return is(Kind::layout);
    case c10::TypeKind::MemoryFormatType: return is(Kind::memoryFormat);
    case c10::TypeKind::ListType: {
      const Parameter item = parameterOf(type->expectRef<c10::ListType>().getElementType());
      if (item.kind == Kind::tensor) return is(item.optional ? Kind::optionalTensorList : Kind::tensorList);
      if (item.kind == Kind::integer) return is(Kind::integerList);
      if (item.kind == Kind::real) return is(Kind::realList);
      if (item.kind == Kind::boolean) return is(Kind::booleanList);
      return is(Kind::unsupported);
    }
    default: return is(Kind::unsupported);
  }
}

// Those that this thread of JavaScript has looked up, by their number.
inline std::vector<std::unique_ptr<Operator>>& operators() {
  static thread_local std::vector<std::unique_ptr<Operator>> table;
  return table;
}

inline c10::IValue scalarFrom(napi_env env, napi_value v) {
  if (typeOf(env, v) == napi_boolean) return c10::IValue(toBool(env, v));
  if (typeOf(env, v) == napi_bigint) return c10::IValue(toInt(env, v));
  const double number = toDouble(env, v);
  // A whole number is an integer Scalar, as in Python; -0 and what an int64 cannot hold exactly stay real.
  if (std::nearbyint(number) == number && std::fabs(number) < 9007199254740992.0 && !(number == 0 && std::signbit(number)))
    return c10::IValue(static_cast<int64_t>(number));
  return c10::IValue(number);
}

inline at::Tensor tensorFrom(napi_env env, napi_value v) { return handles().get(toHandle(env, v)); }

inline c10::IValue valueFrom(napi_env env, napi_value v, const Parameter& parameter) {
  if (parameter.optional && isNothing(env, v)) return c10::IValue();
  switch (parameter.kind) {
    case Kind::tensor: return c10::IValue(handles().get(toHandle(env, v)));
    case Kind::tensorList: {
      c10::List<at::Tensor> list;
      for (auto& t : toVector<at::Tensor>(env, v, tensorFrom)) list.push_back(std::move(t));
      return c10::IValue(std::move(list));
    }
    case Kind::optionalTensorList: {
      c10::List<std::optional<at::Tensor>> list;
      const auto item = [](napi_env e, napi_value x) -> std::optional<at::Tensor> {
        return isNothing(e, x) ? std::nullopt : std::optional<at::Tensor>(tensorFrom(e, x));
      };
      for (auto& t : toVector<std::optional<at::Tensor>>(env, v, item)) list.push_back(std::move(t));
      return c10::IValue(std::move(list));
    }
    case Kind::integer:
    case Kind::dtype:
    case Kind::layout:
    case Kind::memoryFormat: return c10::IValue(toInt(env, v));
    case Kind::real: return c10::IValue(toDouble(env, v));
    case Kind::boolean: return c10::IValue(toBool(env, v));
    case Kind::scalar: return scalarFrom(env, v);
    case Kind::text: return c10::IValue(toString(env, v));
    case Kind::device: return c10::IValue(c10::Device(toString(env, v)));
    case Kind::integerList: {
      // torch takes a lone number where its schema says int[n]
      if (typeOf(env, v) == napi_number) return c10::IValue(std::vector<int64_t>{toInt(env, v)});
      return c10::IValue(toVector<int64_t>(env, v, toInt));
    }
    case Kind::realList: return c10::IValue(toVector<double>(env, v, toDouble));
    case Kind::booleanList: {
      c10::List<bool> list;
      for (const bool b : toVector<bool>(env, v, toBool)) list.push_back(b);
      return c10::IValue(std::move(list));
    }
    case Kind::unsupported: break;
  }
  throw std::runtime_error("an argument type that the bridge does not convert");
}

inline napi_value valueTo(napi_env env, const c10::IValue& value) {
  if (value.isNone()) return undefined(env);
  // An undefined tensor stands for "no value" in torch (a gradient that was not asked for).
  if (value.isTensor()) return value.toTensor().defined() ? fromHandle(env, handles().add(value.toTensor())) : undefined(env);
  if (value.isBool()) return fromBool(env, value.toBool());
  if (value.isInt()) return fromDouble(env, static_cast<double>(value.toInt()));
  if (value.isDouble()) return fromDouble(env, value.toDouble());
  if (value.isScalar()) return fromDouble(env, value.toScalar().toDouble());
  if (value.isString()) return fromString(env, value.toStringRef());
  if (value.isTensorList() || value.isList()) {
    return fromRange(env, value.toListRef(), [](napi_env e, const c10::IValue& item) { return valueTo(e, item); });
  }
  throw std::runtime_error("a result type that the bridge does not convert");
}

inline std::string describe(const at::Tensor& t) {
  std::string out = std::string(c10::getDtypeNames(t.scalar_type()).first) + "[";
  for (int64_t i = 0; i < t.dim(); ++i) out += (i ? ", " : "") + std::to_string(t.size(i));
  out += "]";
  return t.device().is_cpu() ? out : out + " on " + t.device().str();
}

// The arguments of a failed call, tensors by dtype and shape.
inline std::string describeArguments(napi_env env, const Operator& op, const napi_value* argv) {
  std::string out;
  const auto& names = op.handle.schema().arguments();
  for (size_t i = 0; i < op.parameters.size(); ++i) {
    const Kind kind = op.parameters[i].kind;
    if ((kind != Kind::tensor && kind != Kind::tensorList) || isNothing(env, argv[i])) continue;
    try {
      std::string shown;
      if (kind == Kind::tensor) {
        shown = describe(tensorFrom(env, argv[i]));
      } else {
        for (const auto& t : toVector<at::Tensor>(env, argv[i], tensorFrom)) shown += (shown.empty() ? "[" : ", ") + describe(t);
        shown += "]";
      }
      out += (out.empty() ? "" : ", ") + names[i].name() + " " + shown;
    } catch (const std::exception&) {
      out += (out.empty() ? "" : ", ") + names[i].name() + " not a live tensor";
    }
  }
  return out;
}

}  // namespace preftune
