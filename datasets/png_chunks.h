// What stb_image does not check of a PNG file; used by image_file.cpp alone.
#pragma once

#include <string>
#include <string_view>

namespace vergence {

/// Throws UsageError, beginning with `name`, for a chunk that ends behind the file. stb_image would ask for its memory
/// first, up to 2 GiB, and then miss its bytes.
void check_chunks(std::string_view bytes, const std::string& name);

/// The file with black for the colours that its palette does not have, or an empty text where it needs none. stb_image
/// would take whatever lies in memory for them.
std::string with_whole_palette(std::string_view bytes);

}  // namespace vergence
