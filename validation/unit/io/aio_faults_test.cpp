// What the kernel and the disk may do to a transfer, planted one by one.

#include "io/aio/engine.hpp"
#include "io/aio/swap_file.hpp"
#include "validation/unit/io/direct_memory.hpp"
#include "validation/unit/io/planted_kernel.hpp"
#include "validation/unit/io/test_files.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <optional>

#include <unistd.h>

namespace trireme::test {
namespace {

using namespace io::aio;

constexpr std::int64_t kUnits = 64;

/// A file, two buffers of its size, and an engine over a kernel with a plan.
struct Planted {
  explicit Planted(SwapOptions options = {}) : file(folder / ".", kUnits * kUnit, options) {}
  void start(Settings settings = {.block_size = 8 * kUnit}) {
    engine.emplace(settings, std::function<void()>(), kernel);
  }
  Transfer write_all() { return engine->write(file, 0, from.all()); }
  Transfer read_all() { return engine->read(file, 0, to.all()); }
  /// Everything is written and comes back.
  bool round_trip() {
    engine->wait(write_all());
    engine->wait(read_all());
    return same(from.all(), to.all());
  }
  const TestFolder folder;
  PlantedKernel kernel;
  SwapFile file;
  DirectMemory from{kUnits * kUnit, 1};
  DirectMemory to{kUnits * kUnit, 2};
  std::optional<Engine> engine;
};

TEST(AioFaults, PartsAreCompleted) {
  // Whole units, sectors within a unit, and both; every request of the engine's is cut.
  for (const std::int64_t part : {kUnit, 3 * kUnit, kUnit + 512, 5 * kUnit + 3584}) {
    SCOPED_TRACE(part);
    Planted planted;
    planted.kernel.fate = [&](const iocb&, std::int64_t) { return Fate{.bytes = part}; };
    planted.start();
    EXPECT_TRUE(planted.round_trip());
    const std::int64_t whole = part / kUnit;
    EXPECT_EQ(planted.engine->counters().requests, 2 * 8 * ((8 + whole - 1) / whole));
    EXPECT_EQ(planted.engine->counters().bytes_written, kUnits * kUnit);
    EXPECT_EQ(planted.engine->counters().bytes_read, kUnits * kUnit);
  }
}

TEST(AioFaults, APartNotCompletedWouldShow) {
  Planted planted;
  planted.kernel.fate = [](const iocb& request, std::int64_t) {
    Fate fate;  // a kernel that lies: nothing moved, all reported
    if (request.u.c.offset == 8 * kUnit) fate.result = static_cast<std::int64_t>(8 * kUnit);
    return fate;
  };
  planted.start();
  EXPECT_FALSE(planted.round_trip());
}

TEST(AioFaults, NoMemoryToSubmitIsTriedAgain) {
  Planted planted;
  planted.kernel.answer = [](std::int64_t call) { return call % 3 == 1 ? 1 : -EAGAIN; };
  planted.start();
  EXPECT_TRUE(planted.round_trip());
}

TEST(AioFaults, NoMemoryForEverIsAnError) {
  Planted planted;
  planted.kernel.answer = [](std::int64_t) { return -EAGAIN; };
  planted.start({.block_size = kUnits * kUnit});
  const Transfer write = planted.write_all();
  EXPECT_NE(error_text([&] { planted.engine->wait(write); }).find("lower aio.queue_depth"),
            std::string::npos);
}

TEST(AioFaults, InterruptedCallsAreMadeAgain) {
  Planted planted;
  planted.kernel.answer = [](std::int64_t call) { return call % 2 == 0 ? -EINTR : 1; };
  planted.kernel.fate = [](const iocb&, std::int64_t number) {
    return number % 3 == 0 ? Fate{.result = -EINTR} : Fate{};
  };
  planted.start();
  EXPECT_TRUE(planted.round_trip());
}

TEST(AioFaults, AKernelThatTakesFewAtOnceGetsTheRest) {
  Planted planted;
  planted.kernel.most_at_once = 3;
  planted.start();
  EXPECT_TRUE(planted.round_trip());
  EXPECT_EQ(planted.engine->counters().requests, 16);
}

TEST(AioFaults, AnErrorNamesItsPlaceAndOthersGoOn) {
  Planted planted;
  bool failing = true;
  planted.kernel.fate = [&](const iocb& request, std::int64_t) {
    return failing && request.u.c.offset == 24 * kUnit ? Fate{.result = -EIO} : Fate{};
  };
  planted.start({.block_size = 8 * kUnit, .queue_depth = 2});
  std::vector<Transfer> open;
  for (int i = 0; i < 4; ++i)
    open.push_back(planted.engine->write(planted.file, 16 * i * kUnit,
                                         planted.from.part(16 * i * kUnit, 16 * kUnit)));
  planted.engine->wait(open[0]);
  const std::string text = error_text([&] { planted.engine->wait(open[1]); });
  EXPECT_NE(text.find(planted.file.name() + ": writing 32768 bytes at offset 98304: Input/output "
                                            "error: the device fails"),
            std::string::npos)
      << text;
  planted.engine->wait(open[2]);
  planted.engine->wait(open[3]);
  failing = false;
  EXPECT_TRUE(planted.round_trip());
}

TEST(AioFaults, BlocksOfAFailedTransferThatHaveNotStartedNeverDo) {
  Planted planted;
  planted.kernel.fate = [&](const iocb&, std::int64_t number) {
    return number == 2 ? Fate{.result = -ENOSPC} : Fate{};
  };
  planted.start({.block_size = kUnit, .queue_depth = 2});
  const Transfer write = planted.write_all();
  const std::string text = error_text([&] { planted.engine->wait(write); });
  EXPECT_NE(text.find("at offset 8192: No space left on device: free space there"),
            std::string::npos)
      << text;
  EXPECT_LE(planted.engine->counters().requests, 5);
  planted.engine->wait(planted.read_all());
  EXPECT_EQ(planted.engine->counters().bytes_read, kUnits * kUnit);
}

TEST(AioFaults, ARefusedSubmissionConcernsItsFirstRequest) {
  Planted planted;
  planted.kernel.answer = [](std::int64_t call) { return call == 0 ? -EBADF : 1; };
  planted.start({.block_size = 8 * kUnit, .queue_depth = 2});
  const Transfer write = planted.write_all();
  EXPECT_NE(error_text([&] {
              planted.engine->wait(write);
            }).find("writing 32768 bytes at offset 0: Bad file descriptor"),
            std::string::npos);
  EXPECT_TRUE(planted.round_trip());
}

TEST(AioFaults, AFileThatEndsEarlyIsAnError) {
  Planted planted;
  planted.start();
  ASSERT_EQ(::ftruncate(planted.file.descriptor(), 20 * kUnit), 0);
  const Transfer read = planted.read_all();
  const std::string text = error_text([&] { planted.engine->wait(read); });
  EXPECT_NE(text.find("nothing more could be moved"), std::string::npos) << text;
}

TEST(AioFaults, AContextThatIsRefusedNamesTheKeys) {
  Planted planted;
  planted.kernel.create_result = -EAGAIN;
  EXPECT_NE(error_text([&] { planted.start(); }).find("raise fs.aio-max-nr"), std::string::npos);
}

TEST(AioFaults, AFlippedBitIsFoundWithChecksumsAndOnlyThen) {
  for (const bool checksums : {false, true}) {
    Planted planted({.checksums = checksums});
    planted.start();
    EXPECT_TRUE(planted.round_trip());
    DirectMemory unit(kUnit);
    const auto damage = unit.part(0, kUnit);
    std::ranges::copy(planted.from.part(37 * kUnit, kUnit), damage.begin());
    damage[1234] ^= std::byte{4};
    ASSERT_EQ(::pwrite(planted.file.descriptor(), damage.data(), kUnit, 37 * kUnit), kUnit);
    const Transfer read = planted.read_all();
    const std::string text = error_text([&] { planted.engine->wait(read); });
    const std::string expected = planted.file.name() +
                                 ": the 4096 bytes at offset 151552 (unit 37) are not those that "
                                 "were written";
    EXPECT_EQ(text.find(expected) != std::string::npos, checksums) << text;
    EXPECT_EQ(text.empty(), !checksums);
    planted.engine->wait(planted.engine->read(planted.file, 0, planted.to.part(0, 37 * kUnit)));
    EXPECT_TRUE(planted.round_trip());  // written again, it is whole again
  }
}

TEST(AioFaults, ALostWriteIsFoundWithChecksums) {
  Planted planted({.checksums = true});
  planted.kernel.fate = [](const iocb& request, std::int64_t) {
    const bool lost = request.aio_lio_opcode == IO_CMD_PWRITE && request.u.c.offset == 8 * kUnit;
    return lost ? Fate{.result = static_cast<std::int64_t>(request.u.c.nbytes)} : Fate{};
  };
  planted.start();
  planted.engine->wait(planted.read_all());  // never written: zeros, and checked as such
  EXPECT_EQ(std::ranges::count(planted.to.all(), std::byte{0}), kUnits * kUnit);
  planted.engine->wait(planted.write_all());
  const Transfer read = planted.read_all();
  EXPECT_NE(error_text([&] { planted.engine->wait(read); }).find("offset 32768 (unit 8)"),
            std::string::npos);
}

}  // namespace
}  // namespace trireme::test
