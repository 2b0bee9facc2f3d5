// Which images of a data set of image files make up a split (the rules stand in datasets/readers/images/folder.h).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace vergence {

/// The parts that such a data set comes in.
enum class Part : std::uint8_t { train, test, val };

struct SplitRule {
  enum class Keep { all, every_tenth, the_others };

  Part part = Part::train;
  Keep keep = Keep::all;
};

/// `has_val`: whether there are images of Part::val.
SplitRule split_rule(const std::string& split, bool has_val);

/// The places, among the part's `count` images, of those in the split; with `limit` above 0 at most as many, at equal
/// distances.
std::vector<std::int64_t> split_places(SplitRule::Keep keep, std::int64_t count, std::int64_t limit);

}  // namespace vergence
