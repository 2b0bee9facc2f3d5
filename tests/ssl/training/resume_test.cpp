// What a resumed run says where it may not repeat the bits of one that was never stopped.
#include <functional>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <omp.h>

#include "engine/text/words.h"
#include "ssl/steps/setup.h"
#include "ssl/training/checkpoint.h"
#include "tests/support/small_objectives.h"
#include "tests/support/small_runs.h"

namespace vergence {
namespace {

class ResumeTest : public ::testing::Test {
 protected:
  ResumeTest() { options_.max_steps = 1; }
  /// What is said on stderr as the run goes on by one step.
  std::string warned() {
    options_.resume = true;
    ++options_.max_steps;
    testing::internal::CaptureStderr();
    pretrain(options_);
    return testing::internal::GetCapturedStderr();
  }
  /// Makes it a run that began otherwise.
  void begun(const std::function<void(RunPosition&)>& change) {
    const std::string path = folder_ / "run/checkpoint.safetensors";
    const Checkpoint saved(path);
    const auto objective = make_objective(objective_setup(options_, options_.image_size, cpu_backend()));
    saved.restore(objective->state());
    RunPosition position = saved.position();
    change(position);
    CheckpointSnapshot(objective->state(), position).write(path);
  }

  TemporaryFolder folder_;
  Options options_ = small_run(small_options("simclr"), folder_ / "run");
};

TEST_F(ResumeTest, OtherThreadsRanksOrDevicesAreSaid) {
  const int threads = omp_get_max_threads();
  const std::string end = ": results may differ in the last bits\n";
  pretrain(options_);
  EXPECT_EQ(warned(), "");
  begun([](RunPosition& position) { position.ranks = 3; });
  EXPECT_EQ(warned(), "warning: the run started with 3 ranks and continues with 1" + end);
  begun([](RunPosition& position) { position.device = "NVIDIA H200"; });
  EXPECT_EQ(warned(), "warning: the run started on NVIDIA H200 and continues on cpu" + end);
  begun([](RunPosition& position) { position.device = ""; });  // an earlier version's
  EXPECT_EQ(warned(), "");
  omp_set_num_threads(threads + 1);
  const std::string other = warned(), same = warned();
  omp_set_num_threads(threads);
  EXPECT_EQ(other, join("warning: the run started with ", counted(threads, "thread"), " and continues with ",
                        threads + 1, end));
  EXPECT_EQ(same, "") << "the checkpoint has the new number";
}

}  // namespace
}  // namespace vergence
