#include "grammar.h"

#include <cmath>

#include "error.h"

namespace hoshikage {

Grammar::Grammar(std::shared_ptr<const Model> model, const std::string& text)
    : model_(std::move(model)) {
  sampler_ = Guard("grammar_invalid", "llama_sampler_init_grammar", [&] {
    return model_->library()->api().llama_sampler_init_grammar(model_->vocab(), text.c_str(),
                                                               "root");
  });
  if (!sampler_) throw Error("grammar_invalid", "libllama cannot parse the grammar");
}

Grammar::~Grammar() {
  try {
    Guard("internal_error", "llama_sampler_free",
          [&] { model_->library()->api().llama_sampler_free(sampler_); });
  } catch (...) {
    // Nothing to do about a failed free.
  }
}

void Grammar::Apply(std::vector<LlamaTokenData>* candidates) {
  LlamaTokenDataArray array{candidates->data(), candidates->size(), -1, false};
  Guard("decode_failed", "llama_sampler_apply",
        [&] { model_->library()->api().llama_sampler_apply(sampler_, &array); });
}

bool Grammar::Allows(Token token) {
  std::vector<LlamaTokenData> one{{token, 1.0f, 0.0f}};
  Apply(&one);
  return std::isfinite(one[0].logit);
}

void Grammar::Accept(Token token) {
  Guard("decode_failed", "llama_sampler_accept",
        [&] { model_->library()->api().llama_sampler_accept(sampler_, token); });
}

}  // namespace hoshikage
