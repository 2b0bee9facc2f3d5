// SHA-256 (FIPS 180-4): names a configuration in the files made under it.
#pragma once

#include <string>
#include <string_view>

namespace vergence {

/// The digest as 64 lower-case hexadecimal digits.
std::string sha256(std::string_view bytes);

}  // namespace vergence
