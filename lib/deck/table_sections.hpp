#pragma once
// The sections of the deck table, each made in its own file.

#include "lib/deck/table.hpp"

namespace trireme::deck {

Section model_section();        // table_model.cpp
Section data_section();         // table_model.cpp
Section batch_section();        // table_run.cpp
Section run_section();          // table_run.cpp
Section checkpoint_section();   // table_run.cpp
Section report_section();       // table_run.cpp
Section parallel_section();     // table_parallel.cpp
Section expert_section();       // table_parallel.cpp
Section optimizer_section();    // table_optimizer.cpp
Section scheduler_section();    // table_optimizer.cpp
Section precision_section();    // table_precision.cpp
Section recompute_section();    // table_precision.cpp
Section zero_section();         // table_zero.cpp
Section offload_section();      // table_offload.cpp
Section monitor_section();      // table_tools.cpp
Section tuning_section();       // table_tools.cpp
Section compile_section();      // table_tools.cpp
Section efficiency_section();   // table_efficiency.cpp
Section compression_section();  // table_efficiency.cpp

}  // namespace trireme::deck
