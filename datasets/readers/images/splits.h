// Chooses a split's images in a data set of image files (datasets/readers/images/folder.h has the rules).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "datasets/dataset.h"

namespace vergence {

/// The parts of such a data set.
enum class Part : std::uint8_t { train, test, val };

struct SplitRule {
  enum class Keep { all, every_tenth, the_others };

  Part part = Part::train;
  Keep keep = Keep::all;
};

/// `has_val`: whether there are images of Part::val.
SplitRule split_rule(const std::string& split, bool has_val);

/// Throws UsageError if every tenth of the part's `count` images is none.
void require_enough_for_tenths(const DatasetSettings& settings, const SplitRule& rule, std::int64_t count);

/// The indices of the split's images among the part's `count` images; `limit` > 0 keeps that many at most, evenly
/// spaced.
std::vector<std::int64_t> split_places(SplitRule::Keep keep, std::int64_t count, std::int64_t limit);

}  // namespace vergence
