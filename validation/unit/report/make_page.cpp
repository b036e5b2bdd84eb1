// Writes a made-up run folder to look at in a browser:
//   make_page FOLDER [data tensor pipeline steps micro_batches]
#include "kernels/base/error.hpp"
#include "validation/unit/report/sample_report.hpp"

#include <cstdio>
#include <cstdlib>

int main(int argc, char** argv) {
  if (argc != 2 && argc != 7) {
    std::fprintf(stderr, "make_page FOLDER [data tensor pipeline steps micro_batches]\n");
    return 2;
  }
  try {
    const auto number = [&](int i, int otherwise) {
      return argc == 7 ? std::atoi(argv[i]) : otherwise;
    };
    const auto run = trireme::report::sample::make(number(2, 2), number(3, 2), number(4, 2),
                                                   number(5, 400), number(6, 4));
    std::filesystem::create_directories(argv[1]);
    trireme::report::sample::write_run(argv[1], run);
    trireme::report::print_summary(run.report);
  } catch (const trireme::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return error.exit_code();
  }
}
