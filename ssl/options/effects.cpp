#include "ssl/options/effects.h"

#include <algorithm>
#include <vector>

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

/// Whether the run's objective builds on the base method `name`.
bool is_base(const std::string& name, const Options& options) {
  const std::string base = options.objective + ".base";
  return find_option(base) != nullptr && option_text(options, base) == name;
}

/// Whether this is an option of encoders, but not of this one.
bool is_of_other_encoders(const std::string& name, const std::string& encoder) {
  const auto has = [&](const EncoderFamily& family) {
    return std::any_of(family.options.begin(), family.options.end(),
                       [&](const EncoderOption& option) { return option.name == name; });
  };
  const std::vector<EncoderFamily>& all = encoder_families();
  return std::any_of(all.begin(), all.end(), has) && !has(family_of(encoder));
}

}  // namespace

std::string without_effect_by(const std::string& name, const Options& options) {
  const std::string owner = name.substr(0, name.find('.'));
  if (owner != name) {
    if (is_among(objective_names(), owner) && owner != options.objective && !is_base(owner, options))
      return "--objective " + options.objective;
    if (is_among(dataset_names(), owner) && owner != options.dataset) return "--dataset " + options.dataset;
  }
  if (is_of_other_encoders(name, options.encoder)) return "--encoder " + options.encoder;
  for (const EffectRule& rule : effect_rules()) {
    if (!is_of(name, rule.names)) continue;
    if (std::string reason = reason_by(rule, options); !reason.empty()) return reason;
  }
  return "";
}

}  // namespace vergence
