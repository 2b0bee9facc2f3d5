// The tests of tests/device and tests/gpu on a real GPU; skipped, with the reason, where none answers.
#include <cstdio>
#include <gtest/gtest.h>

#include "tests/device/device_under_test.h"

namespace vergence::test {

Backend& device_under_test() { return *backends().back(); }

}  // namespace vergence::test

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  if (vergence::backends().size() < 2) {
    std::printf("skipped: %s\n", vergence::devices_text().c_str());
    return 77;
  }
  std::printf("%s\n", vergence::devices_text().c_str());
  return RUN_ALL_TESTS();
}
