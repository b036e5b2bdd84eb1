#pragma once
// What a scaling study set out to do: study.json in its folder, written when it is planned. What it
// found is in the report.json of its runs.

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace trireme::report {

inline constexpr char kStudyName[] = "study.json";

/// Strong: the global batch stays. Weak: the samples a rank stay.
struct StudyPoint {
  std::string kind;  ///< "strong", "weak"
  std::string run;   ///< its run folder below the study's; points of both kinds may share one
  std::int64_t ranks = 1;
  std::int64_t nodes = 1;
  std::int64_t ranks_per_node = 1;
  std::int64_t threads = 1;  ///< a rank
  std::int64_t data = 0;     ///< axes of the grid; data is 0 where the ranks do not divide
  std::int64_t tensor = 1;
  std::int64_t pipeline = 1;
  std::int64_t batch = 0;  ///< samples a step
  std::int64_t micro = 0;  ///< samples a micro-batch and replica
  std::string refused;     ///< why it is not run; empty: it is
};

struct Study {
  std::string deck;     ///< its file's name
  std::string machine;  ///< its file's name, or the host's
  std::string description;
  std::string planned;  ///< UTC
  std::int64_t steps = 0;
  std::vector<StudyPoint> points;
};

/// Written at once or not at all. Error(kFile).
void write_study(const std::filesystem::path& folder, const Study& study);

/// Error(kFile): no study there, or a damaged one.
Study read_study(const std::filesystem::path& folder);

}  // namespace trireme::report
