#include "lib/engine/batch_job.hpp"

#include <fmt/format.h>

#include <cstdlib>
#include <fstream>
#include <string>

namespace trireme::engine {
namespace {

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

/// The number in a variable; `otherwise` where there is none.
double number_in(const char* name, double otherwise) {
  const std::string text = variable(name);
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  return text.empty() || *end != '\0' ? otherwise : value;
}

/// PBS lists one line a rank: each host once, in its order.
std::string hosts_of_file(const std::string& path) {
  std::ifstream file(path);
  std::string hosts, last;
  for (std::string host; std::getline(file, host); last = host)
    if (host != last) hosts += fmt::format("{}{}", hosts.empty() ? "" : ",", host);
  return hosts;
}

}  // namespace

io::StartEvent part_of_run(std::int64_t step, std::int64_t ranks, std::int64_t nodes) {
  io::StartEvent job;
  job.step = step;
  job.ranks = ranks;
  job.nodes = nodes;
  if (job.job = variable("SLURM_JOB_ID"); !job.job.empty()) {
    job.scheduler = "slurm";
    job.queue = variable("SLURM_JOB_PARTITION");
    job.hosts = variable("SLURM_JOB_NODELIST");
  } else if (job.job = variable("PBS_JOBID"); !job.job.empty()) {
    job.scheduler = "pbs";
    job.queue = variable("PBS_QUEUE");
    job.hosts = hosts_of_file(variable("PBS_NODEFILE"));
  } else {
    return job;
  }
  const double restarts = number_in("SLURM_RESTART_COUNT", 0);
  job.restarts = static_cast<std::int64_t>(number_in("TRIREME_RESTARTS", restarts));
  job.queue_seconds = number_in("TRIREME_QUEUE_SECONDS", io::kUnknown);
  return job;
}

}  // namespace trireme::engine
