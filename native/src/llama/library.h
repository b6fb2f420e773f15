// The opened and identified libllama: its functions, its layouts, its devices.
// One per process, opened once, never closed; shared by everything made from it.
// Opening may happen on any thread; afterwards it is read-only.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "abi.h"
#include "samplers.h"
#include "types.h"

namespace hoshikage {

// libllama's functions under their own names; optional ones may be null.
struct Api {
#define REQUIRED(result, name, arguments) result(*name) arguments = nullptr;
#define OPTIONAL(result, name, arguments) result(*name) arguments = nullptr;
#include "symbols.inc"
#undef REQUIRED
#undef OPTIONAL
  void* llama_model_default_params = nullptr;
  void* llama_context_default_params = nullptr;
};

struct DeviceFacts {
  std::string name;
  std::string description;
  std::string type;  // cpu, gpu, igpu, accel, meta, unknown
  size_t total_bytes = 0;
  size_t free_bytes = 0;
};

struct LibraryOptions {
  std::string path;
  std::vector<std::string> preload;          // siblings by absolute path, dependencies first
  std::vector<std::string> unknown_symbols;  // llama_* it exports that the table lacks
  bool allow_unknown = false;                // drive an unknown layout in the minimal mode
  AbiTable abi;
  bool prove_samplers = false;  // calls functions to see what they do: in a process to spare only
  bool backends = true;         // load the compute backends beside it
};

class Library {
 public:
  // Opens, or gives the one that is open when it is the same file.
  // Throws library_not_found, library_incompatible.
  static std::shared_ptr<Library> Open(const LibraryOptions& options);
  // The open one, or null.
  static std::shared_ptr<Library> Current();

  const Api& api() const { return api_; }
  const AbiVerdict& abi() const { return abi_; }
  const SamplerArities& samplers() const { return samplers_; }
  const std::vector<std::string>& unknown_symbols() const { return unknown_symbols_; }
  const std::string& path() const { return path_; }
  std::string Version() const;
  std::string GgmlVersion() const;
  std::string GgmlCommit() const;
  std::vector<DeviceFacts> Devices() const;
  // Why a field that may have moved without a trace must not be written; empty where none may have.
  std::string Doubt() const;
  // Buffer type of main memory, for weights that must stay there; null where unknown.
  void* CpuBufferType() const;

 private:
  Library() = default;
  void Load(const LibraryOptions& options);
  void Bind(void* handle);
  std::string CheckDirectories() const;

  Api api_;
  AbiVerdict abi_;
  SamplerArities samplers_;
  std::vector<std::string> unknown_symbols_;
  std::string path_;
  std::string directory_;
};

// Where libllama's log lines go, from any thread; replaces its own printing to stderr.
using LogSink = std::function<void(LogLevel level, const std::string& line)>;
void SetLogSink(LogSink sink);
// What the library logs as errors from now on: where it only says that something failed, they say
// why. Any thread.
class ErrorLines {
 public:
  ErrorLines();
  // The last few, as the end of a sentence; empty where there are none.
  std::string Said() const;

 private:
  uint64_t begin_;
};
// A line of our own among the library's.
void LogLine(LogLevel level, const std::string& line);
// Says which settings have no known place in the library's structs; nothing where `settings` is
// empty.
void WarnOfDropped(const std::string& settings);

}  // namespace hoshikage
