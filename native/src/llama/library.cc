#include "library.h"

#include <algorithm>
#include <deque>
#include <mutex>

#include "crash.h"
#include "error.h"
#include "places.h"
#include "progress.h"
#include "shared-object.h"

namespace hoshikage {
namespace {

std::mutex g_library_mutex;
std::shared_ptr<Library> g_library;  // never reset: backends own threads and static destructors

// libllama logs in fragments: lines end with a newline, kLogCont goes on with the line before.
struct LogState {
  std::mutex mutex;
  LogSink sink;
  std::string partial;
  LogLevel partial_level = kLogInfo;
  std::deque<std::string> errors;  // the last few
  uint64_t error_count = 0;
};
LogState& Log() {
  static auto* state = new LogState;  // outlives static destruction: backends may log at exit
  return *state;
}

constexpr size_t kMostErrors = 4;
constexpr size_t kLongestError = 300;

// Under its mutex.
void Deliver(LogState* log, const std::string& line) {
  if (log->partial_level == kLogError) {
    log->error_count++;
    log->errors.push_back(line.substr(0, kLongestError));
    if (log->errors.size() > kMostErrors) log->errors.pop_front();
  }
  if (log->sink) log->sink(log->partial_level, line);
}

void OnLog(int level, const char* text, void*) {
  if (!text) return;
  LogState& log = Log();
  try {
    std::lock_guard<std::mutex> lock(log.mutex);
    if (level != kLogCont) log.partial_level = static_cast<LogLevel>(level);
    constexpr size_t kLongestLine = 16 * 1024;
    log.partial += text;
    size_t start = 0;
    for (size_t end; (end = log.partial.find('\n', start)) != std::string::npos; start = end + 1) {
      if (end > start) Deliver(&log, log.partial.substr(start, end - start));
    }
    log.partial.erase(0, start);
    if (log.partial.size() > kLongestLine) {
      Deliver(&log, log.partial);
      log.partial.clear();
    }
  } catch (...) {
    // A lost log line must not throw into C.
  }
}

// One libggml per process: two share names, and each would use parts of the other.
void RefuseForeign(const LibraryOptions& options) {
  std::vector<std::string> own{RealPath(options.path)};
  for (const std::string& sibling : options.preload) own.push_back(RealPath(sibling));
  for (const std::string& file : LoadedFiles()) {
    if (!IsOfFamily(file) || std::find(own.begin(), own.end(), file) != own.end()) continue;
    throw Error("library_incompatible",
                "this process has already loaded " + file + ", which does not belong to it");
  }
}

// Or ggml loads whatever they name, from anywhere.
void RemoveBackendVariables() {
  for (const char* name : {"GGML_BACKEND_PATH", "GGML_BACKEND_DIR"}) {
    if (RemoveEnvironment(name)) LogLine(kLogWarn, std::string(name) + " is not honoured");
  }
}

const char* DeviceType(int type, bool has_igpu) {
  // enum ggml_backend_dev_type; b6451 inserted IGPU before ACCEL.
  switch (type) {
    case 0: return "cpu";
    case 1: return "gpu";
    case 2: return has_igpu ? "igpu" : "accel";
    case 3: return has_igpu ? "accel" : "unknown";
    case 4: return "meta";
    default: return "unknown";
  }
}

}  // namespace

void SetLogSink(LogSink sink) {
  std::lock_guard<std::mutex> lock(Log().mutex);
  Log().sink = std::move(sink);
}

ErrorLines::ErrorLines() {
  std::lock_guard<std::mutex> lock(Log().mutex);
  begin_ = Log().error_count;
}

std::string ErrorLines::Said() const {
  const LogState& log = Log();
  std::lock_guard<std::mutex> lock(Log().mutex);
  const uint64_t since = log.error_count - begin_;
  const size_t count = static_cast<size_t>(std::min<uint64_t>(since, log.errors.size()));
  std::string text;
  for (size_t i = log.errors.size() - count; i < log.errors.size(); i++) {
    text += (text.empty() ? ": " : "; ") + log.errors[i];
  }
  return text;
}

void LogLine(LogLevel level, const std::string& line) {
  std::lock_guard<std::mutex> lock(Log().mutex);
  if (Log().sink) Log().sink(level, line);
}

void WarnOfDropped(const std::string& settings) {
  if (settings.empty()) return;
  LogLine(kLogWarn, "not applied, since it is unknown where this libllama has them: " + settings);
}

std::shared_ptr<Library> Library::Current() {
  std::lock_guard<std::mutex> lock(g_library_mutex);
  return g_library;
}

std::shared_ptr<Library> Library::Open(const LibraryOptions& options) {
  std::lock_guard<std::mutex> lock(g_library_mutex);
  if (g_library) {
    if (g_library->path_ == options.path) return g_library;
    throw Error("library_incompatible", "this process has already opened " + g_library->path_);
  }
  std::shared_ptr<Library> library(new Library);  // private constructor
  library->Load(options);
  g_library = library;
  return library;
}

void Library::Load(const LibraryOptions& options) {
  const LongCall long_call(Lane::kOther);
  // Or ggml_abort forks a debugger to print a backtrace. Read with getenv when libggml is loaded.
  SetEnvironmentDefault("GGML_NO_BACKTRACE", "1");
  RemoveBackendVariables();
  RefuseForeign(options);
  std::string reason;
  for (const std::string& sibling : options.preload) {
    if (!OpenSharedObject(sibling, &reason)) {
      // As for the library itself: what it needs may be there another day, so this is no verdict.
      throw Error("library_not_found", "cannot open " + sibling + ": " + reason);
    }
  }
  void* handle = OpenSharedObject(options.path, &reason);
  if (!handle) throw Error("library_not_found", reason);
  Bind(handle);
  if (api_.ggml_set_abort_callback) api_.ggml_set_abort_callback(OnGgmlAbort);
  abi_ = IdentifyAbi(handle, options.abi, options.allow_unknown);
  // A function that is newer than the table may come with others that have changed.
  if (options.prove_samplers && options.unknown_symbols.empty() && !abi_.minimal) {
    samplers_ = ProveSamplers(handle, options.abi, &abi_);
  }
  path_ = options.path;
  unknown_symbols_ = options.unknown_symbols;
  const std::string file = FileOfAddress(reinterpret_cast<void*>(api_.llama_decode));
  directory_ = DirectoryOf(file.empty() ? options.path : file);
  const std::string ggml_directory = CheckDirectories();
  Guard("library_incompatible", "initialise", [&] {
    api_.llama_log_set(OnLog, nullptr);
    // Without a path the directory of the executable and the current one would be searched too.
    if (options.backends && api_.ggml_backend_load_all_from_path && !ggml_directory.empty()) {
      for (const std::string& directory : BackendDirectories(ggml_directory)) {
        api_.ggml_backend_load_all_from_path(directory.c_str());
      }
    }
    api_.llama_backend_init();
  });
}

void Library::Bind(void* handle) {
  std::string missing;
  const auto require = [&](const char* name) {
    void* found = FindSymbol(handle, name);
    if (!found) missing += (missing.empty() ? "" : ", ") + std::string(name);
    return found;
  };
#define REQUIRED(result, name, arguments) \
  api_.name = reinterpret_cast<result(*) arguments>(require(#name));
#define OPTIONAL(result, name, arguments) \
  api_.name = reinterpret_cast<result(*) arguments>(FindSymbol(handle, #name));
#include "symbols.inc"
#undef REQUIRED
#undef OPTIONAL
  api_.llama_model_default_params = require("llama_model_default_params");
  api_.llama_context_default_params = require("llama_context_default_params");
  if (!missing.empty()) throw Error("library_incompatible", "missing symbols: " + missing);
}

// LD_LIBRARY_PATH beats a library's own search path and mixes versions without a word.
// Returns where libggml is; libllama's own directory where that is unknown.
std::string Library::CheckDirectories() const {
  std::string directory = directory_;
  // The first is in libggml-base, the second in libggml, which loads the backends.
  for (const void* function : {reinterpret_cast<const void*>(api_.ggml_backend_dev_name),
                               reinterpret_cast<const void*>(api_.ggml_backend_dev_count)}) {
    const std::string file = function ? FileOfAddress(function) : "";
    if (file.empty()) continue;
    directory = DirectoryOf(file);
    if (!MayUse(directory_, directory)) {
      throw Error("library_incompatible",
                  "its libggml comes from elsewhere: " + file + " instead of " + directory_);
    }
  }
  return directory;
}

namespace {
std::string TextOf(const char* (*function)(), const char* what) {
  if (!function) return "";
  return Guard("internal_error", what, [&] {
    const char* text = function();
    return std::string(text ? text : "");
  });
}
}  // namespace

std::string Library::Version() const { return TextOf(api_.llama_version, "llama_version"); }
std::string Library::GgmlVersion() const { return TextOf(api_.ggml_version, "ggml_version"); }
std::string Library::GgmlCommit() const { return TextOf(api_.ggml_commit, "ggml_commit"); }

std::string Library::Doubt() const {
  if (!unknown_symbols_.empty()) {
    return "the library has functions that are newer than the table (" + unknown_symbols_.front() +
           ")";
  }
  return abi_.padding_written ? "the library writes the gap behind it" : "";
}

std::vector<DeviceFacts> Library::Devices() const {
  std::vector<DeviceFacts> devices;
  if (!api_.ggml_backend_dev_count || !api_.ggml_backend_dev_get) return devices;
  Guard("internal_error", "devices", [&] {
    const size_t count = api_.ggml_backend_dev_count();
    for (size_t i = 0; i < count; i++) {
      void* device = api_.ggml_backend_dev_get(i);
      DeviceFacts facts;
      if (api_.ggml_backend_dev_name) facts.name = api_.ggml_backend_dev_name(device);
      if (api_.ggml_backend_dev_description) {
        facts.description = api_.ggml_backend_dev_description(device);
      }
      if (api_.ggml_backend_dev_type) {
        facts.type = DeviceType(api_.ggml_backend_dev_type(device), abi_.bracket_to > 6451);
      }
      if (api_.ggml_backend_dev_memory) {
        api_.ggml_backend_dev_memory(device, &facts.free_bytes, &facts.total_bytes);
      }
      devices.push_back(std::move(facts));
    }
  });
  return devices;
}

void* Library::CpuBufferType() const {
  if (!api_.ggml_backend_dev_by_type || !api_.ggml_backend_dev_buffer_type) return nullptr;
  return Guard("internal_error", "CPU buffer type", [&]() -> void* {
    constexpr int kCpu = 0;
    void* device = api_.ggml_backend_dev_by_type(kCpu);
    return device ? api_.ggml_backend_dev_buffer_type(device) : nullptr;
  });
}

}  // namespace hoshikage
