// What a run tells its objective with each step: the rate's share, the epoch and the images' indices.
#include <cmath>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <span>

#include "datasets/loading/host_source.h"
#include "ssl/steps/setup.h"
#include "tests/support/small_mrcl.h"
#include "tests/support/small_runs.h"
#include "tests/support/temporary_folder.h"

namespace vergence {
namespace {

using nlohmann::json;

/// The mask's rate is a share of the weights': the step at rate 0 leaves it as it was.
TEST(StepsOfARun, KnowTheRatesShare) {
  const TemporaryFolder folder;
  Options options = small_options("metamask", 4);
  set_all(options, {"metamask.redundancy_hidden", "metamask.contrastive_hidden"}, "16");
  set_all(options, {"metamask.redundancy_output", "metamask.contrastive_output"}, "8");
  options = small_run(options, folder / "run");
  options.warmup_epochs = 1;
  options.max_steps = 3;
  pretrain(options);
  const std::vector<json> lines = metrics_of(folder, "run");
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_EQ(lines[0]["lr"], 0);
  EXPECT_EQ(lines[1]["mask_deviation"], 0);  // before the step, so after the first one
  EXPECT_GT(lines[2]["mask_deviation"].get<double>(), 0);
}

/// Each step has all images, as they are, and changes no weights; but MRCL's masks belong to an epoch and to an image
/// of the data set.
TEST(StepsOfARun, KnowTheirEpochAndImages) {
  const TemporaryFolder folder;
  Options options = small_run(tiny_mrcl("simclr", {{"mrcl.alpha", "0"}, {"mrcl.recalibrate", "0"}}), folder / "run");
  for (ViewSettings& view : options.view) view = ViewSettings::identity(16);
  options.limit = options.batch;
  options.device = "cpu";  // as the step that is compared with it
  options.epochs = 2;
  options.lr = 0;
  pretrain(options);
  const std::vector<json> lines = metrics_of(folder, "run");
  ASSERT_EQ(lines.size(), 2u);

  const Dataset data = open_dataset(dataset_settings(options), "train");
  const auto objective = make_objective(objective_setup(options, 16, cpu_backend()));
  HostSource source({data, loader_settings(options, data, *objective, 0), cpu_backend()});
  const auto loss_of = [&](std::int64_t epoch, std::span<const std::int64_t> indices) {
    return objective->step(source.make(), {.epoch = epoch, .images = options.batch, .indices = indices}).loss.item();
  };
  for (std::int64_t epoch = 0; epoch < 2; ++epoch) {
    source.prepare(epoch);
    const std::vector<std::int64_t> order = epoch_order(options.batch, static_cast<std::uint64_t>(options.seed), epoch);
    const double logged = lines[static_cast<std::size_t>(epoch)]["loss"];
    EXPECT_EQ(loss_of(epoch, order), logged) << epoch;
    for (const double other : {loss_of(1 - epoch, order), loss_of(epoch, {})})
      EXPECT_GT(std::abs(other - logged), 1e-4) << "rounding is less; or this test shows nothing";
  }
}

TEST(StepsOfARun, EveryThirdIsLoggedAndTheLastOfEachEpoch) {
  const TemporaryFolder folder;
  Options options = small_run(small_options("simclr"), folder / "run");
  options.log_every = 3;
  options.epochs = 2;  // of four steps
  options.max_steps = 7;
  pretrain(options);
  std::vector<int> steps;
  for (const json& line : metrics_of(folder, "run")) steps.push_back(line["step"]);
  EXPECT_EQ(steps, (std::vector<int>{3, 4, 6, 7}));
}

}  // namespace
}  // namespace vergence
