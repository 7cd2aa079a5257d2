// Short forms of the Node-API calls in use. A failing call throws; the entry points turn exceptions into JavaScript errors.
#pragma once

#include <node_api.h>

#include <cmath>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

namespace preftune {

inline void check(napi_status status, const char* what) {
  if (status != napi_ok) throw std::runtime_error(std::string("expected ") + what);
}

inline double toDouble(napi_env env, napi_value v) {
  double out;
  check(napi_get_value_double(env, v, &out), "a number");
  return out;
}

inline int64_t toInt(napi_env env, napi_value v) {
  int64_t out;
  if (napi_get_value_int64(env, v, &out) == napi_ok) return out;
  bool lossless = false;
  check(napi_get_value_bigint_int64(env, v, &out, &lossless), "a whole number");
  return out;
}

inline uint32_t toHandle(napi_env env, napi_value v) {
  uint32_t out;
  check(napi_get_value_uint32(env, v, &out), "a tensor");
  return out;
}

inline bool toBool(napi_env env, napi_value v) {
  bool out;
  check(napi_get_value_bool(env, v, &out), "true or false");
  return out;
}

inline std::string toString(napi_env env, napi_value v) {
  size_t length = 0;
  check(napi_get_value_string_utf8(env, v, nullptr, 0, &length), "a string");
  std::string out(length, '\0');
  check(napi_get_value_string_utf8(env, v, out.data(), length + 1, &length), "a string");
  return out;
}

inline napi_valuetype typeOf(napi_env env, napi_value v) {
  napi_valuetype type;
  check(napi_typeof(env, v, &type), "a value");
  return type;
}

inline bool isNothing(napi_env env, napi_value v) {
  const napi_valuetype type = typeOf(env, v);
  return type == napi_undefined || type == napi_null;
}

template <typename T, typename F>
std::vector<T> toVector(napi_env env, napi_value v, F convert) {
  uint32_t length = 0;
  check(napi_get_array_length(env, v, &length), "an array");
  std::vector<T> out;
  out.reserve(length);
  for (uint32_t i = 0; i < length; ++i) {
    napi_value item;
    check(napi_get_element(env, v, i, &item), "an array element");
    out.push_back(convert(env, item));
  }
  return out;
}

inline napi_value fromDouble(napi_env env, double value) {
  napi_value out;
  check(napi_create_double(env, value, &out), "a new number");
  return out;
}

inline napi_value fromInt(napi_env env, int64_t value) { return fromDouble(env, static_cast<double>(value)); }

inline napi_value fromHandle(napi_env env, uint32_t value) {
  napi_value out;
  check(napi_create_uint32(env, value, &out), "a new number");
  return out;
}

inline napi_value fromBool(napi_env env, bool value) {
  napi_value out;
  check(napi_get_boolean(env, value, &out), "a new boolean");
  return out;
}

inline napi_value fromString(napi_env env, const std::string& value) {
  napi_value out;
  check(napi_create_string_utf8(env, value.data(), value.size(), &out), "a new string");
  return out;
}

inline napi_value undefined(napi_env env) {
  napi_value out;
  check(napi_get_undefined(env, &out), "undefined");
  return out;
}

template <typename Range, typename F>
napi_value fromRange(napi_env env, const Range& range, F convert) {
  napi_value out;
  check(napi_create_array_with_length(env, range.size(), &out), "a new array");
  uint32_t i = 0;
  for (const auto& item : range) check(napi_set_element(env, out, i++, convert(env, item)), "an array element");
  return out;
}

inline void set(napi_env env, napi_value object, const char* name, napi_value value) {
  check(napi_set_named_property(env, object, name, value), "a property");
}

}  // namespace preftune
