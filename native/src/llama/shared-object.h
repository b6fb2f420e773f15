// The operating system's dynamic loader behind a few functions. Any thread. A handle is never
// closed: ggml's backends own threads and static destructors that must outlive it.
#pragma once

#include <string>
#include <vector>

namespace hoshikage {

// Opens a library by absolute path (or bare name, for the system's search, never in the current
// directory); null and a reason on failure.
void* OpenSharedObject(const std::string& path, std::string* reason);
// A symbol of the library or of what it depends on; null where absent.
void* FindSymbol(void* handle, const char* name);
// Real path of the file that holds an address; empty where unknown.
std::string FileOfAddress(const void* address);
// Real paths of all libraries that this process has loaded.
std::vector<std::string> LoadedFiles();
// The file a path leads to; the path itself where it leads nowhere.
std::string RealPath(const std::string& path);
// Takes a variable away from libraries that read the environment with getenv; whether it was set.
bool RemoveEnvironment(const char* name);
// A variable for libraries that read the environment with getenv; never overwrites.
void SetEnvironmentDefault(const char* name, const char* value);

}  // namespace hoshikage
