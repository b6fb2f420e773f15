#include "model-params.h"

#include "error.h"
#include "probe.h"

namespace hoshikage {
namespace {

// The default of n_gpu_layers became -1 (all) with b7553; older builds want a large number.
constexpr int32_t kAllLayersNumber = 999;
// The library reads one value per device, 16 to 128 of them.
constexpr size_t kMostDevices = 128;

}  // namespace

ModelParams::ModelParams(const Library& library, const ModelOptions& options)
    : tensor_split(kMostDevices, 0.0f) {
  block = Guard("model_load_failed", "llama_model_default_params",
                [&] { return DefaultParams(library.api().llama_model_default_params); });
  SetGpu(library, options);
  SetLoadMode(library, options);
  if (options.cpu_expert_layers > 0) KeepExperts(library, options.cpu_expert_layers);
  WarnOfDropped(dropped_);
}

void ModelParams::SetGpu(const Library& library, const ModelOptions& options) {
  const AbiLayout& layout = library.abi().model_params;
  if (options.gpu_layers) {
    const bool minus_one = PeekInt(layout, block, "n_gpu_layers", 0) == -1;
    const int32_t layers =
        *options.gpu_layers < 0 ? (minus_one ? -1 : kAllLayersNumber) : *options.gpu_layers;
    Poke(layout, &block, "n_gpu_layers", layers);
  }
  if (options.main_gpu && *options.main_gpu != PeekInt(layout, block, "main_gpu", 0)) {
    const std::string doubt = library.abi().minimal ? "" : library.Doubt();
    if (!doubt.empty()) {
      throw Error("model_load_failed", "MAIN_GPU cannot be set with this libllama: " + doubt +
                                           ", so main_gpu may have moved");
    }
    if (!Poke(layout, &block, "main_gpu", *options.main_gpu)) Drop("MAIN_GPU");
  }
  if (!options.tensor_split.empty()) {
    for (size_t i = 0; i < options.tensor_split.size() && i < tensor_split.size(); i++) {
      tensor_split[i] = options.tensor_split[i];
    }
    const float* values = tensor_split.data();
    if (!Poke(layout, &block, "tensor_split", values)) Drop("TENSOR_SPLIT");
  }
}

// mmap and mlock are two booleans up to layout M7, then one enum whose numbers moved: its values
// are asked of the library by name.
void ModelParams::SetLoadMode(const Library& library, const ModelOptions& options) {
  if (!options.mmap && !options.mlock) return;
  const AbiLayout& layout = library.abi().model_params;
  if (layout.Find("use_mmap")) {
    if (options.mmap) Poke(layout, &block, "use_mmap", *options.mmap);
    if (options.mlock) Poke(layout, &block, "use_mlock", *options.mlock);
    return;
  }
  const bool mmap = options.mmap.value_or(true);
  const bool mlock = options.mlock.value_or(false);
  if (mmap && !mlock) return;  // the library's default maps where it can
  const Api& api = library.api();
  if (!api.llama_load_mode_from_str || !layout.Find("load_mode")) {
    if (!mmap) Drop("USE_MMAP");
    if (mlock) Drop("USE_MLOCK");
    return;
  }
  const auto number = [&](const char* name) {
    return Guard("model_load_failed", "llama_load_mode_from_str",
                 [&] { return static_cast<int32_t>(api.llama_load_mode_from_str(name)); });
  };
  int32_t mode;
  try {
    mode = number(mlock ? (mmap ? "mmap+mlock" : "mlock") : "none");
  } catch (const Error&) {
    if (!mlock) throw;
    mode = number("mlock");  // "mmap+mlock" exists since b10145
  }
  Poke(layout, &block, "load_mode", mode);
}

void ModelParams::KeepExperts(const Library& library, int32_t layers) {
  const AbiLayout& layout = library.abi().model_params;
  if (!layout.Find("tensor_buft_overrides")) return Drop("N_CPU_MOE");
  void* main_memory = library.CpuBufferType();
  if (!main_memory) throw Error("model_load_failed", "the library has no CPU buffer type");
  for (int32_t i = 0; i < layers; i++) {
    patterns_.push_back("blk\\." + std::to_string(i) + "\\.ffn_(up|down|gate|gate_up)_(ch|)exps");
  }
  for (const std::string& pattern : patterns_) overrides_.push_back({pattern.c_str(), main_memory});
  overrides_.push_back({nullptr, nullptr});
  const LlamaTensorOverride* list = overrides_.data();
  Poke(layout, &block, "tensor_buft_overrides", list);
}

void ModelParams::Drop(const char* setting) {
  dropped_ += (dropped_.empty() ? "" : ", ") + std::string(setting);
}

}  // namespace hoshikage
