// The parts of a JPEG file, without decoding any; used by image_file.cpp alone.
#pragma once

#include <string>
#include <string_view>

#include "datasets/decoders/image_file.h"

namespace vergence {

/// The size that the first frame header tells. Throws UsageError, one line that begins with `name`, where there is none
/// or it is of a kind that no decoder here knows (lossless, arithmetic coding).
ImageHeader jpeg_header(std::string_view bytes, const std::string& name);

/// How many scans the image has, up to its end: whatever follows it in the file, as a video does in a motion photo, is
/// none of it, and neither are previews within its segments. Each scan may go over all pixels again.
std::int64_t jpeg_scans(std::string_view bytes);

/// Refuses, by such an error, what stb_image does not notice: files that end before their last scan does, which it
/// fills with gray, and Huffman tables of more codes than it has room for.
void check_for_stb(std::string_view bytes, const std::string& name);

/// A file of four components with an Adobe marker that says which colors they are, or an empty text for other files.
/// stb_image would take CMYK without that marker for YCbCr.
std::string with_adobe_marker(std::string_view bytes);

}  // namespace vergence
