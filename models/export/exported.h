// An encoder to be exported to another program's format.
#pragma once

#include <cstdint>
#include <vector>

#include "models/encoder_file.h"

namespace vergence {

/// An encoder and how it takes images.
struct Exported {
  TrainedEncoder trained;
  std::vector<double> mean = {}, std = {};  // of each channel, for images with values in [0, 1]; none: unknown
  std::int64_t short_side = 0;  // images are resized to it before the center crop; 0: squeezed to the square
};

}  // namespace vergence
