// What the scheduler measured comes into the parts of a report, and nothing else does.

#include "lib/report/usage.hpp"
#include "io/metrics/write_file.hpp"
#include "lib/report/report.hpp"
#include "validation/unit/report/sample_report.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace trireme::report {
namespace {

TEST(Usage, EachPartTakesItsOwnLine) {
  const auto folder = sample::fresh_folder("usage");
  sample::Sample made = sample::make(2, 1, 1, 20);
  Part part;
  part.job = "17";
  part.scheduler = "slurm";
  made.report.parts = {part, part, part};
  for (std::size_t i = 0; i < 3; ++i) made.report.parts[i].restarts = static_cast<int>(i);
  std::filesystem::create_directories(folder);
  io::write_file_atomically(
      folder / kUsageName,
      "{\"job\":\"17\",\"restarts\":0,\"memory\":2048,\"energy\":null,\"source\":\"sstat\"}\n"
      "{\"job\":\"17\",\"restarts\":1,\"memory\":null,\"energy\":14100,\"source\":\"sacct\"}\n"
      "{\"job\":\"99\",\"restarts\":2,\"memory\":1,\"energy\":1,\"source\":\"another job\"}\n"
      "{\"job\":\"17\",\"restarts\":2,\"memo");  // killed while it wrote
  add_usage(made.report, folder);
  const auto& parts = made.report.parts;
  EXPECT_EQ(parts[0].memory, 2048);
  EXPECT_TRUE(std::isnan(parts[0].energy));
  EXPECT_EQ(parts[0].usage, "sstat");
  EXPECT_EQ(usage_text(parts[0]), "2.00 KiB");
  EXPECT_FALSE(parts[1].memory.has_value());
  EXPECT_EQ(parts[1].energy, 14100);
  EXPECT_EQ(usage_text(parts[1]), "14.1 kJ");
  EXPECT_FALSE(parts[2].memory.has_value());
  EXPECT_EQ(parts[2].usage, "");
  EXPECT_EQ(usage_text(parts[2]), "");
  const std::string page = to_html(made.report, made.log);
  EXPECT_NE(page.find("14.1 kJ"), std::string::npos);
  EXPECT_NE(page.find("by the scheduler: sacct; sstat."), std::string::npos);
}

TEST(Usage, AReportIsWrittenAnewWithIt) {
  const auto folder = sample::fresh_folder("usage_refresh");
  sample::Sample made = sample::make(2, 1, 1, 20);
  std::filesystem::create_directories(folder);
  sample::write_run(folder, made);
  const RunReport before = read_report(folder);
  ASSERT_FALSE(before.parts.empty());
  const Part& part = before.parts.back();
  const auto line = "{\"job\":\"" + part.job + "\",\"restarts\":" + std::to_string(part.restarts) +
                    ",\"memory\":4096,\"energy\":7,\"source\":\"sacct\"}\n";
  refresh_report(folder);
  EXPECT_EQ(to_json(read_report(folder)), to_json(before));
  io::write_file_atomically(folder / kUsageName, line);
  refresh_report(folder);
  EXPECT_EQ(read_report(folder).parts.back().memory, 4096);
  EXPECT_EQ(read_report(folder).parts.back().energy, 7);
}

}  // namespace
}  // namespace trireme::report
