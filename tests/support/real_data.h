// Finds real images for tests that use some.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>

namespace vergence {

/// The folder `name` ("cifar10") in $VERGENCE_DATA or build/data; empty if neither has it.
inline std::filesystem::path real_data(const std::string& name) {
  namespace fs = std::filesystem;
  const char *data = std::getenv("VERGENCE_DATA"), *build = std::getenv("VERGENCE_BUILD");
  if (data && fs::exists(fs::path(data) / name)) return fs::path(data) / name;
  const fs::path built = fs::path(build ? build : "build") / "data" / name;
  return fs::exists(built) ? built : fs::path();
}

/// The message of a skipped test.
inline std::string no_real_data(const std::string& name) {
  return name + " is neither in $VERGENCE_DATA nor in build/data";
}

}  // namespace vergence
