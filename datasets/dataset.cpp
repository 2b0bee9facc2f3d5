// Access to one image, and a data set's notices.
#include "datasets/dataset.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "kernels/error.h"

namespace vergence {

const std::uint8_t* Dataset::image(std::int64_t index) const {
  require(index >= 0 && index < count, name, ": image ", index, " of ", count);
  const std::int64_t end = (index + 1) * image_bytes();
  require(end <= static_cast<std::int64_t>(pixels.size()), name, ": image ", index, " ends at byte ", end, " of ",
          pixels.size());
  return pixels.data() + index * image_bytes();
}

std::int64_t Dataset::evaluation_resize(std::int64_t size) const {
  if (height == size && width == size) return 0;
  return std::llround(zoom * static_cast<double>(size));
}

std::int32_t Dataset::label(std::int64_t index) const {
  require(index >= 0 && index < count, name, ": label ", index, " of ", count);
  return labels.empty() ? -1 : labels.at(static_cast<std::size_t>(index));
}

std::string class_name(const std::vector<std::string>& names, std::int64_t label) {
  const auto at = static_cast<std::size_t>(label);
  return at < names.size() ? names[at] : std::to_string(label);
}

std::string Dataset::image_name(std::int64_t index) const {
  require(index >= 0 && index < count, name, ": name ", index, " of ", count);
  if (source) return source->name(index);
  const std::string digits = std::to_string(index);
  return join(split, "/", std::string(6 - std::min<std::size_t>(digits.size(), 6), '0'), digits);
}

std::vector<std::string> new_skipped(const Dataset& data) {
  if (!data.source) return {};
  std::vector<std::string> lines = data.source->bad_images().take_messages();
  for (std::string& line : lines) line.insert(0, "skipped ");
  return lines;
}

std::vector<std::string> new_notices(const Dataset& data) {
  static std::set<std::string> given;
  std::vector<std::string> fresh;
  for (const std::string& notice : data.notices)
    if (given.insert(notice).second) fresh.push_back(notice);
  return fresh;
}

}  // namespace vergence
