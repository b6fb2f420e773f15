// The native half of the error catalogue: an exception that carries one of the codes of
// src/errors.ts and an English reason for the log. Any thread. It never crosses a C callback or
// leaves a thread function: both catch, and hand the code on as data.
#pragma once

#include <cstring>
#include <exception>
#include <new>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

#include "crash.h"

namespace hoshikage {

class Error : public std::runtime_error {
 public:
  Error(const char* code, const std::string& reason) : std::runtime_error(reason), code_(code) {}
  // A code of src/errors.ts; a string literal.
  const char* code() const { return code_; }

 private:
  const char* code_;
};

// What a call of a library that has given up comes out as. Where something is being made, that
// could not be made.
inline Error CrashError(const char* code) {
  const bool making =
      !std::strcmp(code, "model_load_failed") || !std::strcmp(code, "library_incompatible");
  return Error(making ? code : "engine_crashed", "libllama gave up: " + CrashReason());
}

// What a failure is where the model has been loaded: nothing else matters once ggml has given up.
inline Error WhileRunning(const char* code, const std::string& reason) {
  return Crashed() ? CrashError("engine_crashed") : Error(code, reason);
}

// Runs one call into libllama. Its C interface lets C++ exceptions through (a bad token id), so
// every call goes through here and comes out as an Error. Once ggml has given up, nothing is called
// any more.
template <class Function>
auto Guard(const char* code, const char* what, Function&& function) -> decltype(function()) {
  if (Crashed()) throw CrashError(code);
  const InsideCall inside;
  try {
    if constexpr (std::is_void_v<decltype(function())>) {
      function();
      if (Crashed()) throw Crash{};
    } else {
      auto result = function();
      if (Crashed()) throw Crash{};  // libllama may have swallowed it
      return result;
    }
  } catch (const Crash&) {
    throw CrashError(code);
  } catch (const Error&) {
    throw;
  } catch (const std::bad_alloc& e) {
    throw Error("engine_out_of_memory", std::string(what) + ": " + e.what());
  } catch (const std::exception& e) {
    throw Error(code, std::string(what) + ": " + e.what());
  } catch (...) {
    throw Error(code, std::string(what) + ": unknown exception");
  }
}

}  // namespace hoshikage
