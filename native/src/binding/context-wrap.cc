#include "context-wrap.h"

#include "addon-data.h"
#include "convert.h"
#include "task.h"
#include "values.h"

namespace hoshikage {
namespace {

const char* PhaseName(SlotPhase phase) {
  switch (phase) {
    case SlotPhase::kIdle: return "idle";
    case SlotPhase::kPrefill: return "prefill";
    case SlotPhase::kGeneration: return "generation";
  }
  return "idle";
}

// Moves the bytes to JavaScript: gigabytes perhaps. They are freed with the array.
Napi::Value FromState(Napi::Env env, SavedState* saved) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("tokens", FromTokens(env, saved->tokens));
  Napi::Array parts = Napi::Array::New(env, saved->parts.size());
  std::vector<Token> ends;
  for (uint32_t i = 0; i < saved->parts.size(); i++) {
    SavedState::Part& part = saved->parts[i];
    ends.push_back(static_cast<Token>(part.end));
    parts.Set(i, Napi::Buffer<uint8_t>::NewOrCopy(env, part.bytes.data.release(), part.bytes.size,
                                                  [](Napi::Env, uint8_t* data) { delete[] data; }));
  }
  object.Set("ends", FromTokens(env, ends));
  object.Set("parts", parts);
  return object;
}

}  // namespace

void ContextWrap::Define(Napi::Env env) {
  AddonData::Of(env).context_class = Napi::Persistent(DefineClass(
      env, "NativeContext",
      {InstanceAccessor<&ContextWrap::Info>("info"), InstanceMethod<&ContextWrap::Start>("start"),
       InstanceMethod<&ContextWrap::Slots>("slots"),
       InstanceMethod<&ContextWrap::Counters>("counters"),
       InstanceMethod<&ContextWrap::SaveState>("saveState"),
       InstanceMethod<&ContextWrap::RestoreState>("restoreState"),
       InstanceMethod<&ContextWrap::Close>("close")}));
}

Napi::Object ContextWrap::Make(Napi::Env env, Parts parts) {
  return AddonData::Of(env).context_class.New({Napi::External<Parts>::New(env, &parts)});
}

ContextWrap::ContextWrap(const Napi::CallbackInfo& info)
    : Napi::ObjectWrap<ContextWrap>(info), parts_(TakeParts<Parts>(info)) {}

ContextWrap::~ContextWrap() {
  if (parts_.worker && !closed_) {
    AddonData::Of(Env()).Warn("a context was collected without close()");
  }
}

Worker& ContextWrap::OpenWorker() const {
  if (closed_) throw Error("closed", "the context is closed");
  return *parts_.worker;
}

Napi::Value ContextWrap::Info(const Napi::CallbackInfo& info) {
  const Worker& worker = *parts_.worker;
  Napi::Object object = Napi::Object::New(info.Env());
  object.Set("contextTokens", worker.context_tokens());
  object.Set("contextTokensPerSlot", worker.tokens_per_sequence());
  object.Set("slots", worker.sequences());
  object.Set("batchTokens", worker.batch_tokens());
  object.Set("threads", worker.threads());
  return object;
}

Napi::Value ContextWrap::Start(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return Bound(env, [&]() -> Napi::Value {
    Worker& worker = OpenWorker();
    auto completion = std::make_shared<Completion>(ToRequest(
        ArgObject(info, 0, "request"), worker.vocabulary_size(), worker.tokens_per_sequence()));
    // The wrap first: making it may fail, and what is submitted runs.
    Napi::Object wrap = CompletionWrap::Make(env, {parts_.worker, completion, parts_.bell});
    if (!worker.Submit(completion)) throw Error("closed", "the context is closed");
    CompletionWrap::Unwrap(wrap)->Await(env);
    return wrap;
  });
}

Napi::Value ContextWrap::Slots(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return Bound(env, [&]() -> Napi::Value {
    const std::vector<SlotStatus> slots = OpenWorker().Status();
    Napi::Array list = Napi::Array::New(env, slots.size());
    for (uint32_t i = 0; i < slots.size(); i++) {
      Napi::Object slot = Napi::Object::New(env);
      slot.Set("id", slots[i].id);
      slot.Set("state", PhaseName(slots[i].phase));
      slot.Set("cachedTokens", static_cast<double>(slots[i].cached_tokens));
      slot.Set("promptTokens", static_cast<double>(slots[i].prompt_tokens));
      slot.Set("generatedTokens", static_cast<double>(slots[i].generated_tokens));
      list.Set(i, slot);
    }
    return list;
  });
}

Napi::Value ContextWrap::Counters(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return Bound(env, [&]() -> Napi::Value {
    const hoshikage::Counters counters = OpenWorker().counters();
    Napi::Object object = Napi::Object::New(env);
    object.Set("steps", static_cast<double>(counters.steps));
    object.Set("promptTokens", static_cast<double>(counters.prompt_tokens));
    object.Set("cachedTokens", static_cast<double>(counters.reused_tokens));
    object.Set("sharedTokens", static_cast<double>(counters.shared_tokens));
    object.Set("storedTokens", static_cast<double>(counters.stored_tokens));
    object.Set("generatedTokens", static_cast<double>(counters.generated_tokens));
    object.Set("draftedTokens", static_cast<double>(counters.drafted_tokens));
    object.Set("acceptedTokens", static_cast<double>(counters.accepted_tokens));
    object.Set("rings", static_cast<double>(counters.rings));
    object.Set("longestStepMs", counters.longest_step_ms);
    return object;
  });
}

Napi::Value ContextWrap::SaveState(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return Bound(env, [&]() -> Napi::Value {
    OpenWorker();
    const std::shared_ptr<Worker> worker = parts_.worker;
    const int32_t slot = ArgInt(info, 0, "slot");
    // Beyond what a buffer of this Node holds, making one would free the bytes, and then fail.
    const double most = ToNumber(info[1], "mostBytes", 0, 9007199254740991.0);
    const size_t most_bytes = static_cast<size_t>(most);
    return Task<std::optional<SavedState>>::Start(
        env, "hoshikage:save",
        [worker, slot, most_bytes] { return worker->SaveState(slot, most_bytes); },
        [](Napi::Env e, std::optional<SavedState>& saved) -> Napi::Value {
          return saved ? FromState(e, &*saved) : e.Null();
        });
  });
}

Napi::Value ContextWrap::RestoreState(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return Bound(env, [&]() -> Napi::Value {
    OpenWorker();
    const std::shared_ptr<Worker> worker = parts_.worker;
    const Napi::Object state = ArgObject(info, 0, "state");
    std::vector<Token> tokens = ToTokens(state.Get("tokens"), "tokens");
    const std::vector<Token> ends = ToTokens(state.Get("ends"), "ends");
    const Napi::Value list = state.Get("parts");
    if (!list.IsArray() || list.As<Napi::Array>().Length() != ends.size()) {
      throw Error("invalid_argument", "parts must be an array as long as ends");
    }
    // Keeps the bytes where they are while the decode thread reads them, whatever becomes of the
    // array that they came in; the task is destroyed on this thread.
    const auto held = std::make_shared<std::vector<Napi::ObjectReference>>();
    std::vector<StatePart> parts;
    for (uint32_t i = 0; i < ends.size(); i++) {
      const Napi::Uint8Array data = ToByteArray(list.As<Napi::Array>().Get(i), "parts");
      held->push_back(Napi::Persistent<Napi::Object>(data));
      // A negative end becomes one that is far too large, which is refused.
      parts.push_back({static_cast<size_t>(ends[i]), data.Data(), data.ByteLength()});
    }
    return Task<std::optional<int32_t>>::Start(
        env, "hoshikage:restore",
        [worker, tokens = std::move(tokens), parts = std::move(parts)] {
          return worker->RestoreState(tokens, parts);
        },
        [held](Napi::Env e, std::optional<int32_t>& slot) -> Napi::Value {
          return slot ? Napi::Value(Napi::Number::New(e, *slot)) : e.Null();
        });
  });
}

Napi::Value ContextWrap::Close(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  closed_ = true;
  const std::shared_ptr<Worker> worker = parts_.worker;
  return Bound(env, [&]() -> Napi::Value {
    return Task<bool>::Start(
        env, "hoshikage:close",
        [worker] {
          worker->Close();
          return true;
        },
        [](Napi::Env e, bool&) -> Napi::Value { return e.Undefined(); });
  });
}

}  // namespace hoshikage
