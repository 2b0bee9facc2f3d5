// Which classes a classifier learns from and is judged on. All images of a judged class with no training image are
// misses, which the figure alone does not show.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "datasets/dataset.h"

namespace vergence {

/// Returns the classes that occur in the labels, each once, ascending.
std::vector<std::int32_t> classes_in(const std::vector<std::int32_t>& labels);

struct ClassCover {
  std::int64_t learned = 0, judged = 0;  // number of classes with training images, and with judged images
  std::vector<std::int32_t> missing;     // judged but not learned from, ascending
  std::int64_t missing_images = 0;       // judged images of the missing classes
};

/// Takes the labels of the images learned from (kNN's bank, a probe's training images) and of the judged images.
/// Neither may be empty.
ClassCover class_cover(const std::vector<std::int32_t>& learned, const std::vector<std::int32_t>& judged);

/// Returns a "notice: ..." line for each fact a figure's reader must know: judged classes without training images,
/// training or judged images all of one class. `limit` names the limit of both ("--limit 50"); may be empty.
std::vector<std::string> notices_of(const ClassCover& cover, const Dataset& learned, const Dataset& judged,
                                    const std::string& limit);

/// Stores "missing_classes" (their labels) and "missing_images" (how many are judged); nothing if no class is missing.
void store_missing(const ClassCover& cover, nlohmann::ordered_json& json);

}  // namespace vergence
