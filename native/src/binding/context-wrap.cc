#include "context-wrap.h"

#include "addon-data.h"
#include "convert.h"
#include "task.h"

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

}  // namespace

void ContextWrap::Define(Napi::Env env) {
  AddonData::Of(env).context_class = Napi::Persistent(DefineClass(
      env, "NativeContext",
      {InstanceAccessor<&ContextWrap::Info>("info"), InstanceMethod<&ContextWrap::Start>("start"),
       InstanceMethod<&ContextWrap::Slots>("slots"),
       InstanceMethod<&ContextWrap::Counters>("counters"),
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
    object.Set("generatedTokens", static_cast<double>(counters.generated_tokens));
    object.Set("rings", static_cast<double>(counters.rings));
    return object;
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
