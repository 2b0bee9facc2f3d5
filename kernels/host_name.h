#pragma once

#include <string>

namespace vergence {

/// This machine's name; "unknown" if it has none.
std::string host_name();

}  // namespace vergence
