// Rows of offload (ZeRO-Offload, ZeRO-Infinity) and asynchronous I/O.
#include "lib/deck/table_sections.hpp"

namespace trireme::deck {

namespace {

Type device() { return choice({"none", "cpu", "nvme"}).or_null(); }

Row pinned(std::string_view path) {
  Row row = idle(path, boolean(), "true", "every tier of a CPU rank is host memory",
                 "page-locked host buffers");
  row.differs = "older DeepSpeed versions default to false";
  return row;
}

std::vector<Row> optimizer_rows() {
  return {
      works("zero_optimization.offload_optimizer.device", device(), "\"none\"", "",
            "where masters, moments and, from stage 2 on, gradients live; at every stage"),
      works("zero_optimization.offload_optimizer.nvme_path", text().or_null().derived(), "null",
            "path",
            "folder on a local NVMe disk; one for optimizer, parameters and activations: given "
            "here or in offload_param; auto = the run's folder"),
      works("zero_optimization.offload_optimizer.buffer_count", integer().from(1), "4", "",
            "sub-groups in host memory at once (nvme with pipeline_read)"),
      pinned("zero_optimization.offload_optimizer.pin_memory"),
      works("zero_optimization.offload_optimizer.pipeline_read", boolean(), "false", "",
            "read the next sub-group while one is updated (nvme)"),
      works("zero_optimization.offload_optimizer.pipeline_write", boolean(), "false", "",
            "write the last sub-group while one is updated (nvme)"),
      idle("zero_optimization.offload_optimizer.fast_init", boolean(), "false",
           "moments on NVMe always start as what the empty file reads, without a first write",
           "moments without a first write"),
      works("zero_optimization.offload_optimizer.ratio", number().from(0).up_to(1), "1.0", "",
            "share of the elements that is offloaded; the rest stays on the device (Twin-Flow). "
            "Here at every stage and tier"),
      not_yet("zero_optimization.offload_optimizer.super_offload", boolean(), "false",
              "false; device cpu updates on the host", "speculative host update"),
      idle("zero_optimization.offload_optimizer.cpuadam_cores_perc", number().from(0).up_to(1),
           "0.8", "the update uses the rank's threads (run.threads)",
           "share of cores for SuperOffload's update"),
      works("zero_optimization.cpu_offload", boolean().or_null(), "null", "",
            "old name of offload_optimizer.device cpu"),
      idle("zero_optimization.cpu_offload_use_pin_memory", boolean().or_null(), "null",
           "every tier of a CPU rank is host memory", "old name of offload's pin_memory"),
      not_yet("zero_optimization.zenflow.*", any(), "null",
              "no section zenflow; offload_optimizer.device cpu updates all columns each step",
              "topk_ratio, select_strategy, select_interval, update_interval, overlap_step, "
              "offload, auto_ratio, full_warm_up_rounds, pt_reserved_cores_perc"),
  };
}

std::vector<Row> parameter_rows() {
  return {
      works("zero_optimization.offload_param.device", device(), "\"none\"", "",
            "where parameters live between their uses; at every stage"),
      works("zero_optimization.offload_param.nvme_path", text().or_null().derived(), "null", "path",
            "folder on a local NVMe disk; the same as offload_optimizer's"),
      works("zero_optimization.offload_param.buffer_count", integer().from(1), "5", "",
            "units read at once (nvme)"),
      works("zero_optimization.offload_param.buffer_size", integer().from(1), "100000000",
            "elements", "most parameters of one transfer (nvme)"),
      works("zero_optimization.offload_param.max_in_cpu", integer().from(0), "1000000000",
            "elements", "parameters that stay in host memory all the same (nvme)"),
      pinned("zero_optimization.offload_param.pin_memory"),
      works("zero_optimization.cpu_offload_param", boolean().or_null(), "null", "",
            "old name of offload_param.device cpu"),
  };
}

std::vector<Row> io_rows() {
  return {
      works("aio.block_size", integer().from(4096).up_to(1 << 30), "1048576", "bytes",
            "of a request; a multiple of 4096"),
      works("aio.queue_depth", integer().from(1).up_to(65536), "8", "",
            "requests in flight a thread"),
      works("aio.intra_op_parallelism", integer().from(1).up_to(256), "1", "",
            "threads that submit requests"),
      works("aio.single_submit", boolean(), "false", "",
            "one request a system call, not all that fit"),
      works("aio.overlap_events", boolean(), "true", "",
            "submit while others complete; false = a batch at a time"),
      not_yet("aio.use_gds", boolean(), "false", "false; libaio with O_DIRECT serves host memory",
              "GPUDirect Storage"),
      ours("aio.checksum", boolean(), "false", "", "blocks are verified when they are read back"),
  };
}

}  // namespace

Section offload_section() {
  return {"Offload and asynchronous I/O",
          "Model state in host memory (cpu) or on NVMe, at every stage and on every grid. "
          "Recomputation's activations: activation_checkpointing.device.",
          joined({optimizer_rows(), parameter_rows(), io_rows()})};
}

}  // namespace trireme::deck
