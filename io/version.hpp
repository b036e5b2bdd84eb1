#pragma once
// What produced a file: written into every checkpoint, shard and report.

#include <string>

namespace trireme::io {

/// "0.1.0"
std::string version();
/// Short commit hash of the built source, with "+" when it had changes; "unknown" outside a
/// checkout.
std::string commit();

}  // namespace trireme::io
