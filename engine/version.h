// The version of Vergence.
#pragma once

#include <string>

namespace vergence {

/// "0.1.0".
std::string version();

/// The commit that was built, 40 hexadecimal digits, followed by "+changes" if tracked files differed from it;
/// "unknown" if the sources were built outside a clone.
std::string build_commit();

}  // namespace vergence
