// Checks and repairs of PNG files that stb_image lacks; used only by image_file.cpp.
#pragma once

#include <string>
#include <string_view>

namespace vergence {

/// Throws UsageError, beginning with `name`, for a chunk that ends after the file (stb_image would first allocate up to
/// 2 GiB for it) and for one, up to the last pixels, with a wrong checksum.
void check_chunks(std::string_view bytes, const std::string& name);

/// Adds black for colors missing in the palette, for which stb_image would read arbitrary memory, and a missing chunk
/// IEND; empty if nothing is missing.
std::string with_whole_chunks(std::string_view bytes);

}  // namespace vergence
