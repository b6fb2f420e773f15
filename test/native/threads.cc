// A plain program over the C++ classes and the fake libllama, without Node: many threads submit,
// read, cancel and close at once. Built and run under sanitizers by scripts/sanitize.mjs.
//   threads LIBRARY MODEL DRAFT_MODEL CONTROL_FILE ROUNDS
// abi-table.inc is written by that script from native/abi/llama.json.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "decode/crew.h"
#include "decode/embedder.h"
#include "decode/sampler.h"
#include "decode/worker.h"
#include "llama/error.h"
#include "llama/library.h"

using namespace hoshikage;

namespace {

struct LayoutRow {
  int kind;  // 0: model, 1: context
  const char* id;
  int size, from, to;
};
struct FieldRow {
  const char* layout;
  const char* name;
  int offset, size, count;
  uint64_t defaults[4];
};
struct SymbolRow {
  const char* name;
  int from, gone;
};
#include "abi-table.inc"

AbiTable Table() {
  AbiTable table;
  table.floor = kFloor;
  table.samplers = kSamplers;
  for (const LayoutRow& row : kLayouts) {
    AbiLayout layout{row.id, row.size, row.from, row.to, {}};
    for (const FieldRow& field : kFields) {
      if (layout.id != field.layout) continue;
      layout.fields.push_back(
          {field.name, field.offset, field.size,
           std::vector<uint64_t>(field.defaults, field.defaults + field.count)});
    }
    (row.kind == 0 ? table.model_params : table.context_params).push_back(layout);
  }
  for (const SymbolRow& row : kSymbols) table.symbols.push_back({row.name, row.from, row.gone});
  return table;
}

}  // namespace

// The cells of fake-llama.cc that matter here.
enum Cell {
  kTokenSleepUs = 6,
  kLiveModels = 7,
  kLiveContexts = 8,
  kLiveSamplers = 9,
  kViolations = 18,
  kCallSleepUs = 42
};

namespace {

std::atomic<int64_t>* g_cells;
std::atomic<int> g_failures{0};
std::atomic<uint64_t> g_accepted{0};

void Check(bool good, const char* what) {
  if (good) return;
  std::fprintf(stderr, "failed: %s\n", what);
  g_failures++;
}

// Where a worker's ring arrives; stands for the JavaScript thread's doorbell.
struct Bell {
  std::mutex mutex;
  std::condition_variable rung;
  uint64_t rings = 0;
  void Ring() {
    {
      std::lock_guard<std::mutex> lock(mutex);
      rings++;
    }
    rung.notify_all();
  }
};

struct Outcome {
  std::string text;
  size_t prompt_logprobs = 0;
  Done done;
  bool ended = false;
};

// Reads a completion to its end, cancelling after `cancel_after` tokens where that is not negative.
Outcome Read(Worker* worker, Completion* completion, Bell* bell, int cancel_after) {
  Outcome outcome;
  int tokens = 0;
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (std::chrono::steady_clock::now() < deadline) {
    uint64_t seen;
    {
      std::lock_guard<std::mutex> lock(bell->mutex);
      seen = bell->rings;
    }
    Mail mail;
    while (completion->Take(&mail)) {
      outcome.text += mail.bytes;
      outcome.prompt_logprobs += mail.prompt_logprobs.size();
      tokens += static_cast<int>(mail.tokens.size());
      if (mail.done) {
        outcome.done = mail.result;
        outcome.ended = true;
        return outcome;
      }
    }
    if (cancel_after >= 0 && tokens >= cancel_after) {
      completion->Cancel(tokens % 2 == 0 ? 1 : -1);
      worker->Wake();
    }
    std::unique_lock<std::mutex> lock(bell->mutex);
    bell->rung.wait_for(lock, std::chrono::milliseconds(100), [&] { return bell->rings != seen; });
  }
  return outcome;
}

// Lower-case letters and characters of several bytes, as many as wanted.
std::shared_ptr<const GrammarProgram> Letters() {
  const int32_t numbers[] = {1,  2,  4, 12, 1,   6,   4,      1,      0,
                             -1, 0,  0,  // rule 0: rule 1, any times
                             1,  14, 2, 2,  'a', 'z', 0x3042, 0x3093, 0};
  return std::make_shared<const GrammarProgram>(numbers, sizeof numbers / sizeof *numbers);
}

std::shared_ptr<Completion> Request(const std::string& prompt, unsigned seed) {
  CompletionRequest request;
  for (const char c : prompt) request.prompt.push_back(static_cast<unsigned char>(c));
  request.sampling.temperature = 0.0f;
  request.sampling.seed = seed;
  if (seed % 3 == 0)
    request.sampling.penalties.repeat = 1.1f, request.sampling.penalties.last_n = 64;
  if (seed % 7 == 0) request.sampling.dry = {0.5f, 1.75f, 2, -1, {"\n", "aaaa"}};
  if (seed % 5 == 0) request.sampling.grammar = Letters();
  if (seed % 6 == 0) request.prompt_logprobs = 2;
  if (seed % 11 == 0) {
    SamplingOptions& sampling = request.sampling;
    sampling.temperature = 0.01f;  // the fake's best token is certain all the same
    sampling.typical_p = 0.9f;
    sampling.top_n_sigma = 2.0f;
    sampling.xtc_probability = 0.5f;
    sampling.dynatemp_range = 0.005f;
    sampling.mirostat.on = seed % 2 == 0;
    std::reverse(sampling.steps.begin(), sampling.steps.end());
  }
  return std::make_shared<Completion>(std::move(request));
}

void Client(const std::shared_ptr<Worker>& worker, Bell* bell, unsigned seed, bool may_be_closed) {
  std::mt19937 random(seed);
  for (int i = 0; i < 12; i++) {
    const unsigned draw = random();
    const std::shared_ptr<Completion> completion =
        Request(std::string(draw % 200, 'a') + "w", draw);
    if (!worker->Submit(completion)) {
      Check(may_be_closed, "Submit to an open worker");
      return;
    }
    const bool cancels = draw % 4 == 0;
    const Outcome outcome =
        Read(worker.get(), completion.get(), bell, cancels ? static_cast<int>(draw % 3) : -1);
    Check(outcome.ended, "a completion ends");
    if (outcome.done.reason == DoneReason::kEog) {
      Check(outcome.text == "xyz</s>", "the text");
      const bool asked = completion->request().prompt_logprobs >= 0;
      const size_t told = asked ? 3 * (completion->request().prompt.size() - 1) : 0;
      Check(outcome.prompt_logprobs == told, "log-probabilities of the whole prompt");
    }
    if (outcome.done.reason == DoneReason::kCancelled) Check(cancels || may_be_closed, "cancelled");
    Check(outcome.done.reason != DoneReason::kError, outcome.done.message.c_str());
  }
}

// Saves states and gives them back while the slots work; what comes back is what was saved.
void Keep(const std::shared_ptr<Worker>& worker, unsigned seed, bool may_be_closed) {
  std::mt19937 random(seed);
  std::optional<SavedState> saved;
  try {
    for (int i = 0; i < 40; i++) {
      std::optional<SavedState> now =
          worker->SaveState(static_cast<int32_t>(random() % 3), 1 << 20);
      size_t bytes = 0;
      if (now) {
        for (const SavedState::Part& part : now->parts) bytes += part.bytes.size;
        Check(bytes == 12 * now->parts.size() + 4 * now->tokens.size(), "the size of a state");
        saved = std::move(now);
      }
      if (!saved) continue;
      std::vector<StatePart> parts;
      for (const SavedState::Part& part : saved->parts) {
        parts.push_back({part.end, part.bytes.data.get(), part.bytes.size});
      }
      const auto slot = worker->RestoreState(saved->tokens, parts);
      Check(!slot || (*slot >= 0 && *slot < 3), "the slot of a state");
      parts.back().size--;
      if (i % 8 == 0) {
        Check(!worker->RestoreState(saved->tokens, parts), "a cut state is refused");
      }
    }
  } catch (const Error& e) {
    Check(may_be_closed && std::string(e.code()) == "closed", e.what());
  }
}

// Gives an embedding up at some moment of it; that must end it, and nothing else.
void EmbedAndCancel(Embedder* embedder, unsigned seed, bool may_be_closed) {
  std::mt19937 random(seed);
  for (int i = 0; i < 10; i++) {
    std::atomic<bool> cancelled{false};
    std::thread canceller([&cancelled, wait = random() % 2000] {
      std::this_thread::sleep_for(std::chrono::microseconds(wait));
      cancelled.store(true);
    });
    const std::vector<Token> input(1 + random() % 700, 7);
    try {
      const Vectors vectors = embedder->Embed({input, input, input}, cancelled);
      Check(vectors.size() == 3, "three vectors");
    } catch (const Error& e) {
      const std::string code = e.code();
      Check(code == "cancelled" || (may_be_closed && code == "closed"), e.what());
    }
    canceller.join();
  }
}

// Asks for embeddings of short and long inputs; the fake's vectors tell what they were made of.
void Embed(Embedder* embedder, unsigned seed, bool may_be_closed) {
  std::mt19937 random(seed);
  std::atomic<bool> cancelled{false};
  try {
    for (int i = 0; i < 10; i++) {
      const Token token = static_cast<Token>(random() % 256);
      const std::vector<Token> input(1 + random() % 700, token);
      const Vectors vectors = embedder->Embed({input, {token}}, cancelled);
      Check(vectors.size() == 2 && vectors[0].size() == 64, "two vectors");
      Check(vectors[0][0] == static_cast<float>(token) && vectors[0] == vectors[1], "the vector");
    }
  } catch (const Error& e) {
    Check(may_be_closed && std::string(e.code()) == "closed", e.what());
  }
}

// Samplers of one model at once choose what they choose one after another.
void SampleTogether(const std::shared_ptr<const Model>& model, unsigned seed) {
  constexpr size_t kSlots = 6;
  const size_t vocabulary = static_cast<size_t>(model->VocabularySize());
  const auto say = [&](Crew* crew) {
    std::vector<std::unique_ptr<Sampler>> samplers;
    for (size_t slot = 0; slot < kSlots; slot++) {
      SamplingOptions options;
      options.temperature = 0.8f;
      options.top_p = 0.9f;
      options.seed = static_cast<uint32_t>(slot);
      options.logprobs = slot % 2 == 0 ? 3 : -1;
      options.ignore_eos = true;
      if (slot % 3 == 0) options.grammar = Letters();
      if (slot % 3 == 1) options.dry.multiplier = 0.5f, options.dry.breakers = {"a", "bc"};
      options.penalties = {1.1f, 64, 0.1f, 0.0f};
      samplers.push_back(std::make_unique<Sampler>(model, options, std::vector<Token>{97, 98, 97}));
    }
    std::vector<std::vector<Token>> said(kSlots);
    for (unsigned step = 0; step < 20; step++) {
      crew->Run(kSlots, [&](size_t slot) {
        std::mt19937 random(seed + step * 100 + static_cast<unsigned>(slot));
        std::vector<float> logits(vocabulary);
        for (float& logit : logits) logit = static_cast<float>(random() % 1000) / 100.0f;
        logits['9'] = 50.0f;  // what the grammar forbids: the whole vocabulary is walked
        said[slot].push_back(samplers[slot]->Sample(logits.data()).token);
      });
    }
    return said;
  };
  Crew together(3);
  const std::vector<std::vector<Token>> said = say(&together);
  Crew alone(0);
  Check(said == say(&alone), "samplers at once choose the same");
  Check(said[1][0] == '9' && said[0][0] != '9', "the grammar forbids what is best");
}

// One model, one worker, one embedder, clients, a watcher of the status, and an end in the middle
// of it all.
void Round(const std::shared_ptr<Library>& library, const std::string& path,
           const std::string& draft_path, unsigned seed) {
  ModelOptions options;
  options.path = path;
  const std::shared_ptr<Model> model = Model::Load(library, options, [](float) { return true; });
  SampleTogether(model, seed);
  ContextOptions context;
  context.context_tokens = 3 * 512;
  context.sequences = 3;
  context.batch_tokens = 64;
  context.threads = 1;
  // What is tried ahead changes no text.
  SpeculationOptions drafting;
  drafting.most_tokens = 6;
  drafting.lookup = seed % 3 != 1;
  std::unique_ptr<Context> drafter;
  if (seed % 3 != 0) {
    options.path = draft_path;
    const auto draft_model = Model::Load(library, options, [](float) { return true; });
    Check(WhyNotDraft(*draft_model, *model).empty(), "the draft model fits");
    drafter = std::make_unique<Context>(draft_model, context);
  }
  auto target = std::make_unique<Context>(model, context);
  auto speculation = Speculation::For(*target, drafting, std::move(drafter));
  Bell bell;
  const auto worker = std::make_shared<Worker>(
      std::move(target), model, WorkerOptions{100.0, 4096}, [&bell] { bell.Ring(); },
      std::move(speculation));
  ContextOptions embedding;
  embedding.context_tokens = 1024;
  embedding.threads = 1;
  Embedder embedder(model, embedding);
  const bool early = seed % 2 == 1;
  std::atomic<bool> over{false};
  std::vector<std::thread> clients;
  for (unsigned k = 0; k < 5; k++) {
    clients.emplace_back([&, k] { Client(worker, &bell, seed * 31 + k, early); });
  }
  for (unsigned k = 0; k < 2; k++) {
    clients.emplace_back([&, k] { Keep(worker, seed * 37 + k, early); });
    clients.emplace_back([&, k] { Embed(&embedder, seed * 41 + k, early); });
    clients.emplace_back([&, k] { EmbedAndCancel(&embedder, seed * 43 + k, early); });
  }
  std::thread watcher([&] {
    while (!over) {
      Check(worker->Status().size() == 3 || early, "three slots");
      (void)worker->counters();
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  });
  if (early) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    std::thread other([&] {
      embedder.Close();
      worker->Close();
    });
    worker->Close();
    embedder.Close();
    other.join();
  }
  for (std::thread& client : clients) client.join();
  over = true;
  watcher.join();
  if (!early) g_accepted += worker->counters().accepted_tokens;
  worker->Close();
  Check(!worker->Submit(Request("w", 1)), "a closed worker takes nothing");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 6) return 2;
  const int file = open(argv[4], O_RDWR);
  g_cells = static_cast<std::atomic<int64_t>*>(
      mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0));
  close(file);
  setenv("HK_FAKE_CONTROL", argv[4], 1);
  try {
    LibraryOptions options;
    options.path = argv[1];
    options.abi = Table();
    const std::shared_ptr<Library> library = Library::Open(options);
    const int rounds = std::atoi(argv[5]);
    for (int i = 0; i < rounds; i++) {
      g_cells[kTokenSleepUs] = i % 4 == 3 ? 20 : 0;
      g_cells[kCallSleepUs] = i % 4 == 2 ? 500 : 0;
      Round(library, argv[2], argv[3], static_cast<unsigned>(i));
    }
    Check(g_accepted > 0, "some of what was tried was right");
    Check(g_cells[kLiveModels] == 0, "no model is left");
    Check(g_cells[kLiveContexts] == 0, "no context is left");
    Check(g_cells[kLiveSamplers] == 0, "no sampler is left");
    Check(g_cells[kViolations] == 0, "the library was asked nothing forbidden");
  } catch (const Error& e) {
    std::fprintf(stderr, "%s: %s\n", e.code(), e.what());
    return 1;
  }
  std::printf("%s\n", g_failures == 0 ? "clean" : "failed");
  return g_failures == 0 ? 0 : 1;
}
