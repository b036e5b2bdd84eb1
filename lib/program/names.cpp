#include "lib/program/names.hpp"
namespace trireme::program {
std::string_view name_of(Lane lane) {
  switch (lane) {
    case Lane::compute: return "compute";
    case Lane::comm: return "comm";
    case Lane::storage: return "storage";
  }
  return "?";
}
}  // namespace trireme::program
