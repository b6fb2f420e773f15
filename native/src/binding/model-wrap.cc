#include "model-wrap.h"

#include <algorithm>

#include "../decode/throughput.h"
#include "addon-data.h"
#include "completion-wrap.h"
#include "context-wrap.h"
#include "convert.h"
#include "deep-stack.h"
#include "embedder-wrap.h"
#include "task.h"

namespace hoshikage {
namespace {

// Load progress on its way to JavaScript: only the newest value matters.
struct Progress {
  std::atomic<float> fraction{0.0f};
  std::unique_ptr<Doorbell> bell;
};

std::shared_ptr<Progress> MakeProgress(Napi::Env env, const Napi::Value& callback) {
  if (!callback.IsFunction()) return nullptr;
  auto progress = std::make_shared<Progress>();
  auto function =
      std::make_shared<Napi::FunctionReference>(Napi::Persistent(callback.As<Napi::Function>()));
  progress->bell = std::make_unique<Doorbell>(
      env, "hoshikage:progress", [function, raw = progress.get()](Napi::Env e) {
        Napi::HandleScope scope(e);
        const napi_value value = Napi::Number::New(e, raw->fraction.load());
        CallQuietly(e, function->Value(), 1, &value);
      });
  return progress;
}

// A context with what drafts for it.
struct DraftingContext {
  std::unique_ptr<Context> context;
  std::unique_ptr<Speculation> speculation;
};

// The draft model reads the same texts in as many slots, with a cache of its own kind.
ContextOptions DrafterOptions(const ContextOptions& target) {
  ContextOptions options = target;
  options.type_k.reset();
  options.type_v.reset();
  options.rope_scaling.reset();
  options.rope_freq_base.reset();
  options.rope_freq_scale.reset();
  return options;
}

// Throws model_load_failed, draft_model_unusable.
DraftingContext MakeContext(const std::shared_ptr<Model>& model, const ContextOptions& options,
                            const SpeculationOptions& drafting,
                            const std::shared_ptr<Model>& draft_model) {
  std::unique_ptr<Context> drafter;
  if (draft_model) {
    const std::string why = WhyNotDraft(*draft_model, *model);
    if (!why.empty()) throw Error("draft_model_unusable", why);
  }
  auto context = std::make_unique<Context>(model, options);
  model->pieces();  // here, where nobody waits for a step
  // Not for nothing: its cache is as long as the other one.
  const bool drafts = draft_model && drafting.most_tokens > 0 && !context->has_tail_state();
  if (drafts) drafter = std::make_unique<Context>(draft_model, DrafterOptions(options));
  auto speculation = Speculation::For(*context, drafting, std::move(drafter));
  return {std::move(context), std::move(speculation)};
}

std::shared_ptr<ContextBell> MakeContextBell(Napi::Env env, Napi::Function on_wake) {
  auto function = std::make_shared<Napi::FunctionReference>(Napi::Persistent(on_wake));
  auto bell = std::make_shared<ContextBell>();
  bell->bell = std::make_unique<Doorbell>(env, "hoshikage:wake", [function](Napi::Env e) {
    Napi::HandleScope scope(e);
    CallQuietly(e, function->Value());
  });
  return bell;
}

}  // namespace

void ModelWrap::Define(Napi::Env env) {
  AddonData::Of(env).model_class = Napi::Persistent(DefineClass(
      env, "NativeModel",
      {InstanceMethod<&ModelWrap::Facts>("facts"), InstanceMethod<&ModelWrap::Tokenize>("tokenize"),
       InstanceMethod<&ModelWrap::Detokenize>("detokenize"),
       InstanceMethod<&ModelWrap::CreateContext>("createContext"),
       InstanceMethod<&ModelWrap::CreateEmbedder>("createEmbedder"),
       InstanceMethod<&ModelWrap::MeasureSteps>("measureSteps"),
       InstanceMethod<&ModelWrap::Close>("close")}));
}

Napi::Object ModelWrap::Make(Napi::Env env, std::shared_ptr<Model> model) {
  return AddonData::Of(env).model_class.New(
      {Napi::External<std::shared_ptr<Model>>::New(env, &model)});
}

ModelWrap::ModelWrap(const Napi::CallbackInfo& info)
    : Napi::ObjectWrap<ModelWrap>(info),
      model_(TakeParts<std::shared_ptr<Model>>(info)),
      workers_(std::make_shared<std::vector<std::weak_ptr<Worker>>>()) {}

ModelWrap::~ModelWrap() {
  if (model_ && !closed_) AddonData::Of(Env()).Warn("a model was collected without close()");
}

const std::shared_ptr<Model>& ModelWrap::OpenModel() const {
  if (closed_) throw Error("closed", "the model is closed");
  return model_;
}

ModelWrap* ModelWrap::Given(const Napi::Value& value) {
  if (value.IsUndefined() || value.IsNull()) return nullptr;
  const Napi::Function type = AddonData::Of(value.Env()).model_class.Value();
  if (!value.IsObject() || !value.As<Napi::Object>().InstanceOf(type)) {
    throw Error("invalid_argument", "draftModel must be a model");
  }
  return Unwrap(value.As<Napi::Object>());
}

Napi::Value ModelWrap::Load(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return Bound(env, [&]() -> Napi::Value {
    ModelOptions options = ToModelOptions(ArgObject(info, 0, "options"));
    std::shared_ptr<Library> library = Library::Current();
    if (!library) throw Error("library_not_found", "no library has been opened");
    const std::shared_ptr<Progress> progress = MakeProgress(env, info[1]);
    const auto cancelled = std::make_shared<std::atomic<bool>>(false);
    const auto closing = AddonData::Of(env).closing;

    Napi::Promise promise = Task<std::shared_ptr<Model>>::Start(
        env, "hoshikage:load",
        [library, options, progress, cancelled, closing] {
          return Model::Load(library, options, [&](float fraction) {
            if (progress) {
              progress->fraction.store(fraction);
              progress->bell->Ring();
            }
            return !cancelled->load() && !closing->load();
          });
        },
        [progress](Napi::Env e, std::shared_ptr<Model>& model) -> Napi::Value {
          return Make(e, std::move(model));
        });
    return Cancellable(env, promise, cancelled);
  });
}

Napi::Value ModelWrap::Facts(const Napi::CallbackInfo& info) {
  return Bound(info.Env(), [&]() -> Napi::Value { return FromModel(info.Env(), *OpenModel()); });
}

Napi::Value ModelWrap::Tokenize(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return Bound(env, [&]() -> Napi::Value {
    const std::shared_ptr<Model> model = OpenModel();
    std::vector<TextSegment> segments = ToSegments(info[0]);
    const bool add_special = ArgBool(info, 1, "addSpecial");
    return Task<std::vector<Token>>::Start(
        env, "hoshikage:tokenize",
        [model, segments, add_special] {
          size_t longest = 0;
          for (const TextSegment& segment : segments) {
            longest = std::max(longest, segment.text.size());
          }
          std::vector<Token> tokens;
          WithStack(StackFor(longest), [&] { tokens = model->Tokenize(segments, add_special); });
          return tokens;
        },
        [](Napi::Env e, std::vector<Token>& tokens) { return FromTokens(e, tokens); });
  });
}

Napi::Value ModelWrap::Detokenize(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return Bound(env, [&]() -> Napi::Value {
    const std::shared_ptr<Model>& model = OpenModel();
    std::string bytes;
    for (const Token token : ArgTokens(info, 0, "tokens")) model->AppendPiece(token, &bytes);
    Napi::Uint8Array array = Napi::Uint8Array::New(env, bytes.size());
    std::copy(bytes.begin(), bytes.end(), array.Data());
    return array;
  });
}

Napi::Value ModelWrap::CreateContext(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return Bound(env, [&]() -> Napi::Value {
    const std::shared_ptr<Model> model = OpenModel();
    const Napi::Object object = ArgObject(info, 0, "options");
    const ContextOptions options = ToContextOptions(object);
    const WorkerOptions worker_options = ToWorkerOptions(object);
    const SpeculationOptions drafting = ToSpeculationOptions(object);
    ModelWrap* drafter = Given(object.Get("draftModel"));
    const std::shared_ptr<Model> draft_model = drafter ? drafter->OpenModel() : nullptr;
    // Closing either model closes the context.
    const auto drafter_workers = drafter ? drafter->workers_ : nullptr;
    const std::shared_ptr<ContextBell> bell = MakeContextBell(env, ArgFunction(info, 1, "onWake"));
    const auto workers = workers_;
    return Task<DraftingContext>::Start(
        env, "hoshikage:context",
        [model, options, drafting, draft_model] {
          return MakeContext(model, options, drafting, draft_model);
        },
        [model, bell, workers, drafter_workers, worker_options](
            Napi::Env e, DraftingContext& made) -> Napi::Value {
          auto worker = std::make_shared<Worker>(
              std::move(made.context), model, worker_options, [bell] { bell->bell->Ring(); },
              std::move(made.speculation));
          workers->push_back(worker);
          if (drafter_workers) drafter_workers->push_back(worker);
          AddonData::Of(e).AddWorker(worker);
          return ContextWrap::Make(e, {std::move(worker), bell});
        });
  });
}

Napi::Value ModelWrap::CreateEmbedder(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return Bound(env, [&]() -> Napi::Value {
    AddonData& data = AddonData::Of(env);
    if (*data.closing) throw Error("closed", "the process is ending");
    const auto embedder =
        std::make_shared<Embedder>(OpenModel(), ToContextOptions(ArgObject(info, 0, "options")));
    embedders_.push_back(embedder);
    data.AddEmbedder(embedder);
    return EmbedderWrap::Make(env, embedder);
  });
}

Napi::Value ModelWrap::MeasureSteps(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return Bound(env, [&]() -> Napi::Value {
    const std::shared_ptr<Model> model = OpenModel();
    const ContextOptions options = ToContextOptions(ArgObject(info, 0, "options"));
    const std::vector<uint32_t> counts = ArgCounts(info, 1, "counts");
    const int32_t limit_ms = ArgInt(info, 2, "limitMs");
    const auto cancelled = std::make_shared<std::atomic<bool>>(false);
    const auto closing = AddonData::Of(env).closing;
    using Times = std::vector<std::optional<double>>;
    Napi::Promise promise = Task<Times>::Start(
        env, "hoshikage:measure",
        [model, options, counts, limit_ms, cancelled, closing] {
          return hoshikage::MeasureSteps(model, options, counts, limit_ms,
                                         [&] { return !cancelled->load() && !closing->load(); });
        },
        [](Napi::Env e, Times& times) -> Napi::Value { return FromTimes(e, times); });
    return Cancellable(env, promise, cancelled);
  });
}

Napi::Value ModelWrap::Close(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  closed_ = true;
  // The last reference is dropped on the task's thread: freeing gigabytes takes a while.
  const auto model = std::make_shared<std::shared_ptr<Model>>(std::move(model_));
  // A copy: a context that is being made is added on this thread while the task goes through it.
  const std::vector<std::weak_ptr<Worker>> workers = *workers_;
  const std::vector<std::weak_ptr<Embedder>> embedders = embedders_;
  return Bound(env, [&]() -> Napi::Value {
    return Task<bool>::Start(
        env, "hoshikage:close",
        [model, workers, embedders] {
          for (const std::weak_ptr<Worker>& weak : workers) {
            if (const std::shared_ptr<Worker> worker = weak.lock()) worker->Close();
          }
          for (const std::weak_ptr<Embedder>& weak : embedders) {
            if (const std::shared_ptr<Embedder> embedder = weak.lock()) embedder->Close();
          }
          model->reset();
          return true;
        },
        [](Napi::Env e, bool&) -> Napi::Value { return e.Undefined(); });
  });
}

}  // namespace hoshikage
