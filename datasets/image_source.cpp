#include "datasets/image_source.h"

#include <utility>

namespace vergence {

void BadImages::add(std::int64_t index, const std::string& message) {
  const std::lock_guard lock(mutex_);
  if (indices_.insert(index).second) messages_.push_back(message);
}

bool BadImages::contains(std::int64_t index) const {
  const std::lock_guard lock(mutex_);
  return !indices_.empty() && indices_.contains(index);
}

std::int64_t BadImages::count() const {
  const std::lock_guard lock(mutex_);
  return static_cast<std::int64_t>(indices_.size());
}

std::vector<std::string> BadImages::take_messages() {
  const std::lock_guard lock(mutex_);
  return std::exchange(messages_, {});
}

}  // namespace vergence
