// Functions for JavaScript: their arguments, exceptions turned into JavaScript errors, and their place among the exports.
#pragma once

#include <c10/util/Exception.h>

#include <exception>
#include <string>

#include "handles.h"
#include "node.h"

namespace preftune {
namespace {

constexpr size_t kMaxArguments = 40;

struct Arguments {
  napi_env env;
  size_t count = kMaxArguments;
  napi_value values[kMaxArguments];

  Arguments(napi_env e, napi_callback_info info) : env(e) {
    check(napi_get_cb_info(env, info, &count, values, nullptr, nullptr), "arguments");
  }
  napi_value operator[](size_t i) const { return values[i]; }
  Handle handle(size_t i) const { return toHandle(env, values[i]); }
  const at::Tensor& tensor(size_t i) const { return handles().get(handle(i)); }
};

napi_value throwError(napi_env env, const std::string& message) {
  bool pending = false;
  napi_is_exception_pending(env, &pending);
  if (!pending) napi_throw_error(env, nullptr, message.c_str());
  return nullptr;
}

std::string messageOf(const std::exception& error) {
  const auto* torchError = dynamic_cast<const c10::Error*>(&error);
  return torchError != nullptr ? torchError->what_without_backtrace() : error.what();
}

// Turns exceptions of `body` into JavaScript errors: no C++ exception may cross into Node.
template <napi_value (*body)(const Arguments&)>
napi_value entry(napi_env env, napi_callback_info info) {
  try {
    return body(Arguments(env, info));
  } catch (const std::exception& error) {
    return throwError(env, messageOf(error));
  } catch (...) {
    return throwError(env, "unknown native exception");
  }
}

template <napi_value (*body)(const Arguments&)>
void define(napi_env env, napi_value exports, const char* name) {
  napi_value function;
  check(napi_create_function(env, name, NAPI_AUTO_LENGTH, entry<body>, nullptr, &function), "a function");
  set(env, exports, name, function);
}

}  // namespace
}  // namespace preftune
