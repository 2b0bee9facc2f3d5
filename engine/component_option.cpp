#include "engine/component_option.h"

namespace vergence {

void copy_option(const ComponentOption& option, const ComponentSettings& from, ComponentSettings& to) {
  ComponentSettings source = from;
  if (const auto* choice = std::get_if<ComponentOption::Choice>(&option.field)) {
    choice->set(to, choice->word(source));
    return;
  }
  std::visit(
      [&](const auto& field) {
        if constexpr (!std::is_same_v<std::decay_t<decltype(field)>, ComponentOption::Choice>)
          field(to) = field(source);
      },
      option.field);
}

}  // namespace vergence
