#include "kernels/cuda/environment.h"

#include <cstdlib>
#include <string>

#include "kernels/error.h"

namespace vergence {

bool is_on(const char* variable) {
  const char* set = std::getenv(variable);
  const std::string value = set ? set : "on";
  require_usage(value == "on" || value == "off", variable, ": expected on or off, got '", value, "'");
  return value == "on";
}

}  // namespace vergence
