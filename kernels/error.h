// The two kinds of failure: general errors, and errors in what the user asked for.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

namespace vergence {

/// Anything that went wrong. The tools print `what()` as one line and exit with status 1.
struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Bad usage, configuration or data: the message says what, where, and what was expected. The tools exit with status 2.
struct UsageError : Error {
  using Error::Error;
};

/// Joins its arguments into one string with `operator<<`.
template <class... Parts>
std::string join(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

/// Throws Error with the joined parts unless `condition` holds.
template <class... Parts>
void require(bool condition, const Parts&... parts) {
  if (!condition) throw Error(join(parts...));
}

/// Throws UsageError with the joined parts unless `condition` holds.
template <class... Parts>
void require_usage(bool condition, const Parts&... parts) {
  if (!condition) throw UsageError(join(parts...));
}

}  // namespace vergence
