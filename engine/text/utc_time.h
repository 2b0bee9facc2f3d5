// The time of day, as files say it.
#pragma once

#include <string>

namespace vergence {

/// Now, UTC, ISO 8601: "2026-01-31T23:59:59Z".
std::string utc_now();

}  // namespace vergence
