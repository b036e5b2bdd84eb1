#include "lib/deck/presets.hpp"

namespace trireme::deck {

const std::vector<Preset>& presets() {
  // GPT-2: Radford et al. 2019, table 2. LLaMA: Touvron et al. 2023 (both papers), Llama 3 herd
  // 2024 table 3, Llama 3.2 model card. llama-160m is the common small draft model, llama-5m our
  // own: its heads divide by tensor axes of 1, 2 and 4.
  static const std::vector<Preset> all = {
      // name, family, layers, hidden, heads, kv, head_dim, ffn, vocabulary, context, tied, theta
      {"gpt2-124m", Family::gpt, 12, 768, 12, 12, 64, 3072, 50257, 1024, true, 10000},
      {"gpt2-355m", Family::gpt, 24, 1024, 16, 16, 64, 4096, 50257, 1024, true, 10000},
      {"gpt2-774m", Family::gpt, 36, 1280, 20, 20, 64, 5120, 50257, 1024, true, 10000},
      {"gpt2-1.5b", Family::gpt, 48, 1600, 25, 25, 64, 6400, 50257, 1024, true, 10000},
      {"llama-5m", Family::llama, 4, 256, 8, 4, 32, 704, 8192, 256, true, 10000},
      {"llama-160m", Family::llama, 12, 768, 12, 12, 64, 3072, 32000, 2048, false, 10000},
      {"llama-1b", Family::llama, 16, 2048, 32, 8, 64, 8192, 128256, 8192, true, 500000},
      {"llama-3b", Family::llama, 28, 3072, 24, 8, 128, 8192, 128256, 8192, true, 500000},
      {"llama-7b", Family::llama, 32, 4096, 32, 32, 128, 11008, 32000, 4096, false, 10000},
      {"llama-8b", Family::llama, 32, 4096, 32, 8, 128, 14336, 128256, 8192, false, 500000},
      {"llama-13b", Family::llama, 40, 5120, 40, 40, 128, 13824, 32000, 4096, false, 10000},
      {"llama-70b", Family::llama, 80, 8192, 64, 8, 128, 28672, 32000, 4096, false, 10000},
  };
  return all;
}

const Preset* find_preset(std::string_view name) {
  for (const Preset& preset : presets())
    if (preset.name == name) return &preset;
  return nullptr;
}

std::vector<std::string_view> preset_names() {
  std::vector<std::string_view> names;
  for (const Preset& preset : presets()) names.push_back(preset.name);
  return names;
}

}  // namespace trireme::deck
