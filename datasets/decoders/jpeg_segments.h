// Parses a JPEG file's segments without decoding; used only by image_file.cpp.
#pragma once

#include <string>
#include <string_view>

#include "datasets/decoders/image_file.h"

namespace vergence {

/// The size in the first frame header. Throws UsageError, one line that begins with `name`, if there is none or no
/// decoder here supports its kind (lossless, arithmetic coding).
ImageHeader jpeg_header(std::string_view bytes, const std::string& name);

/// The image's number of scans. Ignores data after the image's end (such as a motion photo's video) and previews inside
/// segments. Each scan may process all pixels again.
std::int64_t jpeg_scans(std::string_view bytes);

/// Throws UsageError, beginning with `name`, for defects that stb_image misses: a truncated last scan, which it fills
/// with gray, and Huffman tables with more codes than it has room for.
void check_for_stb(std::string_view bytes, const std::string& name);

/// A file of four components with an Adobe marker added, without which stb_image takes CMYK for YCbCr. Empty for other
/// files.
std::string with_adobe_marker(std::string_view bytes);

}  // namespace vergence
