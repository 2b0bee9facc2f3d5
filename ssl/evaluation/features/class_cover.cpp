#include "ssl/evaluation/features/class_cover.h"

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>
#include <set>

#include "engine/text/printable.h"
#include "kernels/error.h"

namespace vergence {
namespace {

/// The display name of a class: a folder's name, or its number.
std::string class_text(std::int32_t label, const Dataset& dataset) {
  return shortened(class_name(dataset.class_names, label));
}

/// "3", "3, 4"; of many labels only the first ones.
std::string first_of(const std::vector<std::int32_t>& labels, const Dataset& dataset) {
  constexpr std::size_t most = 5;
  std::string text;
  for (std::size_t i = 0; i < std::min(most, labels.size()); ++i)
    text += join(i > 0 ? ", " : "", class_text(labels[i], dataset));
  return labels.size() > most ? text + ", ..." : text;
}

std::string one_class(const Dataset& dataset, const std::string& doing, const std::string& limit) {
  return join("notice: all images of ", dataset.split, " that are ", doing, " are of one class",
              limit.empty() ? "" : " with " + limit, ": ", class_text(dataset.labels.front(), dataset));
}

}  // namespace

std::vector<std::int32_t> classes_in(const std::vector<std::int32_t>& labels) {
  const std::set<std::int32_t> classes(labels.begin(), labels.end());
  return {classes.begin(), classes.end()};
}

ClassCover class_cover(const std::vector<std::int32_t>& learned, const std::vector<std::int32_t>& judged) {
  const std::vector<std::int32_t> known = classes_in(learned), asked = classes_in(judged);
  ClassCover cover{static_cast<std::int64_t>(known.size()), static_cast<std::int64_t>(asked.size()), {}, 0};
  std::set_difference(asked.begin(), asked.end(), known.begin(), known.end(), std::back_inserter(cover.missing));
  cover.missing_images = std::count_if(judged.begin(), judged.end(), [&](std::int32_t label) {
    return std::binary_search(cover.missing.begin(), cover.missing.end(), label);
  });
  return cover;
}

std::vector<std::string> notices_of(const ClassCover& cover, const Dataset& learned, const Dataset& judged,
                                    const std::string& limit) {
  std::vector<std::string> lines;
  const auto missing = static_cast<std::int64_t>(cover.missing.size());
  const std::string which = cover.judged == 1 ? "the one class" : join(missing, " of the ", cover.judged, " classes");
  if (missing > 0)
    lines.push_back(join("notice: ", which, " judged in ", judged.split, missing == 1 ? " has" : " have",
                         " no image in ", learned.split, limit.empty() ? "" : " with " + limit, ", so ",
                         missing == 1 ? "its " : "their ", cover.missing_images,
                         cover.missing_images == 1 ? " image counts as a miss: " : " images count as misses: ",
                         first_of(cover.missing, judged)));
  else if (cover.judged == 1)
    lines.push_back(one_class(judged, "judged", limit));
  if (cover.learned == 1) lines.push_back(one_class(learned, "learned from", limit));
  return lines;
}

void store_missing(const ClassCover& cover, nlohmann::ordered_json& json) {
  if (cover.missing.empty()) return;
  json["missing_classes"] = cover.missing;
  json["missing_images"] = cover.missing_images;
}

}  // namespace vergence
