// trireme-report: the numbers of one run or of many, from report.json and log.jsonl.
//
// Sample runs (apps/report/README.md shows what they print):
//   trireme-report runs/a
//   trireme-report runs/a runs/b --csv
//   trireme-report runs/a --html

#include "io/version.hpp"
#include "kernels/base/error.hpp"
#include "lib/report/compare.hpp"
#include "lib/report/report.hpp"

#include <CLI/CLI.hpp>

#include <cstdio>
#include <string>
#include <vector>

namespace {

using namespace trireme;

struct Options {
  std::vector<std::string> run_dirs;
  bool html = false;
  bool csv = false;
  bool steps = false;
  bool json = false;
};

void print(const std::string& text) {
  const bool ok = std::fwrite(text.data(), 1, text.size(), stdout) == text.size();
  check(ok && std::fflush(stdout) == 0, Exit::kFile, "can't write {} bytes to standard output",
        text.size());
}

/// What is readable is shown; the first trouble decides the exit code.
std::vector<report::Run> read_runs(const std::vector<std::string>& run_dirs, int& worst) {
  std::vector<report::Run> runs;
  for (const std::string& run_dir : run_dirs) {
    try {
      runs.push_back(report::read_run(run_dir));
    } catch (const Error& error) {
      std::fprintf(stderr, "trireme-report: %s\n", error.what());
      if (worst == 0) worst = error.exit_code();
    }
  }
  return runs;
}

int run(int argc, char** argv) {
  // 1. The command line.
  Options options;
  CLI::App app("Shows the numbers of runs, side by side when there are several.");
  app.set_version_flag("--version", io::version() + " " + io::commit());
  app.add_option("RUN_DIR", options.run_dirs, "run folders, each with report.json and log.jsonl")
      ->required();
  auto* html = app.add_flag("--html", options.html, "write report.html of each run anew");
  auto* csv = app.add_flag("--csv", options.csv, "one line a run, full precision");
  auto* steps = app.add_flag("--steps", options.steps, "CSV of every step of every run");
  auto* json = app.add_flag("--json", options.json, "the same as --csv in JSON");
  for (auto* one : {html, csv, steps, json}) {
    for (auto* other : {html, csv, steps, json}) {
      if (one != other) one->excludes(other);
    }
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : static_cast<int>(Exit::kUsage);
  }

  // 2. The files.
  int worst = 0;
  const std::vector<report::Run> runs = read_runs(options.run_dirs, worst);
  for (const report::Run& one : runs) {
    if (one.log.torn) {
      std::fprintf(stderr, "trireme-report: warning: the last line of %s/%s is torn, left out\n",
                   one.name.c_str(), io::kLogName);
    }
  }

  // 3. The answer.
  if (options.html) {
    for (const report::Run& one : runs) {
      report::write_page(one.name, one.report, one.log);
      print((std::filesystem::path(one.name) / report::kPageName).string() + "\n");
    }
  } else if (runs.empty()) {
    return worst;
  } else if (options.csv) {
    print(report::runs_csv(runs));
  } else if (options.steps) {
    print(report::steps_csv(runs));
  } else if (options.json) {
    print(report::runs_json(runs));
  } else if (runs.size() == 1) {
    print(report::summary_text(runs.front().report));
  } else {
    print(report::runs_table(runs));
  }
  return worst;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const trireme::Error& error) {
    std::fprintf(stderr, "trireme-report: %s\n", error.what());
    return error.exit_code();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "trireme-report: unexpected: %s\n", error.what());
    return static_cast<int>(trireme::Exit::kUnexpected);
  }
}
