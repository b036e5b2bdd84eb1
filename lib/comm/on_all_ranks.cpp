#include "lib/comm/on_all_ranks.hpp"

#include "kernels/base/checked.hpp"
#include "kernels/base/error.hpp"

#include <string>

namespace trireme::comm {

void on_all_ranks(const World& world, const std::function<void()>& work,
                  std::source_location where) {
  const auto guard = world.watch({"work that all ranks must finish"}, where);
  std::string problem;
  Exit code = Exit::kOk;
  try {
    work();
  } catch (const Error& error) {
    problem = error.text();
    code = error.code();
  }
  int failed = code == Exit::kOk ? world.size() : world.rank();
  int first = 0;
  MPI_Allreduce(&failed, &first, 1, MPI_INT, MPI_MIN, world.comm());
  if (first == world.size()) return;
  int size = static_cast<int>(problem.size());
  int number = static_cast<int>(code);
  MPI_Bcast(&size, 1, MPI_INT, first, world.comm());
  MPI_Bcast(&number, 1, MPI_INT, first, world.comm());
  problem.resize(static_cast<std::size_t>(size));
  MPI_Bcast(problem.data(), size, MPI_CHAR, first, world.comm());
  fail(static_cast<Exit>(number), "{}", problem);
}

std::string broadcast_text(const World& world, std::string text, std::source_location where) {
  const auto guard = world.watch({"agreeing with all ranks"}, where);
  auto size = static_cast<std::int64_t>(text.size());
  MPI_Bcast(&size, 1, MPI_INT64_T, 0, world.comm());
  text.resize(static_cast<std::size_t>(size));
  MPI_Bcast(text.data(), narrow<int>(size), MPI_CHAR, 0, world.comm());
  return text;
}

}  // namespace trireme::comm
