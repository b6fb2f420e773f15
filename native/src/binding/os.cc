#include "os.h"

#include <cerrno>
#include <cstring>

#include "convert.h"

#ifdef _WIN32
#include <windows.h>
#else
#include <sys/file.h>
#include <unistd.h>
#endif
#ifdef __linux__
#include <signal.h>
#include <sys/prctl.h>
#endif

namespace hoshikage {

Napi::Value TryLock(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return Bound(env, [&]() -> Napi::Value {
    [[maybe_unused]] const int32_t fd = ArgInt(info, 0, "fd");
#ifdef _WIN32
    // The addon's C runtime does not know Node's descriptors; the caller has another way.
    throw Error("invalid_argument", "flock is not available on Windows");
#else
    int result;
    do {
      result = flock(fd, LOCK_EX | LOCK_NB);
    } while (result == -1 && errno == EINTR);
    if (result == 0) return Napi::Boolean::New(env, true);
    if (errno == EWOULDBLOCK) return Napi::Boolean::New(env, false);
    throw Error("invalid_argument", std::string("flock: ") + std::strerror(errno));
#endif
  });
}

Napi::Value EndNow(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return Bound(env, [&]() -> Napi::Value {
    const int32_t code = ArgInt(info, 0, "code");
#ifdef _WIN32
    TerminateProcess(GetCurrentProcess(), static_cast<UINT>(code));
#else
    _exit(code);
#endif
    return env.Undefined();
  });
}

Napi::Value DieWithParent(const Napi::CallbackInfo& info) {
#ifdef __linux__
  return Napi::Boolean::New(info.Env(), prctl(PR_SET_PDEATHSIG, SIGKILL) == 0);
#else
  return Napi::Boolean::New(info.Env(), false);
#endif
}

}  // namespace hoshikage
