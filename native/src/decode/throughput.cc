#include "throughput.h"

#include <algorithm>
#include <atomic>
#include <string>

#include "../llama/error.h"
#include "../llama/progress.h"
#include "clock.h"

namespace hoshikage {
namespace {

// Tokens that a sequence has room for; all rounds together take fewer.
constexpr uint32_t kSequenceTokens = 256;
// How often every count is tried: medians of fewer than the least say little, of more no more.
constexpr int kLeastRounds = 3;
constexpr int kMostRounds = 12;
// A step of another size than the one before has its graph made anew, which steps of generation
// have not. That shows in quick models only, which are given some steps in a row instead.
constexpr double kQuickMs = 20;
constexpr int kStepsInARow = 3;

class StepMeter {
 public:
  StepMeter(const std::shared_ptr<Model>& model, const ContextOptions& options, double limit_ms,
            const std::function<bool()>& wanted)
      : context_(model, options),
        batch_(context_.sequences()),
        vocabulary_(static_cast<uint32_t>(model->VocabularySize())),
        positions_(context_.sequences(), 0),
        limit_ms_(limit_ms),
        wanted_(wanted) {
    context_.SetAbortCallback(ShouldAbort, this);
  }

  // The first step, and how long one takes after it. The time begins in between.
  double WarmUp() {
    Step(1);
    start_ = Clock::now();
    limited_ = true;
    return Step(1).value_or(limit_ms_);
  }

  // Milliseconds since the first step.
  double elapsed() const { return MsSince(start_); }

  // Adds a round of steps of so many tokens to the samples; false where the time is over.
  bool Measure(uint32_t count, bool quick, std::vector<double>* samples) {
    if (quick && !Step(count)) return false;
    for (int i = 0; i < (quick ? kStepsInARow : 1); i++) {
      const std::optional<double> ms = Step(count);
      if (!ms) return false;
      samples->push_back(*ms);
    }
    return true;
  }

 private:
  // Milliseconds; nothing where the time is over.
  std::optional<double> Step(uint32_t count) {
    if (!wanted_()) throw Error("cancelled", "the measuring was cancelled");
    batch_.Clear();
    for (uint32_t sequence = 0; sequence < count; sequence++) {
      const uint32_t position = positions_[sequence];
      // Different ones, so that a mixture of experts asks as many of them as real texts do.
      const uint64_t mixed = position * uint64_t{7919} + sequence * uint64_t{104729} + 1;
      batch_.Add(static_cast<Token>(mixed % vocabulary_), static_cast<int32_t>(position),
                 static_cast<int32_t>(sequence), true);
    }
    std::string reason;
    const Clock::time_point start = Clock::now();
    const DecodeStatus status = context_.Decode(&batch_, &reason);
    if (status == DecodeStatus::kAborted) {
      if (!wanted_()) throw Error("cancelled", "the measuring was cancelled");
      return std::nullopt;
    }
    if (status != DecodeStatus::kOk) {
      const bool memory = status == DecodeStatus::kNoMemory;
      throw WhileRunning(memory ? "engine_out_of_memory" : "decode_failed", reason);
    }
    // A device may still compute when the call returns; whoever asks for logits waits for it.
    context_.Logits(static_cast<int32_t>(count) - 1);
    const double ms = MsSince(start);
    for (uint32_t sequence = 0; sequence < count; sequence++) positions_[sequence]++;
    return ms;
  }

  // Called by libllama within a decode, on any of its threads; nothing it reads changes meanwhile.
  static bool ShouldAbort(void* user_data) {
    Advance(Lane::kOther);
    const StepMeter& meter = *static_cast<StepMeter*>(user_data);
    return !meter.wanted_() || (meter.limited_ && meter.elapsed() > meter.limit_ms_);
  }

  Context context_;
  Batch batch_;
  const uint32_t vocabulary_;
  std::vector<uint32_t> positions_;
  const double limit_ms_;
  const std::function<bool()>& wanted_;
  Clock::time_point start_;
  bool limited_ = false;
};

double Median(std::vector<double> samples) {
  const auto middle = samples.begin() + static_cast<std::ptrdiff_t>(samples.size() / 2);
  std::nth_element(samples.begin(), middle, samples.end());
  return *middle;
}

// Tries the counts as far as there is time for the least number of rounds, then goes on while there
// is plenty. A machine that is busy for a moment disturbs all counts of a round alike.
void MeasureRounds(StepMeter* meter, const std::vector<uint32_t>& counts, double limit_ms,
                   std::vector<std::vector<double>>* samples) {
  const bool quick = meter->WarmUp() < kQuickMs;
  size_t tried = 0;
  double before = meter->elapsed();
  double step_round = 0;  // of the count before
  for (; tried < counts.size(); tried++) {
    // No step takes longer than one of half its tokens taken twice.
    const double expected = tried == 0 ? 0 : step_round * counts[tried] / counts[tried - 1];
    if (kLeastRounds * (before + expected) > limit_ms) break;
    if (!meter->Measure(counts[tried], quick, &(*samples)[tried])) return;
    step_round = meter->elapsed() - before;
    before += step_round;
  }
  double round = before;
  for (int rounds = 1; rounds < kMostRounds; rounds++) {
    const double begin = meter->elapsed();
    if (rounds >= kLeastRounds && begin + round > limit_ms / 2) return;
    for (size_t i = 0; i < tried; i++) {
      const size_t at = rounds % 2 == 1 ? tried - 1 - i : i;
      if (!meter->Measure(counts[at], quick, &(*samples)[at])) return;
    }
    round = meter->elapsed() - begin;
  }
}

}  // namespace

std::vector<std::optional<double>> MeasureSteps(const std::shared_ptr<Model>& model,
                                                ContextOptions options,
                                                const std::vector<uint32_t>& counts,
                                                double limit_ms,
                                                const std::function<bool()>& wanted) {
  options.sequences = counts.back();
  options.context_tokens = kSequenceTokens * options.sequences;
  options.batch_tokens = options.sequences;
  StepMeter meter(model, options, limit_ms, wanted);
  std::vector<std::vector<double>> samples(counts.size());
  MeasureRounds(&meter, counts, limit_ms, &samples);
  std::vector<std::optional<double>> medians;
  for (const std::vector<double>& of_count : samples) {
    const bool enough = of_count.size() >= static_cast<size_t>(kLeastRounds) - 1;
    medians.push_back(enough ? std::optional<double>(Median(of_count)) : std::nullopt);
  }
  return medians;
}

}  // namespace hoshikage
