// trireme-report: the numbers of one run or of many, from report.json and log.jsonl.
//
// Sample runs (apps/report/README.md shows what they print):
//   trireme-report runs/a
//   trireme-report runs/a runs/b --csv
//   trireme-report runs/all --page runs/all.html
//   trireme-report --compare runs/base runs/new --junit runs/compare.xml
//   trireme-report --sweep runs/lr
//   trireme-report --scaling runs/study --page runs/study/scaling.html

#include "io/metrics/write_file.hpp"
#include "io/version.hpp"
#include "kernels/base/error.hpp"
#include "lib/plan/sweep/sweep_table.hpp"
#include "lib/report/compare.hpp"
#include "lib/report/regression.hpp"
#include "lib/report/report.hpp"
#include "lib/report/scaling.hpp"
#include "lib/report/usage.hpp"

#include <CLI/CLI.hpp>

#include <cstdio>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace {

using namespace trireme;

struct Options {
  std::vector<std::string> folders;
  bool html = false;
  bool refresh = false;
  bool csv = false;
  bool steps = false;
  bool json = false;
  bool compare = false;
  bool sweep = false;
  bool scaling = false;
  report::SortBy sort = report::SortBy::loss;
  report::Tolerances tolerances;
  std::string page;
  std::string junit;
};

const std::map<std::string, report::SortBy> kSorts = {{"loss", report::SortBy::loss},
                                                      {"speed", report::SortBy::speed},
                                                      {"memory", report::SortBy::memory},
                                                      {"time", report::SortBy::time},
                                                      {"name", report::SortBy::name}};

void print(const std::string& text) {
  const bool ok = std::fwrite(text.data(), 1, text.size(), stdout) == text.size();
  check(ok && std::fflush(stdout) == 0, Exit::kFile, "can't write {} bytes to standard output",
        text.size());
}

/// What is readable is read; the first trouble decides the exit code.
std::vector<report::Run> read_runs(const std::vector<std::string>& folders, int& worst) {
  std::vector<report::Run> runs;
  for (const std::string& folder : folders) {
    for (const std::filesystem::path& run_dir : report::find_runs(folder)) {
      try {
        runs.push_back(report::read_run(run_dir));
      } catch (const Error& error) {
        std::fprintf(stderr, "trireme-report: %s\n", error.what());
        if (worst == 0) worst = error.exit_code();
      }
    }
  }
  for (const report::Run& one : runs) {
    if (one.log.torn) {
      std::fprintf(stderr, "trireme-report: warning: the last line of %s/%s is torn, left out\n",
                   one.name.c_str(), io::kLogName);
    }
  }
  return runs;
}

/// Fills `options`; an exit code when there is nothing left to do.
std::optional<int> parse(int argc, char** argv, Options& options) {
  CLI::App app("Shows the numbers of runs, side by side when there are several.");
  app.set_version_flag("--version", io::version() + " " + io::commit());
  app.add_option("FOLDER", options.folders, "run folders, or folders of them")->required();
  auto* html = app.add_flag("--html", options.html, "write report.html of each run anew");
  auto* refresh = app.add_flag("--refresh", options.refresh,
                               "take what the scheduler measured into report.json and its page");
  auto* csv = app.add_flag("--csv", options.csv, "one line a run, full precision");
  auto* steps = app.add_flag("--steps", options.steps, "CSV of every step of every run");
  auto* json = app.add_flag("--json", options.json, "the same as --csv in JSON");
  auto* compare = app.add_flag("--compare", options.compare,
                               "judge two sets of runs, BASE and NEW: exit 1 on a regression");
  auto* scaling = app.add_flag("--scaling", options.scaling,
                               "FOLDER is a scaling study's: its numbers, as CSV with --csv");
  auto* sweep = app.add_flag("--sweep", options.sweep,
                             "the folder of a sweep: write sweep.csv, sweep.h5 and sweep.html");
  app.add_option("--page", options.page,
                 "write one page of all runs, of the comparison or of the study");
  app.add_option("--sort", options.sort, "order of table and page: loss, speed, memory, time, name")
      ->transform(CLI::CheckedTransformer(kSorts));
  const auto tolerance = [&](const char* name, double& value, const char* help) {
    app.add_option(name, value, help)
        ->capture_default_str()
        ->needs(compare)
        ->check(CLI::Range(0.0, 10.0));
  };
  tolerance("--loss-tolerance", options.tolerances.loss, "share a loss may differ by");
  tolerance("--throughput-tolerance", options.tolerances.throughput, "the same of tokens/s");
  tolerance("--memory-tolerance", options.tolerances.memory, "the same of the largest rank");
  app.add_option("--junit", options.junit, "write the comparison as JUnit's XML")->needs(compare);
  for (auto* one : {html, refresh, csv, steps, json, compare, sweep}) {
    for (auto* other : {html, refresh, csv, steps, json, compare, sweep}) {
      if (one != other) one->excludes(other);
    }
  }
  for (auto* one : {html, refresh, steps, json, compare, sweep}) scaling->excludes(one);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : static_cast<int>(Exit::kUsage);
  }
  return std::nullopt;
}

int compare(const Options& options) {
  check(options.folders.size() == 2, Exit::kUsage,
        "--compare takes two folders, BASE and NEW, found {}", options.folders.size());
  int worst = 0;
  std::vector<std::vector<report::Run>> sets;
  for (const std::string& folder : options.folders) {
    check(report::is_run(report::find_runs(folder).front()), Exit::kUsage,
          "expected runs in {}, found none", folder);
    sets.push_back(read_runs({folder}, worst));
  }
  report::Comparison comparison = report::compare_sets(sets[0], sets[1], options.tolerances);
  comparison.base_name = options.folders[0];
  comparison.new_name = options.folders[1];
  print(report::comparison_text(comparison));
  if (!options.junit.empty())
    io::write_file_atomically(options.junit, report::comparison_junit(comparison));
  if (!options.page.empty())
    io::write_file_atomically(options.page, report::comparison_page(comparison));
  return worst == 0 && comparison.regressed() ? static_cast<int>(Exit::kUnexpected) : worst;
}

int sweep(const Options& options) {
  check(options.folders.size() == 1, Exit::kUsage,
        "--sweep takes the folder of one sweep, found {}", options.folders.size());
  const std::filesystem::path folder = options.folders.front();
  const plan::SweepResults results = plan::read_results(folder);
  const std::vector<plan::SweepColumn> columns = plan::columns_of(results);
  io::write_file_atomically(folder / "sweep.csv", plan::sweep_csv(columns));
  plan::write_sweep_hdf5(folder / "sweep.h5", results, columns);
  io::write_file_atomically(folder / "sweep.html", plan::sweep_page(results));
  print(plan::sweep_text(results));
  for (const std::string& text : results.unread)
    std::fprintf(stderr, "trireme-report: %s\n", text.c_str());
  return results.unread.empty() ? 0 : static_cast<int>(Exit::kFile);
}

int scaling(const Options& options) {
  check(options.folders.size() == 1, Exit::kUsage, "--scaling takes one study's folder, found {}",
        options.folders.size());
  const report::Scaling study = report::read_scaling(options.folders[0]);
  print(options.csv ? report::scaling_csv(study) : report::scaling_text(study));
  if (!options.page.empty()) io::write_file_atomically(options.page, report::scaling_page(study));
  return 0;
}

int show(const Options& options) {
  int worst = 0;
  if (options.refresh) {
    for (const std::string& folder : options.folders) report::refresh_report(folder);
    return worst;
  }
  const std::vector<report::Run> runs = read_runs(options.folders, worst);
  if (options.html) {
    for (const report::Run& one : runs) {
      report::write_page(one.name, one.report, one.log);
      print((std::filesystem::path(one.name) / report::kPageName).string() + "\n");
    }
  }
  if (options.html || runs.empty()) return worst;
  if (!options.page.empty())
    io::write_file_atomically(options.page, report::runs_page(runs, options.sort));
  if (options.csv) {
    print(report::runs_csv(runs));
  } else if (options.steps) {
    print(report::steps_csv(runs));
  } else if (options.json) {
    print(report::runs_json(runs));
  } else if (runs.size() == 1 && !report::failed(runs.front())) {
    print(report::summary_text(runs.front().report));
  } else {
    print(report::runs_table(runs, options.sort));
  }
  return worst;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  if (const auto done = parse(argc, argv, options)) return *done;
  try {
    if (options.sweep) return sweep(options);
    if (options.scaling) return scaling(options);
    return options.compare ? compare(options) : show(options);
  } catch (const trireme::Error& error) {
    std::fprintf(stderr, "trireme-report: %s\n", error.what());
    return error.exit_code();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "trireme-report: unexpected: %s\n", error.what());
    return static_cast<int>(trireme::Exit::kUnexpected);
  }
}
