// What the emulated device has in the place of cuDNN: nothing, unless a test puts something there. Then the plain
// kernels compute what cuDNN would take.
#pragma once

#include <vector>

#include "kernels/cuda/libraries.h"

namespace vergence::emulated {

struct StandInLibrary {
  LibraryState state;
  std::vector<DType> weight_gradients;  // the types of those that it computed
};

/// Of the process.
StandInLibrary& stand_in_library();

}  // namespace vergence::emulated
