// A console never makes the caller wait, whatever the reader does.

#include "lib/engine/console.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <chrono>
#include <string>
#include <thread>

namespace trireme::engine {
namespace {

using Clock = std::chrono::steady_clock;

struct Pipe {
  int reader = -1;
  int writer = -1;
  Pipe() {
    int ends[2];
    EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
    reader = ends[0];
    writer = ends[1];
  }
  ~Pipe() {
    close_reader();
    close(writer);
  }
  void close_reader() {
    if (reader >= 0) close(reader);
    reader = -1;
  }
  /// Whether a write() would wait for the reader, now or soon.
  bool fills_up() const {
    for (int i = 0; i < 500; ++i) {
      pollfd room{writer, POLLOUT, 0};
      if (poll(&room, 1, 0) == 0) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return false;
  }
  /// Until `end` was read.
  std::string read_to(const std::string& end) const {
    std::string all;
    char part[4096];
    while (all.find(end) == std::string::npos) {
      const ssize_t got = read(reader, part, sizeof(part));
      if (got <= 0) break;
      all.append(part, static_cast<std::size_t>(got));
    }
    return all;
  }
};

double seconds_of(const auto& work) {
  const auto begin = Clock::now();
  work();
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

const std::string kLine(199, 'x');
constexpr int kLines = 5000;  // 1 MB: more than a pipe and the console hold together

TEST(Console, WritesInOrder) {
  const Pipe pipe;
  {
    Console console(pipe.writer);
    for (int i = 0; i < 100; ++i) console.write("line " + std::to_string(i) + "\n");
  }
  const std::string text = pipe.read_to("line 99\n");
  std::string expected;
  for (int i = 0; i < 100; ++i) expected += "line " + std::to_string(i) + "\n";
  EXPECT_EQ(text, expected);
}

TEST(Console, GoesOnWhileNobodyReadsAndSaysWhatWasLeftOut) {
  const Pipe pipe;
  Console console(pipe.writer);
  EXPECT_LT(seconds_of([&] {
              for (int i = 0; i < kLines; ++i) console.write(kLine + "\n");
            }),
            5);
  // The planted fault: one who writes himself would stand still now.
  EXPECT_TRUE(pipe.fills_up());
  const std::string text = pipe.read_to("lines were left out");
  EXPECT_NE(text.find("lines were left out"), std::string::npos);
  // A line that comes before the console has caught up is left out like the others.
  std::string heard;
  while (heard.find("heard again") == std::string::npos) {
    console.write("heard again\n");
    heard = pipe.read_to("\n");
    ASSERT_FALSE(heard.empty());
  }
}

TEST(Console, LeavesAReaderThatStandsStill) {
  const Pipe pipe;
  EXPECT_LT(seconds_of([&] {
              Console console(pipe.writer);
              for (int i = 0; i < kLines; ++i) console.write(kLine + "\n");
            }),
            5);
  pipe.read_to("left out");  // lets its thread end before the pipe does
}

TEST(Console, SurvivesAReaderThatIsGone) {
  Pipe pipe;
  pipe.close_reader();
  Console console(pipe.writer);  // SIGPIPE would end this test
  for (int i = 0; i < 10; ++i) {
    console.write("nobody hears this\n");
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

}  // namespace
}  // namespace trireme::engine
