#include "lib/engine/setup.hpp"

#include "lib/engine/fit.hpp"
#include "lib/engine/setup_parts.hpp"
#include "lib/models/build.hpp"
#include "lib/program/check.hpp"

#include <fmt/format.h>

namespace trireme::engine {
namespace {

program::Compiled checked(program::Compiled made) {
  program::check_programs(made);
  return made;
}

program::Compiled compiled(const Setup& setup, bool forward_only) {
  program::Options options = setup.options;
  options.shape.forward_only = forward_only;
  return checked(program::compile(setup.model, setup.layout, options, setup.resident));
}

}  // namespace

Setup::Setup(const deck::Deck& resolved)
    : deck(resolved),
      grid(grid_of(deck)),
      model(models::build_language_model(deck.model, placement_of(deck))),
      options(options_of(deck)),
      layout(program::make_layout(model, options)),
      resident(model, layout, options),
      training(compiled(*this, false)),
      evaluation(compiled(*this, true)),
      refresh(checked(program::compile_refresh(model, layout, options, resident))) {
  check_fits(*this);
}

std::string Setup::stage_holds(int stage) const {
  std::string blocks;
  for (std::int32_t chunk = stage; chunk < layout.chunks(); chunk += layout.stages) {
    const auto first =
        static_cast<std::size_t>(layout.chunk_begin[static_cast<std::size_t>(chunk)]);
    const auto last =
        static_cast<std::size_t>(layout.chunk_begin[static_cast<std::size_t>(chunk) + 1]) - 1;
    blocks += blocks.empty() ? "" : ", ";
    blocks += first == last
                  ? model.blocks[first].name
                  : fmt::format("{} to {}", model.blocks[first].name, model.blocks[last].name);
  }
  std::int64_t elements = 0;
  for (const std::int32_t unit : program::units_of_stage(model, layout, stage))
    elements += model.units[static_cast<std::size_t>(unit)].logical_elements();
  return fmt::format("{}: {:.2f} M parameters", blocks, static_cast<double>(elements) * 1e-6);
}

}  // namespace trireme::engine
