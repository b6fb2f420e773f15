// Work that may recurse as deep as its input is long: libllama's tokenizers match their patterns
// with std::regex, which takes some 300 bytes of stack for each character of a run of letters or
// dots. On a thread's usual stack a run of 25,000 of them ends the process. Any thread.
#pragma once

#include <cstddef>
#include <functional>

namespace hoshikage {

// What such work takes for an input of so many bytes, with room to spare; bounded.
size_t StackFor(size_t input_bytes);

// Runs `work` on a thread with such a stack, or the largest the system gives, and waits for it.
// What it throws is thrown here. Memory is taken only as far as the work gets, and given back with
// it.
void WithStack(size_t bytes, const std::function<void()>& work);

}  // namespace hoshikage
