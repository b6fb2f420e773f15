#include "errand.h"

#include "../llama/error.h"

namespace hoshikage {

void Errand::Run() {
  try {
    work_();
  } catch (const Error& e) {
    Refuse(e.code(), e.what());
    return;
  } catch (const std::exception& e) {
    Refuse("internal_error", e.what());
    return;
  } catch (...) {
    Refuse("internal_error", "unknown exception");
    return;
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
