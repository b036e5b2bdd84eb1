#include "io/version.hpp"

#include "trireme_version.hpp"

namespace trireme::io {

std::string version() { return kVersion; }
std::string commit() { return kCommit; }

}  // namespace trireme::io
