#include "validation/unit/report/sample_report.hpp"

#include "validation/unit/report/sample_timeline.hpp"

#include "trireme_paths.hpp"

#include <fmt/format.h>

#include <cmath>

namespace trireme::report::sample {
namespace {

/// Noise in [-1, 1) that depends on nothing but its argument.
double noise(std::int64_t i) {
  std::uint64_t x = static_cast<std::uint64_t>(i) * 0x9E3779B97F4A7C15ULL + 0x1234567ULL;
  x ^= x >> 31;
  x *= 0xBF58476D1CE4E5B9ULL;
  x ^= x >> 29;
  return static_cast<double>(x >> 11) / static_cast<double>(1ULL << 52) - 1;
}

constexpr std::int64_t kBatchTokens = 2048;
constexpr double kPeak = 152.4e9;

double loss_at(std::int64_t step) {
  return 2.9 + 6.1 * std::pow(1 + static_cast<double>(step) / 25.0, -0.62);
}

io::LogContents make_log(std::int64_t steps, double flops_per_token) {
  io::LogContents log;
  for (std::int64_t step = 1; step <= steps; ++step) {
    const double seconds =
        (step == 1 ? 1.9 : 0.84) + 0.03 * noise(step) + (step % 97 == 0 ? 0.5 : 0.0);
    const double rate = static_cast<double>(kBatchTokens) / seconds;
    log.steps.push_back({.step = step,
                         .tokens = step * kBatchTokens,
                         .loss = loss_at(step) + 0.06 * noise(1000 + step),
                         .grad_norm = 0.6 + 3.0 / static_cast<double>(step) + 0.1 * noise(2 * step),
                         .lr = 3e-4 * std::min(1.0, static_cast<double>(step) / 40.0),
                         .loss_scale = 1,
                         .seconds = seconds,
                         .tokens_per_second = rate,
                         .mfu = rate * flops_per_token / kPeak});
    if (step % std::max<std::int64_t>(1, steps / 12) == 0) {
      log.evaluations.push_back(
          {step, step * kBatchTokens, loss_at(step) + 0.05, 65536, 1.4, "2026-11-21T12:00:00Z"});
    }
  }
  return log;
}

struct Purpose {
  const char* tier;
  const char* name;
  std::int64_t bytes;
};

void fill_memory(RunReport& report) {
  constexpr Purpose kPurposes[] = {
      {"host", "weights", 5 << 20},       {"host", "gradients", 5 << 20},
      {"host", "optimizer", 15 << 20},    {"host", "activations", 38 << 20},
      {"host", "communication", 9 << 20}, {"host", "tokens", 1 << 20}};
  for (int rank = 0; rank < report.world_size; ++rank) {
    const int stage = rank / (report.grid.tensor * report.grid.data);
    for (const Purpose& purpose : kPurposes) {
      // Early stages hold more micro-batches in flight.
      const std::int64_t planned = std::string(purpose.name) == "activations"
                                       ? purpose.bytes * (report.grid.pipeline - stage)
                                       : purpose.bytes;
      report.memory.push_back({rank, purpose.tier, purpose.name, planned, planned - planned / 64});
    }
    std::int64_t arena = 0;
    for (const Memory& entry : report.memory)
      if (entry.rank == rank) arena += entry.planned;
    report.arena.push_back({rank, "host", arena, arena, arena});
    report.resident_base.push_back(60LL << 20);
    report.resident_steady.push_back((129LL << 20) + (std::int64_t{stage} << 22));
    report.peak_rss.push_back((140LL << 20) + (std::int64_t{stage} << 22));
    report.resident.push_back((130LL << 20) + (std::int64_t{stage} << 22));
  }
}

void fill_tables(RunReport& report) {
  report.comm = {{"all-reduce", "tensor", 48LL << 30, 19200, 61.2},
                 {"reduce-scatter", "data", 6LL << 30, 2400, 14.9},
                 {"all-gather", "data", 6LL << 30, 2400, 11.3},
                 {"send", "pipeline", 3LL << 30, 3200, 4.1},
                 {"receive", "pipeline", 3LL << 30, 3200, 29.7},
                 {"all-reduce", "world", 12800, 400, 2.2}};
  report.io = {{"read", "tokens", 26 << 20, 400, 0.31}, {"write", "log", 96 << 10, 433, 0.02}};
  const double mean = report.step_seconds.mean;
  const auto region = [&](const char* name, std::int64_t calls, double share, double spread) {
    const double avg = share * mean;
    report.regions.push_back({name, calls, avg * (1 - spread), avg, avg * (1 + spread)});
  };
  region("forward", 24, 0.262, 0.06);
  region("backward", 24, 0.498, 0.05);
  region("update", 6, 0.041, 0.02);
  region("wait for receive", 8, 0.113, 0.6);
  region("wait for tensor all-reduce", 48, 0.052, 0.3);
  region("wait for gradients", 6, 0.027, 0.4);
  region("wait for tokens", 1, 0.003, 0.9);
  region("log and schedule", 1, 0.004, 0.5);
}

void fill_environment(RunReport& report) {
  report.environment = {.host = "node-01",
                        .cpu = "AMD EPYC 9R14 96-Core Processor",
                        .isa = "avx2",
                        .threads = 1,
                        .compiler = "g++ 12.2.0, -O3 -march=x86-64-v3",
                        .libraries = {{"Open MPI", "4.1.4"},
                                      {"oneDNN", "2.6.3"},
                                      {"Kokkos", "3.4.1"},
                                      {"HDF5", "1.10.8"}},
                        .started = "2026-11-21T12:00:00Z",
                        .finished = "2026-11-21T12:05:52Z"};
  report.warnings = {
      "bf16 products are not available on this CPU: products run in fp32, storage is bf16",
      "gradient_clipping is absent: no clipping (DeepSpeed before 0.9 clipped at 1.0)"};
  report.exit = {"reached run.max_steps", 0};
  report.expect = judge("validation_loss", 3.0, 4.2, report.loss.validation);
  report.deck =
      "{\n  // LLaMA on a dictionary\n  \"model\": {\"family\": \"llama\", \"layers\": 6, "
      "\"width\": 256},\n  \"train_batch_size\": 64,\n  \"data\": {\"path\": "
      "\"../corpus/<gcide>.h5\"}\n}\n";
}

}  // namespace

Sample make(int data, int tensor, int pipeline, std::int64_t steps, int micro_batches) {
  Sample sample;
  RunReport& report = sample.report;
  report.app = "trireme-pretrain";
  report.version = "0.1.0";
  report.git = "5ba4acb";
  report.command = "mpirun -n 8 trireme-pretrain inputs/pretrain/dictionary_tiny.json";
  report.title = "dictionary_tiny";
  report.grid = {data, tensor, pipeline, 1, micro_batches, "1f1b", false};
  report.world_size = data * tensor * pipeline;
  report.nodes = (report.world_size + 63) / 64;
  report.device = "cpu";
  report.dtype = "bf16";
  report.model = {"llama", 5242880, 34.6e6, 6, 256, 8, 256, 8192, kBatchTokens};
  report.peak = {kPeak, "oneDNN fp32 1024 x 1024 x 1024, 8 ranks at once, measured 2026-11-21"};
  sample.log = make_log(steps, report.model.flops_per_token);
  fill_from_log(report, sample.log);
  report.seconds = 351.8;
  Part preempted;
  preempted.first_step = 1;
  preempted.last_step = steps / 2;
  preempted.ranks = report.world_size;
  preempted.nodes = report.nodes;
  preempted.scheduler = "slurm";
  preempted.job = "7";
  preempted.queue = "low";
  Part last = preempted;
  preempted.hosts = "node[1-4]";
  preempted.queue_seconds = 62;
  preempted.started = "2026-11-21T12:00:00Z";
  preempted.finished = "2026-11-21T12:03:00Z";
  preempted.reason = "SIGTERM";
  preempted.code = 10;
  last.first_step = steps / 2 + 1;
  last.last_step = steps;
  last.hosts = "node[3-6]";
  last.restarts = 1;
  last.queue_seconds = 11;
  last.started = "2026-11-21T12:04:00Z";
  report.parts = {preempted, last};
  report.timeline = make_timeline(report.grid, report.world_size, steps / 2);
  report.bubble = {static_cast<double>(pipeline - 1) / (micro_batches + pipeline - 1),
                   measured_bubble(report.timeline)};
  fill_memory(report);
  fill_tables(report);
  for (const std::int64_t step : {steps / 2, steps}) {
    report.checkpoints.push_back(
        {step, fmt::format("checkpoints/step-{:08}", step), 62LL << 20, 0.41 + 0.1 * noise(step)});
  }
  fill_environment(report);
  return sample;
}

std::filesystem::path fresh_folder(const std::string& name) {
  const std::filesystem::path folder =
      std::filesystem::path(trireme::kBinaryDir) / "test-report" / name;
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  return folder;
}

void write_run(const std::filesystem::path& run_dir, const Sample& sample) {
  auto log = io::LogFile::open(run_dir);
  auto evaluation = sample.log.evaluations.begin();
  for (const auto& step : sample.log.steps) {
    log.write(step);
    for (; evaluation != sample.log.evaluations.end() && evaluation->step == step.step;
         ++evaluation) {
      log.write(io::LogRecord(*evaluation));
    }
  }
  write_report(run_dir, sample.report);
}

}  // namespace trireme::report::sample
