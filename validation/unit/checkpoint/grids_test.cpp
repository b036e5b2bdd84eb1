// What one grid saved another loads, bit for bit.

#include "io/hdf5/file.hpp"
#include "validation/unit/checkpoint/sample_state.hpp"
#include "validation/unit/io/test_files.hpp"

#include <gtest/gtest.h>

namespace trireme::validation {
namespace {

std::int64_t over_ranks(std::int64_t count) {
  MPI_Allreduce(MPI_IN_PLACE, &count, 1, MPI_INT64_T, MPI_SUM, MPI_COMM_WORLD);
  return count;
}

void expect_every_grid_loads_every_grid(const deck::ModelConfig& config) {
  const comm::World world;
  const test::TestFolder folder(true);
  std::int64_t step = 0;
  std::int64_t pairs = 0;
  for (const comm::ProcessGrid& from : grids_of(world.size())) {
    SampleState saved(world, config, from);
    saved.fill();
    const auto written = saved.save(folder / "checkpoints", ++step);
    for (const comm::ProcessGrid& to : grids_of(world.size())) {
      // Eight ranks have many grids: from each to every third suffices there.
      if (world.size() > 4 && (++pairs + step) % 3 != 0) continue;
      SampleState loaded(world, config, to);
      loaded.clear();
      loaded.load(written.path);
      EXPECT_EQ(over_ranks(loaded.wrong()), 0) << from.text() << " to " << to.text();
    }
  }
}

TEST(Grids, UntiedModelMoves) { expect_every_grid_loads_every_grid(tiny_llama()); }
TEST(Grids, TiedModelMoves) { expect_every_grid_loads_every_grid(tiny_gpt()); }

TEST(Grids, SmallestDimsMove) {
  // Over four tensor ranks a vocabulary of 5 leaves the last one without a row.
  deck::ModelConfig config = tiny_llama();
  config.vocabulary = 5;
  config.ffn_hidden = 4;
  expect_every_grid_loads_every_grid(config);
}

TEST(Grids, FileHoldsLogicalTensorsInLogicalOrder) {
  const comm::World world;
  const test::TestFolder folder(true);
  SampleState state(world, tiny_llama(), grids_of(world.size()).back());
  state.fill();
  const auto written = state.save(folder / "checkpoints", 7);
  world.barrier();
  const io::Hdf5File file((written.path / "state.h5").string(), io::Hdf5File::Mode::read);
  const auto tensors = state.tensors();
  for (std::size_t t = 0; t < tensors.size(); ++t) {
    const Shape& shape = tensors[t].shape;
    Shape origin = shape;
    for (int d = 0; d < shape.rank(); ++d) origin = origin.with(d, 0);
    std::vector<float> values(static_cast<std::size_t>(shape.elements()));
    file.read(tensors[t].name, {origin, shape}, values.data(), DType::f32);
    for (std::size_t i = 0; i < values.size(); ++i)
      ASSERT_EQ(values[i], static_cast<float>(t * 4096 + i) + 0.25f) << tensors[t].name << i;
  }
  world.barrier();
}

TEST(Grids, PlantedSwapOfTwoElementsIsSeen) {
  const comm::World world;
  SampleState state(world, tiny_gpt(), {world.size(), 1, 1});
  state.fill();
  EXPECT_EQ(state.wrong(), 0);
  state.store().visit(state.store().units()[0], program::Purpose::masters, 0,
                      state::Store::Access::update,
                      [](const state::Held& held) { std::swap(held.values[0], held.values[1]); });
  EXPECT_EQ(state.wrong(), 2);
}

}  // namespace
}  // namespace trireme::validation
