#include "ssl/options/effects.h"

#include <algorithm>
#include <vector>

#include "datasets/registry.h"
#include "engine/text/printable.h"
#include "models/encoder.h"
#include "ssl/options/builder.h"
#include "ssl/options/table.h"

namespace vergence {
namespace {

bool is_among(const std::vector<std::string>& all, const std::string& one) {
  return std::find(all.begin(), all.end(), one) != all.end();
}

bool is_of(const std::string& name, const std::vector<std::string>& names) {
  return std::any_of(names.begin(), names.end(), [&](const std::string& each) {
    return each.ends_with('.') ? name.starts_with(each) : name == each;
  });
}

/// "--second_order exact and --compare off" if the rule's conditions hold, else empty.
std::string reason_by(const EffectRule& rule, const Options& options) {
  std::string reason;
  for (const OptionValues& condition : rule.conditions) {
    const std::string value = option_text(options, condition.option);
    if (is_among(condition.values, value) == condition.others) return "";
    reason += join(reason.empty() ? "" : " and ", "--", condition.option, " ", shortened(value));
  }
  return reason;
}

/// Whether this is the run's objective or the base method on which that builds.
bool uses_objective(const std::string& name, const Options& options) {
  std::string used = options.objective;
  for (std::size_t i = 0; i < objective_names().size(); ++i) {  // more bases would be a circle
    const std::string base = used + ".base";
    if (used == name || find_option(base) == nullptr) break;
    used = option_text(options, base);
  }
  return used == name;
}

/// Whether this is an option of encoders, but not of this one.
bool is_of_other_encoders(const std::string& name, const std::string& encoder) {
  bool owned = false;
  for (const EncoderFamily& family : encoder_families()) {
    const bool has = std::any_of(family.options.begin(), family.options.end(),
                                 [&](const EncoderOption& option) { return option.name == name; });
    if (has && is_among(family.names, encoder)) return false;
    owned |= has;
  }
  return owned;
}

}  // namespace

std::string unused_owner(const std::string& name, const Options& options) {
  const std::string owner = name.substr(0, name.find('.'));
  if (owner != name) {
    if (is_among(objective_names(), owner) && !uses_objective(owner, options))
      return "--objective " + options.objective;
    if (is_among(dataset_names(), owner) && !is_among(entry_of(owner).names, options.dataset))
      return "--dataset " + options.dataset;
  }
  return is_of_other_encoders(name, options.encoder) ? "--encoder " + options.encoder : "";
}

std::string without_effect_by(const std::string& name, const Options& options) {
  if (std::string owner = unused_owner(name, options); !owner.empty()) return owner;
  for (const EffectRule& rule : effect_rules()) {
    if (!is_of(name, rule.names)) continue;
    if (std::string reason = reason_by(rule, options); !reason.empty()) return reason;
  }
  return "";
}

}  // namespace vergence
