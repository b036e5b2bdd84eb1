#pragma once
// One step as it ran: ranks down, time across, a bar for each instruction.

#include "lib/report/run_report.hpp"

namespace trireme::report {

struct GanttPicture {
  std::string legend;  ///< HTML: the kinds that occur, with their colours
  std::string svg;
  std::string note;  ///< HTML text: what was left out; empty when nothing was
};

/// At most `most_ranks` of the timeline's ranks; on lanes with thousands of instructions neighbours
/// that would fall on one pixel are drawn as one bar, which says so.
GanttPicture draw_gantt(const Timeline& timeline, const Grid& grid, std::size_t most_ranks = 16);

/// Colour class of an instruction kind.
std::string kind_class(std::string_view kind);

}  // namespace trireme::report
