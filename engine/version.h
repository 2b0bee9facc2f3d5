// Which Vergence this is.
#pragma once

#include <string>

namespace vergence {

/// "0.1.0".
std::string version();

/// The commit that was built, 40 hexadecimal digits, with "+changes" behind it where tracked files differed from it;
/// "unknown" where the sources were built outside a clone.
std::string build_commit();

}  // namespace vergence
