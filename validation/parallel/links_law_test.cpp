// Ranks with a GPU each exchange data from GPU to GPU: the bits are those of the way through the
// hosts, nothing of model state or activations crosses to them, and faults are found. On emulated
// GPUs.

#include "lib/engine/open_device.hpp"
#include "validation/emulation/emulation.hpp"
#include "validation/harness/allocations.hpp"
#include "validation/harness/device_fixture.hpp"
#include "validation/harness/tiny_models.hpp"
#include "validation/parallel/hasty.hpp"
#include "validation/parallel/zero_cases.hpp"
#include "validation/parallel/zero_trace.hpp"

#include <set>

namespace trireme::validation {
namespace {

const auto* const kRuntime = with_runtime_and_device(1);

using deck::Transport;
using program::Instruction;
using program::Kind;
using program::Lane;

bool here() { return test_space() == MemorySpace::device; }

deck::Deck with(deck::Deck deck, Transport transport) {
  deck.parallel.transport = transport;
  return deck;
}

struct Refusal {
  Exit code = Exit::kOk;
  std::string text;
};
template <class F>
Refusal refusal(const F& f) {
  try {
    f();
  } catch (const Error& error) {
    return {error.code(), error.text()};
  }
  return {};
}

/// Before anything else here: a library that was found once stays.
TEST(LinksLaw, WhatIsMissingIsNamedAndAutoSaysWhatItTakesInstead) {
  if (!here()) return;
  const comm::World world;
  const deck::Deck deck = two_micro_batches(world, tiny_llama());
  const auto expect_refused = [&](const char* why) {
    const Refusal found = refusal([&] { engine::open_device(world, with(deck, Transport::nccl)); });
    EXPECT_EQ(found.code, Exit::kUsage);
    EXPECT_NE(found.text.find(why), std::string::npos) << found.text;
    EXPECT_NE(found.text.find("\"host\""), std::string::npos) << found.text;
    const deck::Deck settled = engine::open_device(world, with(deck, Transport::automatic));
    EXPECT_EQ(settled.parallel.transport, Transport::host);
    ASSERT_EQ(settled.warnings.size(), deck.warnings.size() + 1);
    EXPECT_NE(settled.warnings.back().text.find(why), std::string::npos);
  };
  emulation::set_links_version(0);
  expect_refused("libnccl.so.2 was not found");
  emulation::set_links_version(21800);
  expect_refused("expected NCCL 2.28.9 or newer");
  emulation::set_links_version(22809);
  const int devices = device_count();
  emulation::set_devices(1);
  expect_refused("shares GPU emulated:0");
  emulation::set_devices(devices);
  const deck::Deck settled = engine::open_device(world, deck);
  EXPECT_EQ(settled.parallel.transport, Transport::nccl);
  EXPECT_EQ(settled.warnings.size(), deck.warnings.size());
}

/// Kinds of instructions that the training program gives to the links.
std::set<Kind> kinds_over_links(const engine::Setup& setup) {
  std::set<Kind> kinds;
  for (const program::StageProgram& stage : setup.training.stages)
    for (const Instruction& i : stage.instructions)
      if (i.lane == Lane::comm && setup.training.over_links(i)) kinds.insert(i.kind);
  return kinds;
}

TEST(LinksLaw, TheWayThroughTheHostsHasTheSameBits) {
  if (!here()) return;
  const comm::World world;
  std::set<Kind> kinds;
  const auto expect_same = [&](const std::string& name, const deck::Deck& some) {
    SCOPED_TRACE(name);
    kinds.merge(kinds_over_links(engine::Setup(with(some, Transport::nccl))));
    EXPECT_EQ(trace_of(world, with(some, Transport::nccl)),
              trace_of(world, with(some, Transport::host)));
  };
  deck::Deck deck = two_micro_batches(world, tiny_llama());
  deck.parallel.zero.stage = 3;
  expect_same("stage 3", deck);
  deck.parallel.zero.stage = 1;
  deck.parallel.zero.allgather_partitions = false;
  expect_same("stage 1 with broadcasts", deck);
  deck = engine_deck(tiny_gpt());
  deck.parallel.tensor = world.size() / 2;
  deck.parallel.pipeline = 2;
  deck.batch.global = deck.batch.accumulation = 4;
  expect_same("tensor and pipeline", deck);
  for (const GridCase& c : random_cases(world.size(), 2, 3)) expect_same(c.name, c.deck);
  for (const ZeroCase& c : zero_random(world.size(), 2, 17)) expect_same(c.name, c.deck);
  for (const Kind kind : {Kind::all_reduce, Kind::all_gather, Kind::reduce_scatter, Kind::broadcast,
                          Kind::send, Kind::receive})
    EXPECT_TRUE(kinds.contains(kind)) << program::name_of(kind);
}

/// Only tokens and what the world agrees on.
TEST(LinksLaw, NeitherStateNorActivationsCrossToTheHosts) {
  if (!here()) return;
  const comm::World world;
  deck::Deck deck = two_micro_batches(world, tiny_llama());
  deck.parallel.zero.stage = 3;
  const auto copied = [&](Transport transport) {
    const engine::Setup setup(with(deck, transport));
    std::int64_t bytes = 0;
    for (const Instruction& i : setup.training.stages[0].instructions)
      if (i.lane == Lane::copy_out || i.lane == Lane::copy_in) {
        const program::Buffer& from = setup.training.buffers[static_cast<std::size_t>(i.reads[0])];
        const bool few = from.content == program::Purpose::scalars ||
                         from.purpose == program::Purpose::scalars ||
                         from.purpose == program::Purpose::tokens ||
                         from.slot == static_cast<std::int32_t>(nn::Role::tokens);
        if (!few) bytes += i.bytes;
      }
    return bytes;
  };
  EXPECT_EQ(copied(Transport::nccl), 0);
  EXPECT_GT(copied(Transport::host), 0);
}

TEST(LinksLaw, SteadyStepsAllocateNothing) {
  if (!here()) return;
  const comm::World world;
  for (const ZeroCase& c : zero_random(world.size(), 2, 5)) {
    SCOPED_TRACE(c.name);
    EngineRun run(world, c.deck);
    run.step();
    run.step();
    const std::int64_t free = device_memory_state().free;
    const AllocationWatch watch;
    run.step();
    run.step();
    const std::int64_t made = watch.count();
    EXPECT_EQ(made, 0) << watch.where();
    EXPECT_EQ(device_memory_state().free, free);
  }
}

// ---- planted faults
// --------------------------------------------------------------------------------

/// Sums that begin before there is anything to add, and results that are used before they are
/// there.
TEST(LinksLaw, AMissingWaitBetweenStreamsIsFound) {
  if (!here()) return;
  const comm::World world;
  deck::Deck deck = two_micro_batches(world, tiny_llama());
  deck.parallel.zero.stage = 3;
  const auto masters = [&](const EngineFaults& faults) {
    EngineRun run(world, deck, faults);
    run.step();
    return run.masters().gradients;
  };
  const auto sound = masters({});
  EXPECT_EQ(masters({}), sound);
  EXPECT_NE(masters(hasty(Lane::compute, Lane::comm)), sound);
  EXPECT_NE(masters(hasty(Lane::comm, Lane::compute)), sound);
}

TEST(LinksLaw, ALinkThatBreaksEndsTheStepWithItsName) {
  if (!here()) return;
  const comm::World world;
  EngineRun run(world, two_micro_batches(world, tiny_llama()));
  run.step();
  constexpr int kRemoteError = 6;
  emulation::break_links(kRemoteError);
  const Refusal found = refusal([&] { run.step(); });
  world.barrier();
  emulation::break_links(0);
  EXPECT_EQ(found.code, Exit::kPeer);
  for (const char* part : {"all_reduce of", "data group {0, 1", "network error"})
    EXPECT_NE(found.text.find(part), std::string::npos) << found.text;
}

/// A member that never comes: the others name what they wait for, and end.
TEST(LinksLaw, AMissingMemberIsNamedByTheDeadline) {
  if (!here()) return;
  const comm::World world;
  comm::CommOptions options = patient_comm();
  options.deadline_seconds = 1;
  EngineRun run(world, two_micro_batches(world, tiny_llama()), {}, {}, options);
  run.step();
  if (world.rank() > 0) {
    const Refusal found = refusal([&] { run.step(); });
    EXPECT_EQ(found.code, Exit::kPeer);
    EXPECT_NE(found.text.find("waited longer than 1 s"), std::string::npos) << found.text;
  }
  world.barrier();
}

}  // namespace
}  // namespace trireme::validation
