// What stb_image does not check of a BMP file, and what it reads wrongly; used by image_file.cpp alone.
#pragma once

#include <string>
#include <string_view>

#include "datasets/decoders/image_file.h"

namespace vergence {

/// A file whose header has the twelve bytes of OS/2 and Windows 2 with the usual one in its place, or an empty text for
/// other files. stb_image would miss four of its colors.
std::string with_usual_header(std::string_view bytes);

/// Refuses a BMP file that ends before its pixels do or whose pixels are colors that its palette does not have. Throws
/// UsageError, one line that begins with `name`. `header` is what image_header says of the file, which has no old
/// header.
void check_bitmap(std::string_view bytes, const std::string& name, const ImageHeader& header);

}  // namespace vergence
