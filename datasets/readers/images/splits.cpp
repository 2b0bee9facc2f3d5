#include "datasets/readers/images/splits.h"

#include "engine/text/words.h"
#include "kernels/error.h"

namespace vergence {

SplitRule split_rule(const std::string& split, bool has_val) {
  if (split == "test") return {Part::test, SplitRule::Keep::all};
  if (split == "val")
    return has_val ? SplitRule{Part::val, SplitRule::Keep::all} : SplitRule{Part::train, SplitRule::Keep::every_tenth};
  if (split == "probe_without_val" && !has_val) return {Part::train, SplitRule::Keep::the_others};
  return {Part::train, SplitRule::Keep::all};
}

void require_enough_for_tenths(const DatasetSettings& settings, const SplitRule& rule, std::int64_t count) {
  require_usage(rule.keep != SplitRule::Keep::every_tenth || count >= 10, settings.name, ": ", settings.directory,
                " has ", counted(count, "image"), ", too few for --split val, which is every tenth of them");
}

std::vector<std::int64_t> split_places(SplitRule::Keep keep, std::int64_t count, std::int64_t limit) {
  std::vector<std::int64_t> places;
  for (std::int64_t i = 0; i < count; ++i)
    if (keep == SplitRule::Keep::all || (i % 10 == 9) == (keep == SplitRule::Keep::every_tenth)) places.push_back(i);
  const auto all = static_cast<std::int64_t>(places.size());
  if (limit <= 0 || limit >= all) return places;
  std::vector<std::int64_t> some;
  for (std::int64_t i = 0; i < limit; ++i) some.push_back(places[static_cast<std::size_t>(i * all / limit)]);
  return some;
}

}  // namespace vergence
