#pragma once
// The one list of report.json's keys, in the file's order: fields(f, struct) calls f(key, member)
// for each. Writing and reading both go through it.

#include "lib/report/run_report.hpp"

#include <concepts>
#include <type_traits>

namespace trireme::report {

template <class T, class Struct>
concept Like = std::same_as<std::remove_const_t<T>, Struct>;

template <class F>
void fields(F&& f, Like<Grid> auto& grid) {
  f("data", grid.data);
  f("tensor", grid.tensor);
  f("pipeline", grid.pipeline);
  f("virtual_stages", grid.virtual_stages);
  f("micro_batches", grid.micro_batches);
  f("schedule", grid.schedule);
  f("sequence_parallel", grid.sequence_parallel);
}

template <class F>
void fields(F&& f, Like<Model> auto& model) {
  f("family", model.family);
  f("parameters", model.parameters);
  f("flops_per_token", model.flops_per_token);
  f("layers", model.layers);
  f("width", model.width);
  f("heads", model.heads);
  f("context", model.context);
  f("vocabulary", model.vocabulary);
  f("batch_tokens", model.batch_tokens);
}

template <class F>
void fields(F&& f, Like<Loss> auto& loss) {
  f("first", loss.first);
  f("last", loss.last);
  f("validation", loss.validation);
}

template <class F>
void fields(F&& f, Like<StepSeconds> auto& step) {
  f("median", step.median);
  f("p5", step.p5);
  f("p95", step.p95);
  f("min", step.min);
  f("mean", step.mean);
  f("count", step.count);
}

template <class F>
void fields(F&& f, Like<Peak> auto& peak) {
  f("flops", peak.flops);
  f("source", peak.source);
}

template <class F>
void fields(F&& f, Like<Memory> auto& memory) {
  f("rank", memory.rank);
  f("tier", memory.tier);
  f("purpose", memory.purpose);
  f("planned", memory.planned);
  f("used", memory.used);
}

template <class F>
void fields(F&& f, Like<Arena> auto& arena) {
  f("rank", arena.rank);
  f("tier", arena.tier);
  f("planned", arena.planned);
  f("used", arena.used);
  f("in_memory", arena.in_memory);
}

template <class F>
void fields(F&& f, Like<Comm> auto& comm) {
  f("op", comm.op);
  f("group", comm.group);
  f("bytes", comm.bytes);
  f("calls", comm.calls);
  f("seconds", comm.seconds);
}

template <class F>
void fields(F&& f, Like<Io> auto& io) {
  f("op", io.op);
  f("what", io.what);
  f("bytes", io.bytes);
  f("calls", io.calls);
  f("seconds", io.seconds);
}

template <class F>
void fields(F&& f, Like<Region> auto& region) {
  f("name", region.name);
  f("calls", region.calls);
  f("min", region.min);
  f("avg", region.avg);
  f("max", region.max);
}

template <class F>
void fields(F&& f, Like<Bubble> auto& bubble) {
  f("predicted", bubble.predicted);
  f("measured", bubble.measured);
}

template <class F>
void fields(F&& f, Like<Checkpoint> auto& checkpoint) {
  f("step", checkpoint.step);
  f("path", checkpoint.path);
  f("bytes", checkpoint.bytes);
  f("seconds", checkpoint.seconds);
}

template <class F>
void fields(F&& f, Like<ExitRecord> auto& record) {
  f("reason", record.reason);
  f("code", record.code);
}

template <class F>
void fields(F&& f, Like<Part> auto& part) {
  f("first_step", part.first_step);
  f("last_step", part.last_step);
  f("ranks", part.ranks);
  f("nodes", part.nodes);
  f("scheduler", part.scheduler);
  f("job", part.job);
  f("queue", part.queue);
  f("hosts", part.hosts);
  f("restarts", part.restarts);
  f("queue_seconds", part.queue_seconds);
  f("started", part.started);
  f("finished", part.finished);
  f("reason", part.reason);
  f("code", part.code);
  f("memory", part.memory);
  f("energy", part.energy);
  f("usage", part.usage);
}

template <class F>
void fields(F&& f, Like<Span> auto& span) {
  f("rank", span.rank);
  f("lane", span.lane);
  f("kind", span.kind);
  f("label", span.label);
  f("start", span.start);
  f("end", span.end);
}

template <class F>
void fields(F&& f, Like<Timeline> auto& timeline) {
  f("step", timeline.step);
  f("spans", timeline.spans);
}

template <class F>
void fields(F&& f, Like<Environment> auto& environment) {
  f("host", environment.host);
  f("cpu", environment.cpu);
  f("isa", environment.isa);
  f("threads", environment.threads);
  f("machines", environment.machines);
  f("cores", environment.cores);
  f("compiler", environment.compiler);
  f("libraries", environment.libraries);
  f("started", environment.started);
  f("finished", environment.finished);
}

template <class F>
void fields(F&& f, Like<Expect> auto& expect) {
  f("quantity", expect.quantity);
  f("low", expect.low);
  f("high", expect.high);
  f("found", expect.found);
  f("verdict", expect.verdict);
}

template <class F>
void fields(F&& f, Like<RunReport> auto& report) {
  f("app", report.app);
  f("version", report.version);
  f("git", report.git);
  f("command", report.command);
  f("title", report.title);
  f("grid", report.grid);
  f("world_size", report.world_size);
  f("nodes", report.nodes);
  f("device", report.device);
  f("dtype", report.dtype);
  f("model", report.model);
  f("tokens", report.tokens);
  f("steps", report.steps);
  f("seconds", report.seconds);
  f("loss", report.loss);
  f("step_seconds", report.step_seconds);
  f("tokens_per_second", report.tokens_per_second);
  f("mfu", report.mfu);
  f("peak", report.peak);
  f("memory", report.memory);
  f("arena", report.arena);
  f("peak_rss", report.peak_rss);
  f("resident", report.resident);
  f("resident_base", report.resident_base);
  f("resident_steady", report.resident_steady);
  f("comm", report.comm);
  f("io", report.io);
  f("regions", report.regions);
  f("bubble", report.bubble);
  f("checkpoints", report.checkpoints);
  f("warnings", report.warnings);
  f("exit", report.exit);
  f("parts", report.parts);
  f("timeline", report.timeline);
  f("environment", report.environment);
  f("expect", report.expect);
  f("deck", report.deck);
}

}  // namespace trireme::report
