// What stb_image does not check of a PNG file with a palette; used by image_file.cpp alone.
#pragma once

#include <string>
#include <string_view>

namespace vergence {

/// The file with black for the colours that its palette does not have, or an empty text where it needs none. stb_image
/// would take whatever lies in memory for them.
std::string with_whole_palette(std::string_view bytes);

}  // namespace vergence
