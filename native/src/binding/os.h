// Some things of the operating system that Node does not offer. JavaScript thread.
#pragma once

#include <napi.h>

namespace hoshikage {

// addon.tryLock(fd): an exclusive flock without waiting.
Napi::Value TryLock(const Napi::CallbackInfo& info);
// addon.endNow(code): ends the process without running anybody's destructors.
Napi::Value EndNow(const Napi::CallbackInfo& info);
// addon.progress(): what has got done in this process, and how busy all but this thread were.
Napi::Value ReadProgress(const Napi::CallbackInfo& info);
// addon.dieWithParent(): the kernel kills this process when its parent is gone.
Napi::Value DieWithParent(const Napi::CallbackInfo& info);

}  // namespace hoshikage
