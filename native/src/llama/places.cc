#include "places.h"

#include <algorithm>
#include <filesystem>
#include <system_error>

namespace hoshikage {
namespace {

bool StartsWith(const std::string& text, const std::string& start) {
  return text.compare(0, start.size(), start) == 0;
}

// The distribution's library directory that `directory` is or is a private part of; or empty.
std::string DistributionBase(const std::string& directory) {
  const std::string last = FileNameOf(directory);
  const std::string base = last == "llama" || last == "ggml" ? DirectoryOf(directory) : directory;
  const bool of_system =
      base == "/usr/lib" || base == "/usr/lib64" ||
      (DirectoryOf(base) == "/usr/lib" && FileNameOf(base).find("-linux-") != std::string::npos);
  return of_system ? base : "";
}

// <prefix>/Cellar/<keg>/<version>/lib: the part before <keg>, or empty.
std::string Cellar(const std::string& directory, const std::string& keg) {
  if (FileNameOf(directory) != "lib") return "";
  const std::string of_keg = DirectoryOf(DirectoryOf(directory));
  const std::string cellar = DirectoryOf(of_keg);
  return FileNameOf(of_keg) == keg && FileNameOf(cellar) == "Cellar" ? cellar : "";
}

// Whether a directory holds a libggml-cpu.so, libggml-cuda.so and the like.
bool HoldsBackends(const std::filesystem::path& directory) {
  std::error_code problem;
  for (std::filesystem::directory_iterator file(directory, problem), end; !problem && file != end;
       file.increment(problem)) {
    const std::string name = file->path().filename().string();
    if (StartsWith(name, "libggml-") && !StartsWith(name, "libggml-base")) return true;
  }
  return false;
}

}  // namespace

std::string DirectoryOf(const std::string& path) {
  const size_t slash = path.find_last_of("/\\");
  return slash == std::string::npos ? "" : path.substr(0, slash);
}

std::string FileNameOf(const std::string& path) {
  const size_t slash = path.find_last_of("/\\");
  return slash == std::string::npos ? path : path.substr(slash + 1);
}

bool IsOfFamily(const std::string& path) {
  std::string name = FileNameOf(path);
#ifdef _WIN32
  std::transform(name.begin(), name.end(), name.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  if (name.size() < 4 || name.compare(name.size() - 4, 4, ".dll") != 0) return false;
  if (StartsWith(name, "lib")) name.erase(0, 3);
#else
  if (!StartsWith(name, "lib")) return false;
  name.erase(0, 3);
#endif
  for (const char* start : {"ggml.", "ggml-", "llama.", "llama-"}) {
    if (StartsWith(name, start)) return true;
  }
  return false;
}

bool MayUse(const std::string& directory, const std::string& other) {
  if (directory == other) return true;
  const std::string base = DistributionBase(directory);
  if (!base.empty()) return base == DistributionBase(other);
  const std::string cellar = Cellar(directory, "llama.cpp");
  return !cellar.empty() && cellar == Cellar(other, "ggml");
}

std::vector<std::string> BackendDirectories(const std::string& directory) {
  std::vector<std::string> found{directory};
  const std::string base = DistributionBase(directory);
  if (base.empty()) return found;
  const std::filesystem::path home = std::filesystem::path(base) / "ggml";
  std::vector<std::string> more;
  if (home.string() != directory && HoldsBackends(home)) more.push_back(home.string());
  std::error_code problem;
  for (std::filesystem::directory_iterator part(home, problem), end; !problem && part != end;
       part.increment(problem)) {
    const bool backends = StartsWith(part->path().filename().string(), "backends");
    if (backends && HoldsBackends(part->path())) more.push_back(part->path().string());
  }
  std::sort(more.begin(), more.end());
  found.insert(found.end(), more.begin(), more.end());
  return found;
}

}  // namespace hoshikage
