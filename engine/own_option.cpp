#include "engine/own_option.h"

namespace vergence {

void copy_option(const OwnOption& option, const OwnSettings& from, OwnSettings& to) {
  OwnSettings source = from;
  if (const auto* choice = std::get_if<OwnOption::Choice>(&option.field)) {
    choice->set(to, choice->word(source));
    return;
  }
  std::visit(
      [&](const auto& field) {
        if constexpr (!std::is_same_v<std::decay_t<decltype(field)>, OwnOption::Choice>) field(to) = field(source);
      },
      option.field);
}

}  // namespace vergence
