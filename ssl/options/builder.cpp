#include "ssl/options/builder.h"

#include <algorithm>

#include "kernels/error.h"

namespace vergence {

void OptionBuilder::objective(const ObjectiveOptions& declared) {
  group = declared.title;
  if (declared.declare) declared.declare(*this);
}

void OptionBuilder::require_default(const std::string& name, double value, const Range& range) {
  require(range.contains(value), "--", name, ": its default is ", value, ", expected ", range.text(),
          " (low and high of its ComponentOption)");
}

void OptionBuilder::take_name(const std::string& name) {
  std::string key = name;
  std::replace(key.begin(), key.end(), '_', '-');
  const std::string& by = owner_.empty() ? group : owner_;
  const auto [first, is_new] = declared_.try_emplace(key, by);
  require(is_new, "--", name, ": declared twice, by ", first->second, " and by ", by,
          ": expected another name, as encoders, data sets and objectives share the names of options");
}

}  // namespace vergence
