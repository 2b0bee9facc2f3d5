// The emulated GPU as a device for tests: the CUDA backend's own sources, run by emulator.h.
#pragma once

#include "kernels/backend.h"

namespace vergence::test {

Backend& emulated_backend();

}  // namespace vergence::test
