// The operating system's dynamic loader behind four functions. Any thread. A handle is never
// closed: ggml's backends own threads and static destructors that must outlive it.
#pragma once

#include <string>

namespace hoshikage {

// Opens a library by absolute path (or bare name, for the system's search); null and a reason on
// failure.
void* OpenSharedObject(const std::string& path, std::string* reason);
// A symbol of the library or of what it depends on; null where absent.
void* FindSymbol(void* handle, const char* name);
// Real path of the file that holds an address; empty where unknown.
std::string FileOfAddress(const void* address);
// A variable for libraries that read the environment with getenv; never overwrites.
void SetEnvironmentDefault(const char* name, const char* value);

}  // namespace hoshikage
