// Decodes JPEG with libjpeg-turbo; used only by image_file.cpp.
#pragma once

#include "datasets/decoders/image_file.h"

namespace vergence {

/// Like decode_image, for JPEG files with a valid header.
void decode_jpeg_turbo(std::string_view bytes, const std::string& name, const ImageHeader& header,
                       const ImageRegion& region, DecodedImage& out);

}  // namespace vergence
