#include "ssl/options/effects.h"

#include <algorithm>
#include <vector>

#include "datasets/dataset.h"
#include "ssl/options/builder.h"
#include "ssl/options/table.h"

namespace vergence {
namespace {

/// The option that decides about others, and the values with which these have an effect.
struct Rule {
  const char* decides;
  std::vector<std::string> values;
  std::vector<std::string> names;  // "lars." stands for all that begin so
};

const std::vector<Rule>& rules() {
  static const std::vector<Rule> all{{"optimizer", {"sgd", "lars"}, {"momentum"}},
                                     {"optimizer", {"sgd"}, {"nesterov"}},
                                     {"optimizer", {"lars"}, {"lars."}},
                                     {"optimizer", {"adam", "adamw"}, {"adam."}},
                                     {"schedule", {"step"}, {"step-epochs", "step-factor"}},
                                     {"dataset", image_file_datasets(), {"jpeg", "decode", "bad-images"}}};
  return all;
}

bool is_among(const std::vector<std::string>& all, const std::string& one) {
  return std::find(all.begin(), all.end(), one) != all.end();
}

bool is_of(const std::string& name, const std::vector<std::string>& names) {
  return std::any_of(names.begin(), names.end(), [&](const std::string& each) {
    return each.ends_with('.') ? name.starts_with(each) : name == each;
  });
}

/// Whether the run's objective builds on the base method `name`.
bool is_base(const std::string& name, const Options& options) {
  const std::string base = options.objective + ".base";
  return find_option(base) != nullptr && option_text(options, base) == name;
}

}  // namespace

std::string without_effect_by(const std::string& name, const Options& options) {
  const std::string owner = name.substr(0, name.find('.'));
  if (owner != name) {
    if (is_among(objective_names(), owner) && owner != options.objective && !is_base(owner, options))
      return "--objective " + options.objective;
    if (is_among(dataset_names(), owner) && owner != options.dataset) return "--dataset " + options.dataset;
  }
  for (const Rule& rule : rules()) {
    const std::string value = option_text(options, rule.decides);
    if (is_of(name, rule.names) && !is_among(rule.values, value)) return join("--", rule.decides, " ", value);
  }
  return "";
}

}  // namespace vergence
