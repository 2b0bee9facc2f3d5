// The emulated GPU as a device for tests: the CUDA backend's own sources, run by emulator.h.
#pragma once

#include "kernels/backend.h"

namespace vergence {

Backend& emulated_backend();

/// Makes the next begin_recording throw, as a driver may refuse to capture.
void fail_next_recording();

}  // namespace vergence
