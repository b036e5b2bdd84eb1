#pragma once
#include <cstdint>
#include <string_view>
namespace trireme::program {
/// Where an instruction runs. Compute runs in order, one at a time; the others start in order and
/// overlap.
enum class Lane : std::uint8_t { compute, comm, storage };
std::string_view name_of(Lane lane);
}  // namespace trireme::program
