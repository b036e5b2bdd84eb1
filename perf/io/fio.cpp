#include "kernels/base/checked.hpp"
#include "perf/io/measure.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>

#include <unistd.h>

namespace trireme::perf {
namespace {

std::string file_of(const Job& job) { return job.folder + "/aio_bench.fio"; }

std::string output_of(const std::string& command) {
  std::FILE* pipe = ::popen(command.c_str(), "r");
  check(pipe != nullptr, Exit::kFile, "can't start '{}'", command);
  std::string text;
  std::array<char, 4096> part;
  while (const std::size_t got = std::fread(part.data(), 1, part.size(), pipe))
    text.append(part.data(), got);
  const int status = ::pclose(pipe);
  check(status == 0, Exit::kFile, "fio failed with status {}: {}", status, text);
  return text;
}

}  // namespace

bool have_fio() { return std::system("fio --version >/dev/null 2>&1") == 0; }

double fio(Traffic traffic, const Job& job, Pages pages) {
  const io::aio::Settings& settings = job.settings;
  const std::int64_t part =
      job.bytes / settings.threads / settings.block_size * settings.block_size;
  const char* kind = traffic == Traffic::mixed ? "rw --rwmixread=50" : name_of(traffic);
  const auto result = nlohmann::json::parse(output_of(fmt::format(
      "GLIBC_TUNABLES=glibc.malloc.hugetlb={} fio --name=aio_bench --filename='{}' "
      "--ioengine=libaio --direct=1 --thread --rw={} --bs={} "
      "--iodepth={} --numjobs={} --size={} --offset_increment={} --overwrite=1 --fallocate=posix "
      "--group_reporting --output-format=json",
      pages == Pages::huge ? 1 : 0, file_of(job), kind, settings.block_size, settings.queue_depth,
      settings.threads, part, part)));
  double bytes = 0;
  double milliseconds = 0;
  for (const char* direction : {"read", "write"}) {
    const nlohmann::json& side = result.at("jobs").at(0).at(direction);
    bytes += side.at("io_bytes").get<double>();
    milliseconds = std::max(milliseconds, side.at("runtime").get<double>());
  }
  return 1e3 * bytes / std::max(milliseconds, 1.0);
}

void remove_fio_file(const Job& job) { ::unlink(file_of(job).c_str()); }

}  // namespace trireme::perf
