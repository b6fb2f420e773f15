// native/src/llama/places.cc as lines: what may use what, and where backends are. Test code only.
#include "places.h"

#include <iostream>
#include <sstream>

int main() {
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream words(line);
    std::string question, one, other;
    words >> question >> one >> other;
    if (question == "may") std::cout << (hoshikage::MayUse(one, other) ? "yes" : "no");
    if (question == "family") std::cout << (hoshikage::IsOfFamily(one) ? "yes" : "no");
    if (question == "backends") {
      for (const std::string& directory : hoshikage::BackendDirectories(one)) {
        std::cout << directory << " ";
      }
    }
    std::cout << "\n";
  }
}
