#pragma once
// A made-up run with numbers that fit together, to test and to look at pages with.

#include "lib/report/report.hpp"

namespace trireme::report::sample {

struct Sample {
  RunReport report;
  io::LogContents log;
};

/// A LLaMA of 5 M parameters on data x tensor x pipeline ranks, `steps` long; the timeline follows
/// 1F1B with `micro_batches`. A pure function of its arguments.
Sample make(int data, int tensor, int pipeline, std::int64_t steps, int micro_batches = 4);

/// Writes the log and the report of `sample` as a run folder.
void write_run(const std::filesystem::path& run_dir, const Sample& sample);

/// A fresh folder of this name under the build's test folder.
std::filesystem::path fresh_folder(const std::string& name);

}  // namespace trireme::report::sample
