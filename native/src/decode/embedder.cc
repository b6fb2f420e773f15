#include "embedder.h"

#include <algorithm>

#include "../llama/error.h"
#include "../llama/progress.h"

namespace hoshikage {
namespace {

// The smallest context worth making: most texts fit, and doubling from here is soon done.
constexpr uint32_t kSmallestContext = 512;
// What nobody cancels.
const std::atomic<bool> kNever{false};

}  // namespace

Embedder::Embedder(std::shared_ptr<Model> model, const ContextOptions& options)
    : model_(std::move(model)),
      options_(options),
      vocabulary_size_(model_->VocabularySize()),
      cancelled_(&kNever) {
  thread_ = std::thread([this] { Run(); });
}

Embedder::~Embedder() { Close(); }

Vectors Embedder::Embed(const std::vector<std::vector<Token>>& inputs,
                        const std::atomic<bool>& cancelled) {
  Check(inputs);
  Vectors vectors;
  const auto errand = std::make_shared<Errand>([&] {
    // The flag is the caller's: nothing that still runs afterwards may look at it.
    struct Lent {
      const std::atomic<bool>** flag;
      ~Lent() { *flag = &kNever; }
    } lent{&cancelled_};
    cancelled_ = &cancelled;
    vectors = Work(inputs);
  });
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (stopping_) throw Error("closed", "the embedder is closed");
    inbox_.push_back(errand);
  }
  wake_.notify_one();
  errand->Wait();
  return vectors;
}

void Embedder::Close() {
  std::lock_guard<std::mutex> closing(close_mutex_);
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  aborting_.store(true, std::memory_order_release);
  wake_.notify_one();
  if (thread_.joinable()) thread_.join();
  context_.reset();
  model_.reset();
}

void Embedder::Check(const std::vector<std::vector<Token>>& inputs) const {
  for (const std::vector<Token>& input : inputs) {
    if (input.empty()) throw Error("invalid_argument", "an input is empty");
    if (input.size() > options_.context_tokens) {
      throw Error("context_length_exceeded", "an input is longer than the context");
    }
    for (const Token token : input) {
      if (token < 0 || token >= vocabulary_size_) {
        throw Error("invalid_argument", "an input holds a token id out of range");
      }
    }
  }
}

void Embedder::Run() {
  for (;;) {
    std::deque<std::shared_ptr<Errand>> errands;
    bool stopping;
    {
      std::unique_lock<std::mutex> lock(mutex_);
      wake_.wait(lock, [&] { return stopping_ || !inbox_.empty(); });
      stopping = stopping_;
      errands.swap(inbox_);
    }
    for (const auto& errand : errands) errand->Run();
    if (stopping) return;
  }
}

Vectors Embedder::Work(const std::vector<std::vector<Token>>& inputs) {
  Vectors vectors;
  for (const std::vector<Token>& input : inputs) {
    RefuseUnwanted();
    MakeRoom(input.size());
    try {
      vectors.push_back(context_->Embed(input));
    } catch (const Error&) {
      RefuseUnwanted();
      throw;
    }
  }
  return vectors;
}

void Embedder::RefuseUnwanted() const {
  if (aborting_.load(std::memory_order_acquire)) throw Error("closed", "the embedder is closed");
  if (cancelled_->load(std::memory_order_acquire)) {
    throw Error("cancelled", "the embedding was cancelled");
  }
}

// Called by libllama within a decode, on any of its threads.
bool Embedder::ShouldAbort(void* user_data) {
  Advance(Lane::kEmbeds);
  const Embedder& embedder = *static_cast<Embedder*>(user_data);
  return embedder.aborting_.load(std::memory_order_acquire) ||
         embedder.cancelled_->load(std::memory_order_acquire);
}

// What a context costs grows with the longest input it takes, so it starts small.
void Embedder::MakeRoom(size_t tokens) {
  if (context_ && context_->capacity() >= tokens) return;
  context_.reset();  // first: two at once may not fit
  size_t size = kSmallestContext;
  while (size < tokens) size *= 2;
  size = std::max<size_t>(tokens, std::min<size_t>(size, options_.context_tokens));
  context_ = std::make_unique<EmbeddingContext>(model_, options_, static_cast<uint32_t>(size),
                                                ShouldAbort, this);
  if (context_->capacity() < tokens) {
    throw Error("context_length_exceeded", "an input is longer than the library's context");
  }
}

}  // namespace hoshikage
