#pragma once
// The sections of the page, each HTML or empty where the run has no numbers for it.

#include "io/metrics/log_file.hpp"
#include "lib/report/run_report.hpp"

namespace trireme::report {

std::string header_section(const RunReport& report);  ///< title, state, warnings
std::string tiles_section(const RunReport& report);   ///< the run in eight numbers
std::string learning_section(const RunReport& report, const io::LogContents& log);
std::string speed_section(const RunReport& report, const io::LogContents& log);
std::string step_section(const RunReport& report);  ///< one step over ranks and lanes
std::string regions_section(const RunReport& report);
std::string memory_section(const RunReport& report);
std::string traffic_section(const RunReport& report);  ///< communication, files, checkpoints
std::string parts_section(const RunReport& report);    ///< processes of the run, when more than one
std::string setting_section(const RunReport& report);  ///< environment, grid, model, deck

}  // namespace trireme::report
