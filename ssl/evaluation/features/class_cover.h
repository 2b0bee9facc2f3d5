// Which classes a judgment learns from and which it judges. A class that is judged and has no image to learn from
// counts as nothing but misses, which a figure alone does not show.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "datasets/dataset.h"

namespace vergence {

/// The classes that occur among labels, each once, ascending.
std::vector<std::int32_t> classes_in(const std::vector<std::int32_t>& labels);

struct ClassCover {
  std::int64_t learnt = 0, judged = 0;  // how many classes have images to learn from, and images that are judged
  std::vector<std::int32_t> missing;    // judged and not learnt from, ascending
  std::int64_t missing_images = 0;      // judged images of those
};

/// From the labels of the images learnt from (kNN's bank, a probe's training images) and of those judged; neither
/// empty.
ClassCover class_cover(const std::vector<std::int32_t>& learnt, const std::vector<std::int32_t>& judged);

/// A line of its own, "notice: ...", for each thing the reader of a figure must know: judged classes that are not
/// learnt from, and that all images, learnt from or judged, are of one class. `limit`: how a limit of both is called,
/// such as
/// "--limit 50"; may be empty. The data sets name splits and classes.
std::vector<std::string> notices_of(const ClassCover& cover, const Dataset& learnt, const Dataset& judged,
                                    const std::string& limit);

/// "missing_classes", their labels, and "missing_images", how many are judged; nothing where no class is missing.
void store_missing(const ClassCover& cover, nlohmann::ordered_json& json);

}  // namespace vergence
