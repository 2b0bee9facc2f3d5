// Checks of BMP files that stb_image lacks, and a fix for headers it misreads; used only by image_file.cpp.
#pragma once

#include <string>
#include <string_view>

#include "datasets/decoders/image_file.h"

namespace vergence {

/// The file with the usual 40-byte header instead of the 12-byte one of OS/2 and Windows 2, with which stb_image misses
/// four colors. Empty for other files.
std::string with_usual_header(std::string_view bytes);

/// Whether a BMP file's header is of a kind that stb_image does not read: compressed pixels, such as run-length coded
/// ones, or the header of OS/2 2.x, its short form or Photoshop's of 52 bytes.
bool is_unread_bitmap(std::string_view bytes);

/// Throws UsageError, one line that begins with `name`, if a BMP file ends before its pixels or its pixels use colors
/// outside its palette. `header` is image_header's result; the file must not have the old header.
void check_bitmap(std::string_view bytes, const std::string& name, const ImageHeader& header);

}  // namespace vergence
