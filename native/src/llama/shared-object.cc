#include "shared-object.h"

#include <climits>
#include <cstdlib>

#ifdef _WIN32
#include <windows.h>
#else
#include <dlfcn.h>
#endif

namespace hoshikage {

#ifdef _WIN32

namespace {
std::wstring Wide(const std::string& text) {
  const int size = MultiByteToWideChar(CP_UTF8, 0, text.c_str(), -1, nullptr, 0);
  std::wstring wide(size > 0 ? size - 1 : 0, L'\0');
  if (size > 1) MultiByteToWideChar(CP_UTF8, 0, text.c_str(), -1, wide.data(), size);
  return wide;
}
}  // namespace

void* OpenSharedObject(const std::string& path, std::string* reason) {
  const bool absolute = path.find_first_of("/\\") != std::string::npos;
  const DWORD flags =
      absolute ? LOAD_LIBRARY_SEARCH_DLL_LOAD_DIR | LOAD_LIBRARY_SEARCH_DEFAULT_DIRS : 0;
  HMODULE module = LoadLibraryExW(Wide(path).c_str(), nullptr, flags);
  if (!module) *reason = "LoadLibrary failed with code " + std::to_string(GetLastError());
  return module;
}

void* FindSymbol(void* handle, const char* name) {
  if (auto* found = GetProcAddress(static_cast<HMODULE>(handle), name)) {
    return reinterpret_cast<void*>(found);
  }
  // GetProcAddress does not search the dependencies.
  for (const wchar_t* module : {L"ggml.dll", L"ggml-base.dll"}) {
    if (HMODULE ggml = GetModuleHandleW(module)) {
      if (auto* found = GetProcAddress(ggml, name)) return reinterpret_cast<void*>(found);
    }
  }
  return nullptr;
}

std::string FileOfAddress(const void* address) {
  HMODULE module = nullptr;
  if (!GetModuleHandleExW(
          GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS | GET_MODULE_HANDLE_EX_FLAG_UNCHANGED_REFCOUNT,
          static_cast<LPCWSTR>(address), &module)) {
    return "";
  }
  wchar_t path[4096];
  const DWORD size = GetModuleFileNameW(module, path, 4096);
  const int bytes = WideCharToMultiByte(CP_UTF8, 0, path, size, nullptr, 0, nullptr, nullptr);
  std::string text(bytes, '\0');
  WideCharToMultiByte(CP_UTF8, 0, path, size, text.data(), bytes, nullptr, nullptr);
  return text;
}

void SetEnvironmentDefault(const char* name, const char* value) {
  if (!std::getenv(name)) _putenv_s(name, value);
}

#else

void* OpenSharedObject(const std::string& path, std::string* reason) {
  void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!handle) {
    const char* text = dlerror();
    *reason = text ? text : "dlopen failed";
  }
  return handle;
}

void* FindSymbol(void* handle, const char* name) { return dlsym(handle, name); }

std::string FileOfAddress(const void* address) {
  Dl_info info;
  if (!dladdr(address, &info) || !info.dli_fname) return "";
  char resolved[PATH_MAX];
  return realpath(info.dli_fname, resolved) ? resolved : info.dli_fname;
}

void SetEnvironmentDefault(const char* name, const char* value) { setenv(name, value, 0); }

#endif

}  // namespace hoshikage
