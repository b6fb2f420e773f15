// The native half of the error catalogue: an exception that carries one of the codes of
// src/errors.ts and an English reason for the log. Any thread. It never crosses a C callback or
// leaves a thread function: both catch, and hand the code on as data.
#pragma once

#include <exception>
#include <stdexcept>
#include <string>
#include <utility>

namespace hoshikage {

class Error : public std::runtime_error {
 public:
  Error(const char* code, const std::string& reason) : std::runtime_error(reason), code_(code) {}
  // A code of src/errors.ts; a string literal.
  const char* code() const { return code_; }

 private:
  const char* code_;
};

// Runs one call into libllama. Its C interface lets C++ exceptions through (a grammar mismatch, a
// bad token id), so every call goes through here and comes out as an Error.
template <class Function>
auto Guard(const char* code, const char* what, Function&& function) -> decltype(function()) {
  try {
    return function();
  } catch (const Error&) {
    throw;
  } catch (const std::exception& e) {
    throw Error(code, std::string(what) + ": " + e.what());
  } catch (...) {
    throw Error(code, std::string(what) + ": unknown exception");
  }
}

}  // namespace hoshikage
