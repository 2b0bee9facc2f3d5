// The bits that training leaves behind on a GPU: the same from the same seed, for every objective and precision. A line
// `bits WHAT PRECISION XXH128` of each lets tests/bits.py compare two trees.
#include <gtest/gtest.h>
#include <iostream>
#include <tuple>

#include "engine/io/xxh.h"
#include "ssl/bench/step.h"
#include "ssl/options/builder.h"
#include "tests/device/device_under_test.h"
#include "tests/support/small_objectives.h"
#include "tests/support/step_runs.h"
#include "tests/support/with_choices.h"

namespace vergence::test {
namespace {

/// Whatever an objective adds to its base takes part in every step.
Options tiny(const std::string& objective, const std::string& precision) {
  Options options = small_options(objective, 4, 4, "16", "8");
  set_option(options, "precision", precision);
  options.image_size = 8;
  options.deterministic = true;
  set_all(options, {"vicreg.hidden", "metamask.redundancy_hidden", "metamask.contrastive_hidden"}, "16");
  set_all(options, {"vicreg.output", "metamask.redundancy_output", "metamask.contrastive_output", "icl_msr.hidden"},
          "8");
  set_options(options, {{"dsa.prior_net", "ema"},
                        {"dsa.eta", "3"},
                        {"dsa.lambda2", "0.2"},
                        {"icl_msr.strata", "3"},
                        {"mrcl.mask_fill", "noise"},
                        {"mrcl.mask_views", "both"},
                        {"mrcl.mask_patch", "4"},
                        {"mrcl.rec_target", "clean"},
                        {"mrcl.decoder_width", "4"}});
  return options;
}

void add(Xxh128& hash, const Tensor& tensor) {
  const std::vector<std::byte> bytes = to_host(tensor);
  hash.add(bytes.data(), bytes.size());
}

/// Of all that `objective` trains or averages.
std::string digest(Objective& objective) {
  Xxh128 hash;
  for (const auto& [name, set] : objective.state().parameters) {
    hash.add_text(name);
    add(hash, set.flat());
  }
  return hash.digits();
}

/// Of the initial weights, then after each of the first `steps` of three steps.
std::vector<std::string> digests(const Options& options, bool record, std::size_t steps) {
  Backend& device = device_under_test();
  const auto objective = make_objective(objective_setup(options, options.image_size, device));
  const Views views = bench_views(options, *objective, device);
  StepRunner runner(*objective, device, record);
  const std::vector<StepContext> contexts = steps_at(1e-3, 3, options.batch);
  std::vector<std::string> all{digest(*objective)};
  for (std::size_t step = 0; step < steps; ++step) {
    runner.run([&] { return views; }, contexts[step]);
    all.push_back(digest(*objective));
  }
  EXPECT_EQ(runner.recorded(), record) << runner.refusal();
  return all;
}

void print_bits(const std::string& what, const std::string& precision, const std::string& digits) {
  std::cout << "bits " << what << ' ' << precision << ' ' << digits << std::endl;
}

class StepBits : public testing::TestWithParam<std::tuple<std::string, std::string>> {};

/// The third step is a recorded one. Steps take long where the GPU is emulated, so one alone is made again; what is
/// computed again in its backward pass has the same bits, too.
TEST_P(StepBits, AreTheSameFromTheSameSeed) {
  const auto& [objective, precision] = GetParam();
  const Options options = tiny(objective, precision);
  const WithChoices with(device_under_test(), kernel_choices(options));
  Options recomputed = options;
  recomputed.recompute = true;
  const std::vector<std::string> bits = digests(options, true, 3), again = digests(recomputed, false, 1);
  EXPECT_EQ(again, std::vector(bits.begin(), bits.begin() + 2));
  for (std::size_t step = 1; step < bits.size(); ++step) EXPECT_NE(bits[step], bits[step - 1]) << step;
  print_bits(objective, precision, bits.back());
}

INSTANTIATE_TEST_SUITE_P(All, StepBits,
                         testing::Combine(testing::ValuesIn(objective_names()),
                                          testing::Values(std::string("fp32"), std::string("bf16"))));

TEST(ViewBits, AreTheSameFromTheSameSeed) {
  for (const char* precision : {"fp32", "bf16"}) {
    Options options = tiny("simclr", precision);
    options.image_size = 16, options.limit = 3 * options.batch;
    const auto all = [&] {
      const Dataset dataset = open_dataset(dataset_settings(options), "train");
      const auto objective = make_objective(objective_setup(options, options.image_size, device_under_test()));
      const auto batches = make_batch_source({dataset, loader_settings(options, dataset, *objective, 0),
                                              device_under_test(), activations_of(options, device_under_test())});
      Xxh128 hash;
      for (std::int64_t step = 0; step < 3; ++step) {
        batches->prepare(step);
        add(hash, batches->make().both);
      }
      return hash.digits();
    };
    const std::string bits = all();
    EXPECT_EQ(all(), bits) << precision;
    print_bits("views", precision, bits);
    ++options.seed;
    EXPECT_NE(all(), bits) << precision;
  }
}

}  // namespace
}  // namespace vergence::test
