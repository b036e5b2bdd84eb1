#pragma once
// What the scheduler measured of a run's parts. Job scripts ask it when a part has ended and add a
// line to usage.jsonl of the run folder; the report takes these in.

#include "lib/report/run_report.hpp"

#include <filesystem>

namespace trireme::report {

inline constexpr char kUsageName[] = "usage.jsonl";

/// Fills memory, energy and usage of the parts that usage.jsonl has a line of; without the file
/// nothing changes. Lines that are no records (a kill cut them short) are left out.
void add_usage(RunReport& report, const std::filesystem::path& run_dir);

/// Writes report.json of the folder anew with what the scheduler measured, and report.html where
/// there is one. Error(kFile).
void refresh_report(const std::filesystem::path& run_dir);

/// "1.2 GiB, 14.1 kJ", or what is known of it; empty where the scheduler was not asked.
std::string usage_text(const Part& part);

}  // namespace trireme::report
