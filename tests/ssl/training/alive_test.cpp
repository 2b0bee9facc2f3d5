// What tells that an objective is alive, in whole runs of shipped recipes on the rendered images: the figures that the
// log has, and that they are where the defaults mean them to be.
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <vector>

#include "ssl/options/table.h"
#include "tests/support/small_runs.h"

namespace vergence {
namespace {

/// The metrics of the first steps of the rendered data set's recipe with a narrower encoder.
std::vector<nlohmann::json> metrics_of_recipe(const char* objective, std::int64_t steps,
                                              const std::vector<std::pair<const char*, const char*>>& more = {}) {
  const TemporaryFolder folder;
  const std::string out = folder / "run", max_steps = std::to_string(steps);
  std::vector<const char*> arguments{
      "pretrain",        "--objective",  objective,  "--width", "8",     "--batch",   "64",
      "--limit",         "2000",         "--device", "cpu",     "--out", out.c_str(), "--max-steps",
      max_steps.c_str(), "--eval-every", "0"};
  for (const auto& [name, value] : more) arguments.insert(arguments.end(), {name, value});
  pretrain(parse_pretrain(static_cast<int>(arguments.size()), arguments.data()));
  return metrics_of(folder, "run");
}

TEST(Alive, IclMsrsRegularizerFollowsTheLossAfterTheVirtualStep) {
  std::int64_t compared = 0;
  for (const nlohmann::json& line : metrics_of_recipe("icl_msr", 45)) {
    EXPECT_GT(line["strata_spread"].get<double>(), 0.05) << line;
    if (line["step"] <= 40 || !line.contains("second_order_norm")) continue;
    EXPECT_GT(line["second_order_norm"].get<double>(), line["uniformity_norm"].get<double>()) << line;
    ++compared;
  }
  EXPECT_GT(compared, 0);
}

TEST(Alive, DsasModuleAttractsAShareOfThePairsAndScoresThem) {
  const auto lines = metrics_of_recipe("dsa", 12, {{"--dsa.eta", "8"}});
  ASSERT_FALSE(lines.empty());
  for (const nlohmann::json& line : lines) {
    EXPECT_GT(line["score"].get<double>(), 0) << line;
    EXPECT_LT(line["score"].get<double>(), 1) << line;
    EXPECT_GT(line["tau_p"].get<double>(), 0) << line;
  }
  const double attracted = lines.front()["attracted"].get<double>();  // of a module with random weights
  EXPECT_GT(attracted, 0.05) << lines.front();
  EXPECT_LT(attracted, 0.95) << lines.front();
}

TEST(Alive, MrclsReconstructionIsAShareOfTheLoss) {
  const auto lines = metrics_of_recipe("mrcl", 4);
  ASSERT_FALSE(lines.empty());
  for (const nlohmann::json& line : lines) {
    const double share = line["reconstruction_share"].get<double>();
    EXPECT_GT(share, 0.01) << line;
    EXPECT_LT(share, 0.7) << line;
  }
}

TEST(Alive, MetaMasksMaskSpreads) {
  const auto lines = metrics_of_recipe("metamask", 4, {{"--metamask.mask_lr", "1"}});
  EXPECT_GT(lines.back()["mask_deviation"].get<double>(), 0) << lines.back();
  EXPECT_GT(lines.back()["mask_max"].get<double>(), lines.back()["mask_min"].get<double>());
}

}  // namespace
}  // namespace vergence
