// Checkpoints that are damaged or belong to something else are refused on all ranks, with a message
// that says what and where; what fails while it is written leaves the earlier ones alone.

#include "io/hdf5/file.hpp"
#include "validation/unit/checkpoint/sample_state.hpp"
#include "validation/unit/io/test_files.hpp"

#include <gtest/gtest.h>

namespace trireme::validation {
namespace {

namespace fs = std::filesystem;

class Damage : public testing::Test {
 protected:
  Damage() : state_(world_, tiny_llama(), {world_.size(), 1, 1}) {
    state_.fill();
    checkpoint_ = state_.save(folder_ / "checkpoints", 3).path;
    world_.barrier();
  }

  /// `work` on rank 0, while the others wait.
  template <class Work>
  void on_rank_0(const Work& work) {
    if (world_.rank() == 0) work();
    world_.barrier();
  }
  /// What load() says; the same on all ranks, or the others would hang.
  std::string refusal() {
    const std::string text = test::error_text([&] { state_.load(checkpoint_); });
    world_.barrier();
    return text;
  }
  void expect_refusal(std::initializer_list<std::string_view> words) {
    const std::string text = refusal();
    EXPECT_FALSE(text.empty()) << "the checkpoint was taken";
    for (const std::string_view word : words)
      EXPECT_NE(text.find(word), std::string::npos) << word << " is missing in: " << text;
  }

  comm::World world_;
  test::TestFolder folder_{true};
  SampleState state_;
  fs::path checkpoint_;
};

TEST_F(Damage, NoneIsTaken) { EXPECT_EQ(refusal(), ""); }

TEST_F(Damage, TornStateIsRefused) {
  on_rank_0([&] {
    fs::resize_file(checkpoint_ / "state.h5", fs::file_size(checkpoint_ / "state.h5") / 2);
  });
  expect_refusal({"state.h5"});
}

TEST_F(Damage, MissingMarkerIsRefused) {
  on_rank_0([&] { fs::remove(checkpoint_ / "complete"); });
  expect_refusal({"not a complete checkpoint", "earlier"});
  EXPECT_FALSE(checkpoint::latest(folder_ / "checkpoints").has_value());
}

TEST_F(Damage, UnreadableMarkerIsRefused) {
  for (const char* text : {"", "{", "{\"format\": 1}", "{\"format\": \"x\"}"}) {
    on_rank_0([&] { test::write_whole((checkpoint_ / "complete").string(), text); });
    expect_refusal({"complete", "damaged"});
  }
}

TEST_F(Damage, FlippedBitOfAnyTensorIsNamed) {
  for (const std::size_t t : {std::size_t{0}, state_.tensors().size() / 2 + 1}) {
    const checkpoint::Tensor tensor = state_.tensors()[t];
    const auto flip = [&] {
      Shape one = tensor.shape;
      Shape last = tensor.shape;
      for (int d = 0; d < one.rank(); ++d) {
        last = last.with(d, tensor.shape[d] - 1);
        one = one.with(d, 1);
      }
      io::Hdf5File file((checkpoint_ / "state.h5").string(), io::Hdf5File::Mode::read_write);
      float value = 0;
      file.read(tensor.name, {last, one}, &value, DType::f32);
      value = -value;
      file.write(tensor.name, {last, one}, &value, DType::f32);
      file.close();
    };
    on_rank_0(flip);
    expect_refusal({"checksum", tensor.name, "damaged"});
    on_rank_0(flip);
    EXPECT_EQ(refusal(), "");
  }
}

TEST_F(Damage, OtherModelsAreRefused) {
  const auto refused = [&](const deck::ModelConfig& config, std::string_view word) {
    SampleState other(world_, config, {world_.size(), 1, 1});
    const std::string text = test::error_text([&] { other.load(checkpoint_); });
    EXPECT_NE(text.find(word), std::string::npos) << word << " is missing in: " << text;
    world_.barrier();
  };
  deck::ModelConfig config = tiny_llama();
  config.layers = 3;
  refused(config, "/parameters/layers.2.");
  config.layers = 1;
  refused(config, "layers.1.");
  config = tiny_llama();
  config.vocabulary = 31;
  refused(config, "[29, 16]");
}

TEST_F(Damage, OtherOptimizersAreRefused) {
  static constexpr std::array<std::string_view, 1> kLess{"exp_avg"};
  static constexpr std::array<std::string_view, 1> kOther{"momentum_buffer"};
  for (const std::span<const std::string_view> moments :
       {std::span<const std::string_view>(kLess), std::span<const std::string_view>(kOther)}) {
    SampleState other(world_, tiny_llama(), {world_.size(), 1, 1}, moments);
    const std::string text = test::error_text([&] { other.load(checkpoint_); });
    EXPECT_NE(text.find("/optimizer/exp_avg"), std::string::npos) << text;
    world_.barrier();
  }
}

TEST_F(Damage, FailedWriteLeavesEarlierCheckpointsAlone) {
  // A file where the folder should be: nothing can be written there, not even by root.
  on_rank_0([&] { test::write_whole(folder_ / "checkpoints/step_0000000004", "in the way"); });
  const std::string text = test::error_text([&] { state_.save(folder_ / "checkpoints", 4, 1); });
  EXPECT_NE(text.find("step_0000000004"), std::string::npos) << text;
  world_.barrier();
  EXPECT_EQ(checkpoint::latest(folder_ / "checkpoints"), checkpoint_);
  EXPECT_EQ(refusal(), "");
}

TEST_F(Damage, NewestAreKeptAndRemainsRemoved) {
  on_rank_0([&] { fs::create_directories(folder_ / "checkpoints/step_0000000004"); });
  for (const std::int64_t step : {5, 6}) state_.save(folder_ / "checkpoints", step, 2);
  world_.barrier();
  EXPECT_FALSE(fs::exists(checkpoint_));
  EXPECT_FALSE(fs::exists(folder_ / "checkpoints/step_0000000004"));
  for (const std::int64_t step : {5, 6}) {
    checkpoint_ = folder_ / ("checkpoints/step_000000000" + std::to_string(step));
    EXPECT_EQ(refusal(), "") << step;
  }
  world_.barrier();
}

}  // namespace
}  // namespace trireme::validation
