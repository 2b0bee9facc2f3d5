// The emulated device's replacement for cuDNN: nothing, unless a test installs one. Then the plain kernels compute the
// cases that cuDNN would.
#pragma once

#include <vector>

#include "kernels/cuda/libraries.h"

namespace vergence::emulated {

struct StandInLibrary {
  LibraryState state;
  std::vector<DType> weight_gradients;  // the types of those it computed
};

/// One per process.
StandInLibrary& stand_in_library();

}  // namespace vergence::emulated
