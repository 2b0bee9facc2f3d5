// Collectives of one rank with NCCL, eager and in a recording that is replayed on other values. For one rank NCCL only
// copies: this shows that it loads and is called rightly, not that its kernels run in a recording.
#include "kernels/communicators/nccl.h"

#include <gtest/gtest.h>

#include "engine/tensor.h"
#include "tests/device/device_under_test.h"

namespace vergence::test {
namespace {

/// The only rank; null, with the reason, where NCCL cannot be loaded.
std::unique_ptr<Communicator> only_rank(std::string& why) {
  try {
    return nccl_communicator(device_under_test(), 0, 1, make_nccl_id());
  } catch (const Error& error) {
    why = error.what();
    return nullptr;
  }
}

std::vector<double> counted(std::int64_t count, double from) {
  std::vector<double> values(static_cast<std::size_t>(count));
  for (double& value : values) value = from++;
  return values;
}

TEST(Nccl, OneRankCopiesEagerAndRecorded) {
  std::string why;
  const std::unique_ptr<Communicator> rank = only_rank(why);
  if (!rank) GTEST_SKIP() << why;
  Backend& gpu = device_under_test();
  const std::int64_t size = 100;
  for (DType dtype : {DType::f64, DType::f32, DType::bf16}) {
    SCOPED_TRACE(name_of(dtype));
    const Tensor x = from_values(gpu, {size}, counted(size, 0), dtype);
    const Tensor sum = empty_like(x), all = empty_like(x);
    const auto collect = [&] {
      rank->all_reduce(gpu, x.array(), sum.array());
      rank->all_gather(gpu, sum.array(), all.array());
      rank->begin_sum(gpu, all.array());
      rank->begin_sum(gpu, sum.array());
      rank->broadcast(gpu, x.array(), 0);
      rank->finish_sums(gpu);
      rank->broadcast(gpu, all.array(), 0);
    };
    collect();
    EXPECT_EQ(all.values(), counted(size, 0));
    gpu.begin_recording();
    collect();
    const std::unique_ptr<Recording> recording = gpu.end_recording();
    assign(x, from_values(gpu, {size}, counted(size, 5), dtype));
    recording->replay();
    EXPECT_EQ(all.values(), counted(size, 5));
  }
}

TEST(Nccl, AbandonedRefusesMoreAndEnds) {
  std::string why;
  const std::unique_ptr<Communicator> rank = only_rank(why);
  if (!rank) GTEST_SKIP() << why;
  Backend& gpu = device_under_test();
  const Tensor x = from_values(gpu, {100}, counted(100, 0), DType::f32);
  gpu.begin_recording();
  rank->begin_sum(gpu, x.array());
  rank->finish_sums(gpu);
  const std::unique_ptr<Recording> recording = gpu.end_recording();
  recording->replay();
  rank->abandon();
  EXPECT_THROW(rank->all_reduce(gpu, x.array(), x.array()), Error);
  // The recording ends first, as declared last; then the communicator, when its other thread has aborted it.
}

TEST(Nccl, NeedsAGpuAndAnId) {
  EXPECT_THROW(nccl_communicator(cpu_backend(), 0, 1, std::vector<std::uint8_t>(256)), Error);
  EXPECT_THROW(nccl_communicator(device_under_test(), 0, 1, {}), Error);
  EXPECT_THROW(nccl_communicator(device_under_test(), 1, 1, std::vector<std::uint8_t>(256)), Error);
}

}  // namespace
}  // namespace vergence::test
