#include "lib/plan/scaling_study.hpp"

#include "io/metrics/log_records.hpp"
#include "kernels/base/error.hpp"
#include "lib/deck/draft.hpp"
#include "lib/engine/setup.hpp"
#include "lib/plan/job_layout.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <set>

namespace trireme::plan {
namespace {

using report::StudyPoint;

std::vector<std::string_view> parts_of(std::string_view text, char between) {
  std::vector<std::string_view> parts;
  for (std::size_t begin = 0, end = 0; end != std::string_view::npos; begin = end + 1) {
    end = text.find(between, begin);
    parts.push_back(text.substr(begin, end - begin));
  }
  return parts;
}

/// A number from 1, and nothing else.
std::optional<std::int64_t> read_count(std::string_view text) {
  std::int64_t count = 0;
  const auto [end, trouble] = std::from_chars(text.data(), text.data() + text.size(), count);
  if (trouble != std::errc() || end != text.data() + text.size() || count < 1) return std::nullopt;
  return count;
}

/// What the deck says of its batch; 0: open.
struct Batch {
  std::int64_t global = 0;
  std::int64_t micro = 0;
  std::int64_t accumulation = 0;
};

std::string one_line(std::string text) {
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

/// Nodes and ranks of each; why there are none.
std::string spread(StudyPoint& point, const Machine& machine) {
  const std::int64_t full = machine.ranks_per_node;
  point.ranks_per_node = point.ranks;
  if (machine.scheduler == "none" || point.ranks <= full) return "";
  point.ranks_per_node = full;
  point.nodes = point.ranks / full;
  if (point.ranks % full != 0)
    return fmt::format("{} ranks do not fill nodes of {} ranks", point.ranks, full);
  if (point.nodes > machine.nodes)
    return fmt::format("{} nodes were asked for, {} has {}", point.nodes, machine.name,
                       machine.nodes);
  return "";
}

/// Grid and batch triple; why there are none.
std::string divide(StudyPoint& point, const Batch& batch) {
  const std::int64_t share = point.tensor * point.pipeline;
  if (point.ranks % share != 0)
    return fmt::format("{} ranks do not divide into tensor {} x pipeline {}", point.ranks,
                       point.tensor, point.pipeline);
  point.data = point.ranks / share;
  point.micro = batch.micro;
  if (batch.micro == 0) {
    const std::int64_t parts = point.data * std::max<std::int64_t>(1, batch.accumulation);
    if (point.batch % parts != 0)
      return fmt::format("a batch of {} does not divide into {} replicas x {} micro-batches",
                         point.batch, point.data, parts / point.data);
    point.micro = point.batch / parts;
  }
  if (point.batch % (point.micro * point.data) != 0)
    return fmt::format("a batch of {} does not divide into micro-batches of {} on {} replicas",
                       point.batch, point.micro, point.data);
  return "";
}

std::vector<std::string> settings_of(const StudyPoint& point, std::int64_t steps) {
  return {fmt::format("parallel.data={}", point.data),
          fmt::format("parallel.tensor={}", point.tensor),
          fmt::format("parallel.pipeline={}", point.pipeline),
          "elasticity.enabled=false",
          fmt::format("train_batch_size={}", point.batch),
          fmt::format("train_micro_batch_size_per_gpu={}", point.micro),
          fmt::format("gradient_accumulation_steps={}", point.batch / point.data / point.micro),
          fmt::format("run.max_steps={}", steps),
          "run.eval_every=0",
          "run.eval_samples=1",
          "checkpoint.every_steps=0",
          "checkpoint.at_end=false",
          "report.timeline=true",  // the measured bubble comes from it
          "report.expect.validation_loss=null"};
}

/// Compiles and checks the deck as the point runs it; why it does not go.
std::string try_out(const StudyPoint& point, const deck::Source& source, const Machine& machine,
                    const std::vector<std::string>& all) {
  try {
    const engine::Setup setup(deck::load(source, all, point.ranks));
    check_memory(setup, machine, point.ranks_per_node);
    return "";
  } catch (const Error& error) {
    if (error.code() != Exit::kUsage) throw;
    return one_line(error.text());
  }
}

Batch batch_of(const deck::Draft& draft) {
  const Batch batch{draft.known("train_batch_size").value_or(0),
                    draft.known("train_micro_batch_size_per_gpu").value_or(0),
                    draft.known("gradient_accumulation_steps").value_or(0)};
  check(batch.global > 0, Exit::kUsage,
        "a scaling study keeps or grows the deck's global batch, and this deck leaves it open: "
        "add --set train_batch_size=N");
  return batch;
}

std::int64_t samples_of_rank(const StudyRequest& request, const Batch& batch) {
  if (request.samples_per_rank > 0) return request.samples_per_rank;
  const std::int64_t fewest = *std::min_element(request.ranks.begin(), request.ranks.end());
  check(batch.global % fewest == 0, Exit::kUsage,
        "weak scaling keeps the samples a rank, and the batch of {} does not divide over the {} "
        "ranks it starts with: say --samples-per-rank",
        batch.global, fewest);
  return batch.global / fewest;
}

void check_request(const StudyRequest& request) {
  check(!request.ranks.empty() && (request.strong || request.weak), Exit::kUsage,
        "a scaling study wants numbers of ranks, and to be strong or weak or both");
  check(request.steps >= 3, Exit::kUsage,
        "expected at least 3 steps a point, the first one warms up, found {}", request.steps);
}

}  // namespace

ScalingStudy plan_study(const deck::Source& source, const std::vector<std::string>& overrides,
                        const Machine& machine, const StudyRequest& request) {
  check_request(request);
  const deck::Draft draft = deck::read_draft(source, overrides);
  draft.mistakes.throw_if_any();
  const Batch batch = batch_of(draft);
  std::vector<StudyRequest::Grid> grids = request.grids;
  if (grids.empty())
    grids.push_back(
        {draft.known("parallel.tensor").value_or(1), draft.known("parallel.pipeline").value_or(1)});
  ScalingStudy planned;
  planned.study = {source.path.stem().string(),
                   machine.name,
                   machine.description,
                   io::utc_now(),
                   request.steps,
                   {}};
  bool any = false;
  const auto add = [&](StudyPoint point) {
    point.threads = request.threads > 0 ? request.threads : machine.threads_per_rank();
    point.refused = spread(point, machine);
    if (point.refused.empty()) point.refused = divide(point, batch);
    std::vector<std::string> settings;
    if (point.refused.empty()) {
      settings = settings_of(point, request.steps);
      std::vector<std::string> all = overrides;
      all.insert(all.end(), settings.begin(), settings.end());
      point.refused = try_out(point, source, machine, all);
    }
    any = any || point.refused.empty();
    planned.study.points.push_back(std::move(point));
    planned.settings.push_back(std::move(settings));
  };
  const std::int64_t samples = request.weak ? samples_of_rank(request, batch) : 0;
  for (const char* kind : {"strong", "weak"}) {
    const bool strong = kind == std::string_view("strong");
    if (!(strong ? request.strong : request.weak)) continue;
    for (const StudyRequest::Grid& grid : grids)
      for (const std::int64_t ranks : request.ranks) {
        StudyPoint point;
        point.kind = kind;
        point.ranks = ranks;
        point.tensor = grid.tensor;
        point.pipeline = grid.pipeline;
        point.batch = strong ? batch.global : samples * ranks;
        point.run = fmt::format("points/ranks{}-tensor{}-pipeline{}-batch{}", ranks, grid.tensor,
                                grid.pipeline, point.batch);
        add(std::move(point));
      }
  }
  check(any, Exit::kUsage, "no point of the study can be run:\n{}", study_text(planned));
  return planned;
}

std::vector<std::int64_t> read_counts(std::string_view text, std::string_view what) {
  std::set<std::int64_t> counts;
  for (const std::string_view part : parts_of(text, ',')) {
    const auto count = read_count(part);
    check(count.has_value(), Exit::kUsage,
          "{} wants numbers from 1 with commas between, such as 1,2,4; found '{}'", what, text);
    counts.insert(*count);
  }
  return {counts.begin(), counts.end()};
}

std::vector<StudyRequest::Grid> read_grids(std::string_view text) {
  std::vector<StudyRequest::Grid> grids;
  for (const std::string_view part : parts_of(text, ',')) {
    const auto axes = parts_of(part, 'x');
    const auto tensor = axes.size() == 2 ? read_count(axes[0]) : std::nullopt;
    const auto pipeline = axes.size() == 2 ? read_count(axes[1]) : std::nullopt;
    check(tensor && pipeline, Exit::kUsage,
          "--grids wants TENSORxPIPELINE with commas between, such as 1x1,2x1; found '{}'", text);
    grids.push_back({*tensor, *pipeline});
  }
  return grids;
}

std::string shell_text(const ScalingStudy& study) {
  std::string text;
  std::set<std::string> seen;
  for (std::size_t i = 0; i < study.study.points.size(); ++i) {
    const StudyPoint& point = study.study.points[i];
    if (!point.refused.empty() || !seen.insert(point.run).second) continue;
    text += fmt::format("point {} {} {} {} {}", shell_word(point.run), point.nodes, point.ranks,
                        point.ranks_per_node, point.threads);
    for (const std::string& one : study.settings[i]) text += " --set " + shell_word(one);
    text += '\n';
  }
  return text;
}

std::string study_text(const ScalingStudy& study) {
  std::string text;
  for (const StudyPoint& point : study.study.points)
    text += fmt::format("{:<6} {:>5} rank{} on {} node{}: tensor {} x pipeline {}, batch {}{}\n",
                        point.kind, point.ranks, point.ranks == 1 ? " " : "s", point.nodes,
                        point.nodes == 1 ? "" : "s", point.tensor, point.pipeline, point.batch,
                        point.refused.empty()
                            ? fmt::format(" = micro {} x data {} x {}", point.micro, point.data,
                                          point.batch / point.data / point.micro)
                            : "; not run: " + point.refused);
  return text;
}

}  // namespace trireme::plan
