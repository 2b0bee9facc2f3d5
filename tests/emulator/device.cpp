#include "kernels/cuda/emulated/backend.h"
#include "tests/device/device_under_test.h"

namespace vergence::test {

Backend& device_under_test() { return emulated_backend(); }

}  // namespace vergence::test
