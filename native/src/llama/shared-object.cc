#include "shared-object.h"

#include <algorithm>
#include <climits>
#include <cstdlib>

#ifdef _WIN32
// Before psapi.h: its functions are then those of kernel32.
#define PSAPI_VERSION 2
#include <windows.h>
// After windows.h.
#include <psapi.h>

#include "places.h"
#else
#include <dlfcn.h>
#ifdef __APPLE__
#include <mach-o/dyld.h>
#else
#include <link.h>
#endif
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

std::string Narrow(const wchar_t* wide, int size) {
  const int bytes = WideCharToMultiByte(CP_UTF8, 0, wide, size, nullptr, 0, nullptr, nullptr);
  std::string text(static_cast<size_t>(bytes), '\0');
  WideCharToMultiByte(CP_UTF8, 0, wide, size, text.data(), bytes, nullptr, nullptr);
  return text;
}

std::string FileOf(HMODULE module) {
  wchar_t path[4096];
  return Narrow(path, static_cast<int>(GetModuleFileNameW(module, path, 4096)));
}

std::vector<HMODULE> Modules() {
  std::vector<HMODULE> modules(4096);
  DWORD bytes = 0;
  const DWORD room = static_cast<DWORD>(modules.size() * sizeof(HMODULE));
  if (!EnumProcessModules(GetCurrentProcess(), modules.data(), room, &bytes)) return {};
  modules.resize(std::min<size_t>(modules.size(), bytes / sizeof(HMODULE)));
  return modules;
}
}  // namespace

void* OpenSharedObject(const std::string& path, std::string* reason) {
  const bool absolute = path.find_first_of("/\\") != std::string::npos;
  // The default directories are the program's and the system's: never the current one, nor PATH.
  const DWORD flags =
      (absolute ? LOAD_LIBRARY_SEARCH_DLL_LOAD_DIR : 0) | LOAD_LIBRARY_SEARCH_DEFAULT_DIRS;
  HMODULE module = LoadLibraryExW(Wide(path).c_str(), nullptr, flags);
  if (!module) {
    *reason =
        "cannot load " + path + ": LoadLibrary failed with code " + std::to_string(GetLastError());
  }
  return module;
}

void* FindSymbol(void* handle, const char* name) {
  if (auto* found = GetProcAddress(static_cast<HMODULE>(handle), name)) {
    return reinterpret_cast<void*>(found);
  }
  // GetProcAddress does not search the dependencies. No other libggml is here (LoadedFiles).
  for (HMODULE module : Modules()) {
    if (!IsOfFamily(FileOf(module))) continue;
    if (auto* found = GetProcAddress(module, name)) return reinterpret_cast<void*>(found);
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
  return FileOf(module);
}

std::vector<std::string> LoadedFiles() {
  std::vector<std::string> files;
  for (HMODULE module : Modules()) files.push_back(FileOf(module));
  return files;
}

std::string RealPath(const std::string& path) {
  wchar_t full[4096];
  const DWORD size = GetFullPathNameW(Wide(path).c_str(), 4096, full, nullptr);
  return size > 0 && size < 4096 ? Narrow(full, static_cast<int>(size)) : path;
}

bool RemoveEnvironment(const char* name) {
  if (!std::getenv(name)) return false;
  _putenv_s(name, "");
  return true;
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
  return dladdr(address, &info) && info.dli_fname ? RealPath(info.dli_fname) : "";
}

std::vector<std::string> LoadedFiles() {
  std::vector<std::string> files;
#ifdef __APPLE__
  for (uint32_t i = 0; i < _dyld_image_count(); i++) {
    if (const char* name = _dyld_get_image_name(i)) files.push_back(RealPath(name));
  }
#else
  dl_iterate_phdr(
      [](dl_phdr_info* info, size_t, void* list) {
        if (info->dlpi_name && *info->dlpi_name) {
          static_cast<std::vector<std::string>*>(list)->push_back(info->dlpi_name);
        }
        return 0;
      },
      &files);
  for (std::string& file : files) file = RealPath(file);
#endif
  return files;
}

std::string RealPath(const std::string& path) {
  char resolved[PATH_MAX];
  return realpath(path.c_str(), resolved) ? resolved : path;
}

bool RemoveEnvironment(const char* name) {
  if (!std::getenv(name)) return false;
  unsetenv(name);
  return true;
}

void SetEnvironmentDefault(const char* name, const char* value) { setenv(name, value, 0); }

#endif

}  // namespace hoshikage
