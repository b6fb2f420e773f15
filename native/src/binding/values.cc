#include "values.h"

#include <cmath>

namespace hoshikage {

void Refuse(const std::string& name, const char* wanted) {
  throw Error("invalid_argument", name + " must be " + wanted);
}

bool IsAbsent(const Napi::Value& value) { return value.IsUndefined() || value.IsNull(); }

double ToNumber(const Napi::Value& value, const std::string& name, double least, double most) {
  if (!value.IsNumber()) Refuse(name, "a number");
  const double number = value.As<Napi::Number>().DoubleValue();
  if (!(number >= least && number <= most)) {  // also false for NaN
    throw Error("invalid_argument", name + " is out of range");
  }
  return number;
}

double GetNumber(const Napi::Object& object, const char* name, double least, double most) {
  return ToNumber(object.Get(name), name, least, most);
}

int64_t GetInt(const Napi::Object& object, const char* name, double least, double most) {
  const double number = GetNumber(object, name, least, most);
  if (number != std::floor(number)) Refuse(name, "a whole number");
  return static_cast<int64_t>(number);
}

std::optional<int32_t> OptionalInt(const Napi::Object& object, const char* name, double least,
                                   double most) {
  if (IsAbsent(object.Get(name))) return std::nullopt;
  return static_cast<int32_t>(GetInt(object, name, least, most));
}

std::optional<float> OptionalFloat(const Napi::Object& object, const char* name) {
  if (IsAbsent(object.Get(name))) return std::nullopt;
  return static_cast<float>(GetNumber(object, name, -kFloatMax, kFloatMax));
}

std::optional<bool> OptionalBool(const Napi::Object& object, const char* name) {
  const Napi::Value value = object.Get(name);
  if (IsAbsent(value)) return std::nullopt;
  if (!value.IsBoolean()) Refuse(name, "a boolean");
  return value.As<Napi::Boolean>().Value();
}

bool GetBool(const Napi::Object& object, const char* name) {
  const std::optional<bool> value = OptionalBool(object, name);
  if (!value) Refuse(name, "a boolean");
  return *value;
}

std::string ToText(const Napi::Value& value, const std::string& name) {
  if (!value.IsString()) Refuse(name, "a string");
  return value.As<Napi::String>().Utf8Value();
}

Napi::Array ToArray(const Napi::Value& value, const std::string& name) {
  if (!value.IsArray()) Refuse(name, "an array");
  return value.As<Napi::Array>();
}

std::vector<std::string> ToTexts(const Napi::Value& value, const std::string& name) {
  const Napi::Array array = ToArray(value, name);
  std::vector<std::string> texts;
  for (uint32_t i = 0; i < array.Length(); i++) texts.push_back(ToText(array.Get(i), name));
  return texts;
}

std::vector<Token> ToTokens(const Napi::Value& value, const std::string& name) {
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_int32_array) {
    Refuse(name, "an Int32Array");
  }
  const auto array = value.As<Napi::Int32Array>();
  return std::vector<Token>(array.Data(), array.Data() + array.ElementLength());
}

std::vector<std::vector<Token>> ToTokenLists(const Napi::Value& value, const std::string& name) {
  const Napi::Array array = ToArray(value, name);
  std::vector<std::vector<Token>> lists;
  for (uint32_t i = 0; i < array.Length(); i++) lists.push_back(ToTokens(array.Get(i), name));
  return lists;
}

Napi::Uint8Array ToByteArray(const Napi::Value& value, const std::string& name) {
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array) {
    Refuse(name, "a Uint8Array");
  }
  return value.As<Napi::Uint8Array>();
}

Napi::Value TextOrNull(Napi::Env env, const std::string& text) {
  return text.empty() ? env.Null() : Napi::String::New(env, text);
}

}  // namespace hoshikage
