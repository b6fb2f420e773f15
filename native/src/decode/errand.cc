#include "errand.h"

#include "../llama/error.h"

namespace hoshikage {

void Errand::Run() {
  const auto fail = [this](const char* code, const char* reason) {
    const Error error = WhileRunning(code, reason);
    Refuse(error.code(), error.what());
  };
  try {
    work_();
  } catch (const Error& e) {
    return fail(e.code(), e.what());
  } catch (const std::exception& e) {
    return fail("internal_error", e.what());
  } catch (...) {
    return fail("internal_error", "unknown exception");
  }
  done_.set_value();
}

void Errand::Refuse(const char* code, const std::string& message) {
  code_ = code;
  message_ = message;
  done_.set_value();
}

void Errand::Wait() {
  done_.get_future().wait();
  if (code_) throw Error(code_, message_);
}

}  // namespace hoshikage
