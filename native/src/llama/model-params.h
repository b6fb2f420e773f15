// What our options write into llama_model_params: the block that a load passes, and the lists that
// its pointers point to. Any thread. It must never write a field that may have moved.
#pragma once

#include <string>
#include <vector>

#include "model.h"

namespace hoshikage {

// Must live as long as the load; `tensor_split` as long as the model, which keeps the pointer.
class ModelParams {
 public:
  // Options that the layout has no known place for are named in the log.
  // Throws model_load_failed where one may only be written for sure and nothing is sure.
  ModelParams(const Library& library, const ModelOptions& options);
  ModelParams(const ModelParams&) = delete;
  ModelParams& operator=(const ModelParams&) = delete;

  ParamBlock block;
  std::vector<float> tensor_split;

 private:
  void SetGpu(const Library& library, const ModelOptions& options);
  void SetLoadMode(const Library& library, const ModelOptions& options);
  void KeepExperts(const Library& library, int32_t layers);
  void Drop(const char* setting);

  std::vector<std::string> patterns_;
  std::vector<LlamaTensorOverride> overrides_;
  std::string dropped_;
};

}  // namespace hoshikage
