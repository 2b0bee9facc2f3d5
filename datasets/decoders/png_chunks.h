// Checks and repairs of PNG files that stb_image lacks; used only by image_file.cpp.
#pragma once

#include <string>
#include <string_view>

namespace vergence {

/// Throws UsageError, beginning with `name`, for a chunk that extends past the file's end (stb_image would first
/// allocate up to 2 GiB for it), and for a wrong checksum of any chunk up to the last pixels.
void check_chunks(std::string_view bytes, const std::string& name);

/// The file with black for missing palette colors, for which stb_image would read arbitrary memory, and with a missing
/// chunk IEND. Empty if nothing is missing.
std::string with_whole_chunks(std::string_view bytes);

}  // namespace vergence
