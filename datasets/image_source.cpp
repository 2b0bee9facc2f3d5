#include "datasets/image_source.h"

#include <utility>

namespace vergence {

void BadImages::name(std::int64_t index, const std::string& message) {
  const std::lock_guard lock(mutex_);
  if (named_.insert(index).second) messages_.push_back(message);
}

void BadImages::add(std::int64_t index, const std::string& message) {
  name(index, message);
  const std::lock_guard lock(mutex_);
  added_.insert(index);
}

bool BadImages::contains(std::int64_t index) const {
  const std::lock_guard lock(mutex_);
  return !added_.empty() && added_.contains(index);
}

std::int64_t BadImages::count() const {
  const std::lock_guard lock(mutex_);
  return static_cast<std::int64_t>(named_.size());
}

std::vector<std::string> BadImages::take_messages() {
  const std::lock_guard lock(mutex_);
  return std::exchange(messages_, {});
}

}  // namespace vergence
