// Thrown by argument parsing when help was asked for.
#pragma once

#include <string>

namespace vergence {

/// Not an error: the tool prints `text` and exits with status 0.
struct HelpRequest {
  std::string text;
};

}  // namespace vergence
