// Where the files of a libllama may lie: beside it, or, in a distribution's package, in the few
// directories such packages use. Any thread. It looks at names and directories only; a search path
// or the current directory must never count.
#pragma once

#include <string>
#include <vector>

namespace hoshikage {

// The part before the last separator; empty where there is none.
std::string DirectoryOf(const std::string& path);
// The part after it.
std::string FileNameOf(const std::string& path);
// Whether a file is called like a libllama or libggml.
bool IsOfFamily(const std::string& path);

// Whether a libllama in `directory` may use a libggml in `other`: the same, or the places of one
// package. Debian has /usr/lib/<triplet>/{,llama/,ggml/}, Homebrew a keg for each.
bool MayUse(const std::string& directory, const std::string& other);

// Where the compute backends of a libggml in `directory` are: there, and in the places that
// packages have for them (Debian: ggml/backends0, Arch: ggml).
std::vector<std::string> BackendDirectories(const std::string& directory);

}  // namespace hoshikage
