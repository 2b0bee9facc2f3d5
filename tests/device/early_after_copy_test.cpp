// Batch norm's first kernel is launched early. Inside a recording it may directly follow a copy, which is no kernel:
// Barlow Twins does so over ranks, where `concat` joins the gathered views.
#include <gtest/gtest.h>

#include "engine/graph.h"
#include "engine/ops/ops.h"
#include "engine/parameters.h"
#include "tests/device/device_under_test.h"
#include "tests/op_table/runner.h"

namespace vergence::test {
namespace {

TEST(EarlyLaunch, MayFollowACopyInsideARecording) {
  Backend& device = device_under_test();
  if (!device.traits().records) GTEST_SKIP() << "needs a device that records";
  const Shape shape{64, 32};
  const auto part = [&](std::uint64_t number) {
    return from_values(device, shape, normal_values("early", number, shape.size()), DType::f32);
  };
  const Tensor first = part(0), second = part(1);
  const auto work = [&] { return batch_norm(concat({first, second}, 0), {}, {}, {}, {.groups = 2}).y; };
  const Values eager = work().values();
  device.begin_recording();
  const Tensor recorded = work();
  const auto recording = device.end_recording();
  recording->replay();
  EXPECT_EQ(recorded.values(), eager);
  from_host(first, to_host(part(2)));
  const Values other = work().values();
  EXPECT_NE(other, eager);
  recording->replay();
  EXPECT_EQ(recorded.values(), other);
}

}  // namespace
}  // namespace vergence::test
