// The current time, as written to files.
#pragma once

#include <string>

namespace vergence {

/// Now, UTC, ISO 8601: "2026-01-31T23:59:59Z".
std::string utc_now();

}  // namespace vergence
