// The device that the tests of this folder run on: the emulated GPU, or, compiled a second time, the real one.
#pragma once

#include "kernels/backend.h"

namespace vergence::test {

Backend& device_under_test();

}  // namespace vergence::test
