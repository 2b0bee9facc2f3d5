#include "tests/device/device_under_test.h"

#include "tests/cuda_emulator/emulated_backend.h"

namespace vergence::test {

Backend& device_under_test() { return emulated_backend(); }

}  // namespace vergence::test
