#include "probe.h"

#include <cstring>
#include <new>
#include <string>

#include "error.h"
#include "shared-object.h"

namespace hoshikage {
namespace {

// A function that returns a big struct by value gets a hidden pointer to the result. Receiving it
// through an ordinary assignment copies stack garbage, so the pointer is passed by hand.
#if defined(__x86_64__) || defined(_M_X64)
// SysV and Win64: the first integer argument, and the function returns it.
template <class... Args>
bool CallReturningStruct(void* function, void* result, Args... args) {
  auto* typed = reinterpret_cast<void* (*)(void*, Args...)>(function);
  return typed(result, args...) == result;
}
#elif defined(_WIN32)
// Windows on ARM64 passes it in x8 for plain types only (others take x0). A wrapper that is not
// inlined hands its own x8 on; were the caller to use a temporary instead, the poison would be gone
// and the library refused. Compiled, never run.
struct PlainResult {
  unsigned char bytes[kProbeBytes];
};
#ifdef _MSC_VER
#define HK_NOINLINE __declspec(noinline)
#else
#define HK_NOINLINE __attribute__((noinline))
#endif
template <class... Args>
HK_NOINLINE PlainResult Forward(PlainResult (*function)(Args...), Args... args) {
  return function(args...);
}
template <class... Args>
bool CallReturningStruct(void* function, void* result, Args... args) {
  ::new (result)
      PlainResult(Forward(reinterpret_cast<PlainResult (*)(Args...)>(function), args...));
  return true;
}
#else
// AArch64 passes the pointer in x8, which only a real return type reaches. The destructor makes the
// type non-trivial, so that guaranteed elision hands over the buffer itself.
struct BigResult {
  unsigned char bytes[kProbeBytes];
  BigResult() = delete;
  BigResult(const BigResult&) = delete;
  ~BigResult() {}
};
template <class... Args>
bool CallReturningStruct(void* function, void* result, Args... args) {
  auto* typed = reinterpret_cast<BigResult (*)(Args...)>(function);
  ::new (result) BigResult(typed(args...));
  return true;
}
#endif

uint64_t ReadBits(const unsigned char* bytes, int size) {
  uint64_t value = 0;
  std::memcpy(&value, bytes, static_cast<size_t>(size));  // little endian
  return value;
}

}  // namespace

uint64_t Probe::Value(int offset, int size) const { return ReadBits(bytes + offset, size); }

bool Probe::Written(int offset, int size) const {
  for (int i = offset; i < offset + size; i++) {
    if (!written[i]) return false;
  }
  return true;
}

Probe RunProbe(void* function, const char* name) {
  Probe probe;
  alignas(16) static thread_local unsigned char other[kProbeBytes];
  alignas(16) static thread_local unsigned char again[kProbeBytes];
  std::memset(probe.bytes, 0xA5, kProbeBytes);
  std::memset(other, 0x5A, kProbeBytes);
  std::memset(again, 0xA5, kProbeBytes);
  const bool by_pointer = CallReturningStruct(function, probe.bytes) &&
                          CallReturningStruct(function, other) &&
                          CallReturningStruct(function, again);
  if (!by_pointer) {
    throw Error("library_incompatible", std::string(name) + " does not return a struct by pointer");
  }
  if (std::memcmp(probe.bytes, again, kProbeBytes) != 0) {
    throw Error("library_incompatible", std::string(name) + " gives different values each time");
  }
  for (size_t i = 0; i < kProbeBytes; i++) {
    probe.written[i] = probe.bytes[i] == other[i];
    if (probe.written[i]) probe.last = static_cast<int>(i);
  }
  return probe;
}

void CheckBatch(void* handle) {
  void* init = FindSymbol(handle, "llama_batch_init");
  void* free_symbol = FindSymbol(handle, "llama_batch_free");
  if (!init || !free_symbol)
    throw Error("library_incompatible", "missing symbols: llama_batch_init");
  // One buffer past the largest known form; AArch64's result type is kProbeBytes long.
  alignas(16) static thread_local unsigned char a[kProbeBytes];
  alignas(16) static thread_local unsigned char b[kProbeBytes];
  std::memset(a, 0xA5, kProbeBytes);
  std::memset(b, 0x5A, kProbeBytes);
  const bool by_pointer = CallReturningStruct(init, a, int32_t{4}, int32_t{0}, int32_t{1}) &&
                          CallReturningStruct(init, b, int32_t{4}, int32_t{0}, int32_t{1});
  size_t size = 0;
  for (size_t i = 0; i + 8 <= kProbeBytes; i += 8) {
    const bool untouched =
        ReadBits(a + i, 8) == 0xA5A5A5A5A5A5A5A5ull && ReadBits(b + i, 8) == 0x5A5A5A5A5A5A5A5Aull;
    if (!untouched) size = i + 8;
  }
  LlamaBatch first, second;
  std::memcpy(&first, a, sizeof first);
  std::memcpy(&second, b, sizeof second);
  const bool shape = by_pointer && size == sizeof(LlamaBatch) && first.n_tokens == 0 &&
                     first.token && !first.embd && first.pos && first.n_seq_id && first.seq_id &&
                     first.logits;
  // Where the shape is unknown the two small batches leak rather than being freed by a guess.
  if (!shape) {
    throw Error("library_incompatible",
                "llama_batch has " + std::to_string(size) + " bytes or another shape, 56 expected");
  }
  auto* free_batch = reinterpret_cast<void (*)(LlamaBatch)>(free_symbol);
  free_batch(first);
  free_batch(second);
}

ParamBlock DefaultParams(void* function) {
  alignas(16) unsigned char bytes[kProbeBytes] = {};
  CallReturningStruct(function, bytes);
  ParamBlock block;
  std::memcpy(block.bytes, bytes, sizeof block.bytes);
  return block;
}

}  // namespace hoshikage
