// What stb_image does not check of a BMP file; used by image_file.cpp alone.
#pragma once

#include <string>
#include <string_view>

#include "datasets/image_file.h"

namespace vergence {

/// Refuses a BMP file that ends before its pixels do or whose pixels are colours that its palette does not have. Throws
/// UsageError, one line that begins with `name`. `header` is what image_header says of the file.
void check_bitmap(std::string_view bytes, const std::string& name, const ImageHeader& header);

}  // namespace vergence
