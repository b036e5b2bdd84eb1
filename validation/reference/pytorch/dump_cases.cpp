// Writes what PyTorch needs to run the reference cases: for each a JSON file (model, batches,
// optimizer, names and shapes of the tensors) and their first weights as raw little-endian f32.
//
//   dump_cases FOLDER

#include "kernels/base/runtime.hpp"
#include "validation/reference/pytorch/cases.hpp"

#include <mpi.h>
#include <nlohmann/json.hpp>

#include <cstdio>
#include <filesystem>
#include <fstream>

namespace {

using namespace trireme;
using nlohmann::json;

json describe(const deck::ModelConfig& m) {
  const char* const activations[] = {"gelu", "gelu_tanh", "silu", "swiglu"};
  return {{"layers", m.layers},
          {"heads", m.heads},
          {"kv_heads", m.kv_heads},
          {"head_dim", m.head_dim},
          {"norm", m.norm.type == deck::NormType::rmsnorm ? "rms" : "layer"},
          {"eps", m.norm.eps},
          {"activation", activations[static_cast<int>(m.activation)]},
          {"rotary_theta", m.positions == deck::Positions::rotary ? m.rotary_theta : 0.0}};
}

void write_case(const std::filesystem::path& folder, const validation::ReferenceCase& reference) {
  std::vector<std::vector<double>> weights;
  const auto result = run_case(reference, &weights);
  json tensors = json::array();
  std::ofstream raw(folder / (reference.name + ".weights"), std::ios::binary);
  for (std::size_t t = 0; t < weights.size(); ++t) {
    const auto& tensor = result.first.tensors[t];
    json shape = json::array();
    for (int d = 0; d < tensor.shape.rank(); ++d) shape.push_back(tensor.shape[d]);
    tensors.push_back({{"name", tensor.name}, {"shape", shape}});
    const std::vector<float> values(weights[t].begin(), weights[t].end());
    raw.write(reinterpret_cast<const char*>(values.data()),
              static_cast<std::streamsize>(values.size() * sizeof(float)));
  }
  json batches = json::array();
  for (const auto& batch : reference.batches)
    batches.push_back({{"tokens", batch.tokens}, {"documents", batch.documents}});
  const deck::Deck deck = validation::reference_deck();
  const json all{{"model", describe(reference.model)},
                 {"sequence", reference.placement.sequence},
                 {"steps", validation::kSteps},
                 {"micro_batches", validation::kMicroBatches},
                 {"batches", batches},
                 {"tensors", tensors},
                 {"optimizer",
                  {{"lr", deck.optimizer.lr},
                   {"betas", {deck.optimizer.beta1, deck.optimizer.beta2}},
                   {"eps", deck.optimizer.eps},
                   {"weight_decay", deck.optimizer.weight_decay},
                   {"clipping", deck.gradient_clipping}}}};
  std::ofstream text(folder / (reference.name + ".json"));
  text << all.dump(1) << "\n";
  raw.flush();
  text.flush();
  check(raw.good() && text.good(), Exit::kFile, "cannot write {}", folder.string());
}

}  // namespace

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  int code = 2;
  try {
    if (argc == 2) {
      const Runtime runtime(1);
      std::filesystem::create_directories(argv[1]);
      for (const auto& reference : validation::reference_cases()) write_case(argv[1], reference);
      code = 0;
    } else {
      std::fprintf(stderr, "usage: dump_cases FOLDER\n");
    }
  } catch (const Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    code = error.exit_code();
  }
  MPI_Finalize();
  return code;
}
