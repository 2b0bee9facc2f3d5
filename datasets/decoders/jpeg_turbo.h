// JPEG by libjpeg-turbo; used by image_file.cpp alone.
#pragma once

#include "datasets/decoders/image_file.h"

namespace vergence {

/// As decode_image, for JPEG files whose header is sound.
void decode_jpeg_turbo(std::string_view bytes, const std::string& name, const ImageHeader& header,
                       const ImageRegion& region, DecodedImage& out);

}  // namespace vergence
