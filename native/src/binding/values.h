// Checked reading of JavaScript values, for the files that convert. JavaScript thread. A value of
// the wrong kind or out of range throws invalid_argument with the name it goes by.
#pragma once

#include <napi.h>

#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "../llama/error.h"
#include "../llama/types.h"

namespace hoshikage {

constexpr double kInt32Max = std::numeric_limits<int32_t>::max();
constexpr double kInt32Min = std::numeric_limits<int32_t>::min();
constexpr double kUint32Max = std::numeric_limits<uint32_t>::max();
constexpr double kFloatMax = std::numeric_limits<float>::max();

[[noreturn]] void Refuse(const std::string& name, const char* wanted);
// undefined and null.
bool IsAbsent(const Napi::Value& value);

double ToNumber(const Napi::Value& value, const std::string& name, double least, double most);
std::string ToText(const Napi::Value& value, const std::string& name);
Napi::Array ToArray(const Napi::Value& value, const std::string& name);
std::vector<std::string> ToTexts(const Napi::Value& value, const std::string& name);
std::vector<Token> ToTokens(const Napi::Value& value, const std::string& name);
// An array of Int32Arrays.
std::vector<std::vector<Token>> ToTokenLists(const Napi::Value& value, const std::string& name);
Napi::Uint8Array ToByteArray(const Napi::Value& value, const std::string& name);

double GetNumber(const Napi::Object& object, const char* name, double least, double most);
int64_t GetInt(const Napi::Object& object, const char* name, double least, double most);
bool GetBool(const Napi::Object& object, const char* name);
std::optional<int32_t> OptionalInt(const Napi::Object& object, const char* name, double least,
                                   double most);
std::optional<float> OptionalFloat(const Napi::Object& object, const char* name);
std::optional<bool> OptionalBool(const Napi::Object& object, const char* name);

// null for an empty text.
Napi::Value TextOrNull(Napi::Env env, const std::string& text);

}  // namespace hoshikage
