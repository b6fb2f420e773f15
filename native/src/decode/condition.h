// Waiting for another thread: <condition_variable>, in such a way that a binary of a newer compiler
// runs with an older libstdc++. To be included instead; it must declare nothing of its own.
#pragma once

#include <condition_variable>

// GCC 12 gave wait() a new version (GLIBCXX_3.4.30); its code stands under the old one as well.
// Systems that libllama's own builds run on may have the libstdc++ of GCC 11.
#if defined(__linux__) && defined(__GLIBCXX__)
__asm__(
    ".symver _ZNSt18condition_variable4waitERSt11unique_lockISt5mutexE,"
    "_ZNSt18condition_variable4waitERSt11unique_lockISt5mutexE@GLIBCXX_3.4.11");
#endif
