// Calls libllama's functions that return structs by value without knowing the structs: their own
// default functions and llama_batch_init. Any thread. It judges nothing but whether a function
// behaves like one that returns a struct at all; abi.cc says what is in it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "types.h"

namespace hoshikage {

constexpr size_t kProbeBytes = 4096;

// What a default function wrote into buffers filled with different bytes.
struct Probe {
  alignas(16) unsigned char bytes[kProbeBytes];
  bool written[kProbeBytes];
  int last = -1;

  // Little endian; `size` of 1 to 8 bytes within the buffer.
  uint64_t Value(int offset, int size) const;
  bool Written(int offset, int size) const;
};

// Throws library_incompatible where `function` returns no struct or never the same one.
Probe RunProbe(void* function, const char* name);

// Throws library_incompatible where llama_batch is not the struct of types.h.
void CheckBatch(void* handle);

// The library's own defaults: calls `function` (a *_default_params) into a zeroed block.
ParamBlock DefaultParams(void* function);

}  // namespace hoshikage
