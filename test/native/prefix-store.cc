// native/src/decode/prefix-store.cc by itself: what is counted while somebody reads a state. Says
// what was wrong and nothing else. Test code only.
#include "decode/prefix-store.h"

#include <iostream>

using namespace hoshikage;

namespace {

void Check(bool good, const char* what) {
  if (!good) std::cout << "not so: " << what << "\n";
}

// The first so many of the same tokens, 10 bytes each.
SavedState StateOf(size_t tokens) {
  SavedState state;
  for (size_t i = 0; i < tokens; i++) state.tokens.push_back(static_cast<Token>(i));
  Bytes bytes;
  bytes.size = 6 * tokens;
  bytes.data.reset(new uint8_t[bytes.size]);
  state.parts.push_back({tokens, std::move(bytes)});
  return state;
}

}  // namespace

int main() {
  PrefixStore store(1000);
  store.Put(StateOf(20));
  store.Put(StateOf(30));
  Check(store.bytes() == 300, "what a longer one covers goes");
  std::shared_ptr<const SavedState> held = store.Find(StateOf(30).tokens);
  Check(held && held->tokens.size() == 30, "it is found");
  store.Put(StateOf(40));
  Check(store.bytes() == 700, "one that is read is in memory all the same");
  Check(!store.MakeRoom(800, 0) && store.bytes() == 300, "and nothing takes its place");
  held = nullptr;
  Check(store.MakeRoom(800, 0) && store.bytes() == 0, "until it has been read");
}
