#include "convert.h"
#include "values.h"

namespace hoshikage {
namespace {

AbiLayout ToLayout(const Napi::Value& value) {
  if (!value.IsObject()) Refuse("abi layout", "an object");
  const auto object = value.As<Napi::Object>();
  constexpr double kLargestStruct = sizeof(ParamBlock::bytes);
  AbiLayout layout;
  layout.id = ToText(object.Get("id"), "abi id");
  layout.size = static_cast<int>(GetInt(object, "size", 1, kLargestStruct));
  layout.from = static_cast<int>(GetInt(object, "from", 0, kInt32Max));
  layout.to = static_cast<int>(GetInt(object, "to", 0, kInt32Max));
  const Napi::Array fields = ToArray(object.Get("fields"), "abi fields");
  for (uint32_t i = 0; i < fields.Length(); i++) {
    const Napi::Array row = ToArray(fields.Get(i), "abi field");
    AbiField field;
    field.name = ToText(row.Get(0u), "abi field name");
    field.offset = static_cast<int>(ToNumber(row.Get(1u), "abi offset", 0, kLargestStruct - 8));
    field.size = static_cast<int>(ToNumber(row.Get(2u), "abi size", 1, 8));
    const Napi::Array defaults = ToArray(row.Get(3u), "abi defaults");
    for (uint32_t k = 0; k < defaults.Length(); k++) {
      const double bits = ToNumber(defaults.Get(k), "abi default", 0, 9007199254740991.0);
      field.defaults.push_back(static_cast<uint64_t>(bits));
    }
    layout.fields.push_back(std::move(field));
  }
  return layout;
}

std::vector<AbiLayout> ToLayouts(const Napi::Value& value, const char* name) {
  const Napi::Array array = ToArray(value, name);
  std::vector<AbiLayout> layouts;
  for (uint32_t i = 0; i < array.Length(); i++) layouts.push_back(ToLayout(array.Get(i)));
  return layouts;
}

AbiTable ToAbiTable(const Napi::Value& value) {
  if (!value.IsObject()) Refuse("abi", "an object");
  const auto object = value.As<Napi::Object>();
  AbiTable table;
  table.floor = static_cast<int>(GetInt(object, "floor", 0, kInt32Max));
  const Napi::Value samplers = object.Get("samplers");
  if (!samplers.IsObject()) Refuse("abi samplers", "an object");
  const auto history = samplers.As<Napi::Object>();
  table.samplers.names_tell = static_cast<int>(GetInt(history, "namesTell", 0, kInt32Max));
  table.samplers.penalties5 = static_cast<int>(GetInt(history, "penalties5", 0, kInt32Max));
  table.samplers.dry7 = static_cast<int>(GetInt(history, "dry7", 0, kInt32Max));
  table.model_params = ToLayouts(object.Get("modelParams"), "modelParams");
  table.context_params = ToLayouts(object.Get("contextParams"), "contextParams");
  const Napi::Array symbols = ToArray(object.Get("symbols"), "symbols");
  for (uint32_t i = 0; i < symbols.Length(); i++) {
    const Napi::Array row = ToArray(symbols.Get(i), "symbol");
    table.symbols.push_back({ToText(row.Get(0u), "symbol name"),
                             static_cast<int>(ToNumber(row.Get(1u), "symbol from", 0, kInt32Max)),
                             static_cast<int>(ToNumber(row.Get(2u), "symbol gone", 0, kInt32Max))});
  }
  return table;
}

Napi::Array FromTexts(Napi::Env env, const std::vector<std::string>& texts) {
  Napi::Array array = Napi::Array::New(env, texts.size());
  for (uint32_t i = 0; i < texts.size(); i++) array.Set(i, texts[i]);
  return array;
}

Napi::Value NumberOrNull(Napi::Env env, const std::optional<int>& number) {
  return number ? Napi::Value(Napi::Number::New(env, *number)) : env.Null();
}

}  // namespace

LibraryOptions ToLibraryOptions(const Napi::Object& object) {
  LibraryOptions options;
  options.path = ToText(object.Get("path"), "path");
  options.preload = ToTexts(object.Get("preload"), "preload");
  options.unknown_symbols = ToTexts(object.Get("unknownSymbols"), "unknownSymbols");
  options.allow_unknown = GetBool(object, "allowUnknown");
  options.abi = ToAbiTable(object.Get("abi"));
  options.prove_samplers = GetBool(object, "proveSamplers");
  options.backends = GetBool(object, "backends");
  return options;
}

Napi::Object FromLibrary(Napi::Env env, const Library& library) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("path", library.path());
  object.Set("version", TextOrNull(env, library.Version()));
  object.Set("ggmlVersion", TextOrNull(env, library.GgmlVersion()));
  object.Set("ggmlCommit", TextOrNull(env, library.GgmlCommit()));
  Napi::Object layout = Napi::Object::New(env);
  layout.Set("model", library.abi().model_params.id);
  layout.Set("context", library.abi().context_params.id);
  object.Set("layout", layout);
  Napi::Array bracket = Napi::Array::New(env, 2);
  bracket.Set(0u, library.abi().bracket_from);
  bracket.Set(1u, library.abi().bracket_to);
  object.Set("bracket", bracket);
  object.Set("minimal", library.abi().minimal);
  object.Set("unknownSymbols", FromTexts(env, library.unknown_symbols()));
  const SamplerArities& arities = library.samplers();
  Napi::Object samplers = Napi::Object::New(env);
  samplers.Set("penalties", NumberOrNull(env, arities.penalties));
  samplers.Set("dry", NumberOrNull(env, arities.dry));
  object.Set("samplers", samplers);
  const std::vector<DeviceFacts> devices = library.Devices();
  Napi::Array list = Napi::Array::New(env, devices.size());
  for (uint32_t i = 0; i < devices.size(); i++) {
    Napi::Object device = Napi::Object::New(env);
    device.Set("name", devices[i].name);
    device.Set("description", devices[i].description);
    device.Set("type", devices[i].type);
    device.Set("totalBytes", static_cast<double>(devices[i].total_bytes));
    device.Set("freeBytes", static_cast<double>(devices[i].free_bytes));
    list.Set(i, device);
  }
  object.Set("devices", list);
  return object;
}

}  // namespace hoshikage
