#pragma once
// A folder for one test program's files, gone at its end.

#include "kernels/base/error.hpp"
#include "trireme_paths.hpp"

#include <mpi.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include <unistd.h>

namespace trireme::test {

/// `shared`: one folder for all ranks of the test (collective), else one a process.
class TestFolder {
 public:
  explicit TestFolder(bool shared = false) : shared_(shared) {
    std::int64_t id = getpid();
    if (shared_) MPI_Bcast(&id, 1, MPI_INT64_T, 0, MPI_COMM_WORLD);
    const char* elsewhere = std::getenv("TRIREME_TEST_FILES");  // a program away from its build
    path_ = std::filesystem::path(elsewhere ? elsewhere : trireme::kBinaryDir) / "test_files" /
            ((shared_ ? "shared-" : "") + std::to_string(id));
    std::filesystem::create_directories(path_);
  }
  ~TestFolder() {
    int rank = 0;
    if (shared_) {
      MPI_Barrier(MPI_COMM_WORLD);
      MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    }
    std::error_code ignored;
    if (rank == 0) std::filesystem::remove_all(path_, ignored);
  }
  TestFolder(const TestFolder&) = delete;
  TestFolder& operator=(const TestFolder&) = delete;

  std::string operator/(const std::string& name) const { return (path_ / name).string(); }

 private:
  bool shared_;
  std::filesystem::path path_;
};

inline std::string read_whole(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

inline void write_whole(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

/// The text of the Error that `action` throws; "" when it throws none.
template <class Action>
std::string error_text(const Action& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.text();
  }
  return "";
}

}  // namespace trireme::test
