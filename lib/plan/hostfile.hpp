#pragma once
// DeepSpeed's hostfiles: a line "NAME slots=N" a host, comments with #, and its grammar to pick
// from them. Open MPI's mpirun reads such a file as it is.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace trireme::plan {

struct Host {
  std::string name;
  std::int64_t slots = 1;
};

/// Exit::kUsage, with the line: a line of another form, a host named twice, no host at all.
std::vector<Host> read_hostfile(std::string_view text, std::string_view file);

/// The hosts and slots that DeepSpeed's --include or --exclude leaves: HOST[:SLOT,SLOT][@HOST...],
/// a host without slots meaning all of them. Only one of both may be given. A slot is a rank here:
/// which of a host's slots they are makes no difference. Exit::kUsage: both are given, an unknown
/// host or slot, or nothing is left.
std::vector<Host> pick_hosts(const std::vector<Host>& hosts, std::string_view include,
                             std::string_view exclude);

/// As mpirun --hostfile reads it.
std::string hostfile_text(const std::vector<Host>& hosts);

}  // namespace trireme::plan
