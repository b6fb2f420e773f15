// Identifies many stub libraries in one process with native/src/llama/abi.cc itself. A shared
// object holds several stubs: the names of one begin with its prefix, what they share has none.
// Reads the table and the stubs as lines, writes a verdict a line. Test code only; it must never
// answer for a stub itself.
#include <dlfcn.h>

#include <iostream>
#include <map>
#include <sstream>

#include "abi.h"
#include "error.h"
#include "shared-object.h"

namespace {

struct Stub {
  void* object;
  std::string prefix;
};

void* Open(const std::string& path) {
  static std::map<std::string, void*> opened;
  void*& object = opened[path];
  if (!object) object = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!object) std::cerr << dlerror() << "\n";
  return object;
}

hoshikage::AbiLayout ReadLayout(std::istringstream& line) {
  hoshikage::AbiLayout layout;
  line >> layout.id >> layout.size >> layout.from >> layout.to;
  return layout;
}

hoshikage::AbiField ReadField(std::istringstream& line) {
  hoshikage::AbiField field;
  line >> field.name >> field.offset >> field.size;
  for (uint64_t value; line >> value;) field.defaults.push_back(value);
  return field;
}

void Identify(std::istringstream& line, const hoshikage::AbiTable& table) {
  std::string id, path, prefix;
  bool allow_unknown = false;
  line >> id >> path >> prefix >> allow_unknown;
  Stub stub{Open(path), prefix};
  if (!stub.object) return;
  try {
    const hoshikage::AbiVerdict verdict = hoshikage::IdentifyAbi(&stub, table, allow_unknown);
    std::cout << id << (verdict.minimal ? "\tminimal\t" : "\taccepted\t") << verdict.model_params.id
              << "\t" << verdict.context_params.id << "\t" << verdict.bracket_from << "\t"
              << verdict.bracket_to << "\t" << verdict.padding_written << std::endl;
  } catch (const hoshikage::Error& error) {
    std::cout << id << "\trefused\t" << error.what() << std::endl;
  }
}

}  // namespace

namespace hoshikage {

void* FindSymbol(void* handle, const char* name) {
  const Stub& stub = *static_cast<const Stub*>(handle);
  void* own = dlsym(stub.object, (stub.prefix + name).c_str());
  return own ? own : dlsym(stub.object, name);
}

}  // namespace hoshikage

int main() {
  hoshikage::AbiTable table;
  std::vector<hoshikage::AbiLayout>* layouts = nullptr;
  for (std::string text; std::getline(std::cin, text);) {
    std::istringstream line(text);
    std::string word;
    line >> word;
    if (word == "floor") line >> table.floor;
    if (word == "model") (layouts = &table.model_params)->push_back(ReadLayout(line));
    if (word == "context") (layouts = &table.context_params)->push_back(ReadLayout(line));
    if (word == "field" && layouts) layouts->back().fields.push_back(ReadField(line));
    if (word == "symbol") {
      hoshikage::AbiSymbol symbol;
      line >> symbol.name >> symbol.from >> symbol.gone;
      table.symbols.push_back(symbol);
    }
    if (word == "stub") Identify(line, table);
  }
}
