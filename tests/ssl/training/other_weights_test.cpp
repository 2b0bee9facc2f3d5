// Runs that take weights from files: what they say if a file's network or images are others than theirs, and when they
// read it.
#include <filesystem>
#include <gtest/gtest.h>
#include <sstream>

#include "models/encoder_file.h"
#include "models/weights/normalization.h"
#include "ssl/training/run_setup.h"
#include "tests/support/complaints.h"
#include "tests/support/small_objectives.h"
#include "tests/support/small_runs.h"

namespace vergence {
namespace {

namespace fs = std::filesystem;

const std::string imagenet_mean = "0.485,0.456,0.406", imagenet_std = "0.229,0.224,0.225";

class OtherWeights : public ::testing::Test {
 protected:
  Options tiny(const std::string& objective, const Switches& switches = {}) const {
    Options options = small_run(small_options(objective, 4, 16), folder_ / "run");
    set_options(options, {{"mean", "0.5,0.5,0.5"}, {"std", "0.25,0.25,0.25"}});
    set_options(options, switches);
    return options;
  }

  /// An encoder as a run with these switches would save it, and `more` entries.
  std::string file(const std::string& name, const Switches& switches, const Metadata& more = {}) const {
    const Options options = tiny("simclr", switches);
    const RunData data(options);
    const ViewSettings view = view_settings(options, data.train())[0];
    Metadata metadata = more;
    metadata.merge(normalization_of(view.mean, view.std, view.channels));
    save_encoder(folder_ / name, make_encoder(encoder_settings(options, 16), {cpu_backend(), 3}), {}, metadata);
    return folder_ / name;
  }
  std::string same() const { return file("same", {}); }
  /// Of another stem without ReLU, for images normalized as ImageNet's.
  std::string other() const {
    return file("other", {{"stem", "stl"}, {"stem-relu", "off"}, {"mean", imagenet_mean}, {"std", imagenet_std}});
  }

  /// The notices in what a run says before its first step.
  static std::string notices(const Options& options, bool restored = false, bool begun = false) {
    RunData data(options);
    std::istringstream lines(described(RunSetup(options, data, cpu_backend(), restored, {}, begun)));
    std::string found;
    for (std::string line; std::getline(lines, line);)
      if (line.starts_with("notice: ")) found += line + "\n";
    return found;
  }
  std::string notices_of_init(const std::string& from, const Switches& more = {}) const {
    Options options = tiny("simclr", {{"init", from}});
    set_options(options, more);
    return notices(options);
  }

  TemporaryFolder folder_;
};

const std::string other_images =
    "the file's images had --mean 0.485,0.456,0.406 and --std 0.229,0.224,0.225, this run's have --mean 0.5,0.5,0.5 "
    "and "
    "--std 0.25,0.25,0.25\n";

TEST_F(OtherWeights, InitSaysWhichNetworkAndImagesTheFileHad) {
  EXPECT_EQ(notices_of_init(same()), "");
  EXPECT_EQ(notices_of_init(other()),
            "notice: the file's network has --stem stl and --stem-relu off, this run's has --stem cifar and "
            "--stem-relu on\n"
            "notice: " +
                other_images);
  EXPECT_EQ(notices_of_init(other(), {{"stem", "stl"}, {"mean", imagenet_mean}, {"std", imagenet_std}}),
            "notice: the file's network has --stem-relu off, this run's has --stem-relu on\n");
  const Switches other_std{{"std", "0.25,0.25,0.5"}};
  EXPECT_NE(notices_of_init(same(), other_std), "") << "only a standard deviation differs";
  EXPECT_NE(notices_of_init(same(), {{"mean", "0.5,0.25,0.5"}}), "");
  // The size of the images and what sets initial weights alone may be any.
  EXPECT_EQ(notices_of_init(same(), {{"image-size", "32"}, {"zero-init-gamma", "on"}}), "");
  const std::string conv4 = file("conv4", {{"encoder", "conv4"}});
  EXPECT_EQ(notices_of_init(conv4, {{"encoder", "conv4"}}), "");
}

TEST_F(OtherWeights, InitLeavesNoScaleThatStartsAtZero) {
  const auto values = [&](const Switches& more) {
    Options options = tiny("simclr", {{"init", same()}});
    set_options(options, more);
    RunData data(options);
    const RunSetup run(options, data, cpu_backend());
    std::vector<double> all;
    Encoder encoder = run.objective->encoder();
    encoder.each([&](const std::string&, const Tensor& tensor) {
      const std::vector<double> some = tensor.values();
      all.insert(all.end(), some.begin(), some.end());
    });
    return all;
  };
  for (const char* stem : {"exact", "adapt", "new"})
    EXPECT_EQ(values({{"init-stem", stem}, {"zero-init-gamma", "on"}}), values({{"init-stem", stem}})) << stem;
}

TEST_F(OtherWeights, InitWithANewStemAsksNothingOfTheFiles) {
  const std::string large = file("large", {{"stem", "imagenet"}, {"stem-relu", "off"}, {"mean", imagenet_mean}});
  EXPECT_EQ(notices_of_init(large, {{"init-stem", "new"}}),
            "notice: the file's network has --stem-relu off, this run's has --stem-relu on\n");
}

TEST_F(OtherWeights, InitComparesNoChannelsThatAreAdapted) {
  EncoderSettings gray = encoder_settings(tiny("simclr"), 16);
  gray.channels = 1;
  save_encoder(folder_ / "gray", make_encoder(gray, {cpu_backend(), 3}), {},
               normalization_of(every_channel(0.1f), every_channel(0.2f), 1));
  EXPECT_EQ(notices_of_init(folder_ / "gray", {{"init-stem", "adapt"}}), "");
}

TEST_F(OtherWeights, InitTakesFilesThatDescribeNoNetworkOrOnlyPartly) {
  const SafetensorsFile whole(same());
  Metadata metadata = whole.metadata();
  metadata.erase("stem_relu");  // as earlier versions wrote
  write_safetensors(folder_ / "earlier", whole.tensors(), metadata);
  EXPECT_EQ(notices_of_init(folder_ / "earlier"), "");
  EXPECT_EQ(notices_of_init(folder_ / "earlier", {{"stem-relu", "off"}}),
            "notice: the file's network has --stem-relu on, this run's has --stem-relu off\n");
  write_safetensors(folder_ / "plain", whole.tensors(), {});
  EXPECT_EQ(notices_of_init(folder_ / "plain", {{"stem", "stl"}}), "");
  const std::string strange = file("strange", {}, {{"stem", "of\nours"}, {"mean", "none"}});
  EXPECT_EQ(
      notices_of_init(strange),
      "notice: the file's network may be another than this run's: " + strange +
          ": metadata: 'stem': expected cifar, stl, stl_stride2, imagenet or cifar_padding2, got 'of\\x0aours'\n");
}

TEST_F(OtherWeights, InitIsReadInNoRunThatGoesOn) {
  Options options = tiny("simclr", {{"init", other()}, {"epochs", "1"}});
  ::testing::internal::CaptureStdout();
  pretrain(options);
  const std::string said = ::testing::internal::GetCapturedStdout();
  for (const char* part :
       {"initial weights   ", "\nnotice: the file's network has --stem stl and ", "images had --mean"})
    EXPECT_NE(said.find(part), std::string::npos) << said;

  fs::remove(folder_ / "other");
  EXPECT_NE(message_of([&] { describe_plan(options); }).find("--init: " + folder_ / "other"), std::string::npos);
  options.resume = true;
  const std::string resumed = describe_plan(options);
  EXPECT_NE(resumed.find("\ntime              about "), std::string::npos) << resumed;
  EXPECT_EQ(resumed.find("initial weights"), std::string::npos) << resumed;
  const std::string out = folder_ / "run";
  const std::vector<const char*> extend{"pretrain", "--out", out.c_str(), "--extend", "1", "--plan"};
  const std::string extended = describe_plan(parse_pretrain(static_cast<int>(extend.size()), extend.data()));
  EXPECT_NE(extended.find("for the added epochs"), std::string::npos) << extended;

  fs::remove(folder_ / "run/checkpoint.safetensors");  // there is nothing to go on from: the run would start
  EXPECT_NE(message_of([&] { describe_plan(options); }).find("--init: "), std::string::npos);
}

TEST_F(OtherWeights, DsaSaysHowThePriorsImagesWereNormalized) {
  const Switches neighbors{{"dsa.eta", "3"}};
  const auto notices_of_prior = [&](const Switches& more, bool restored = false, bool begun = false) {
    Options options = tiny("dsa", neighbors);
    set_options(options, more);
    return notices(options, restored, begun);
  };
  const std::string from = other();
  const Switches given{{"dsa.prior_file", from}};
  EXPECT_EQ(notices_of_prior(given), "notice: --dsa.prior_file: " + other_images);
  EXPECT_EQ(notices_of_prior({{"dsa.prior_file", from}, {"dsa.prior_net", "supervised"}}),
            "notice: --dsa.prior_file: " + other_images);
  EXPECT_EQ(notices_of_prior({{"dsa.prior_file", from}, {"mean", imagenet_mean}, {"std", imagenet_std}}), "");
  EXPECT_EQ(notices_of_prior({{"dsa.prior_file", same()}}), "");
  EXPECT_EQ(notices_of_prior({{"dsa.prior_file", from}, {"dsa.prior_stem", "random"}, {"dsa.prior_norm", "batch"}}), "")
      << "a new stem";
  EXPECT_EQ(notices_of_prior({{"dsa.prior_net", "ema"}}), "");
  EXPECT_EQ(notices_of_prior({{"dsa.prior_file", from}, {"dsa.lambda1", "0"}, {"dsa.lambda2", "0"}}), "")
      << "nothing reads the file";
  EXPECT_EQ(notices_of_prior(given, true), "") << "a run that goes on keeps its values";
  EXPECT_EQ(notices_of_prior(given, false, true), "");

  Options options = tiny("dsa", {{"dsa.eta", "3"}, {"dsa.prior_file", from}, {"max-steps", "1"}});
  ::testing::internal::CaptureStdout();
  pretrain(options);
  const std::string said = ::testing::internal::GetCapturedStdout();
  EXPECT_NE(said.find("\nnotice: --dsa.prior_file: " + other_images), std::string::npos) << said;
}

TEST(ChannelValues, AreThoseOfAnEntry) {
  const auto three = [](const char* entry) { return channel_values(entry, 3); };
  ASSERT_TRUE(three("[0.25, 0.5, 1]"));
  EXPECT_EQ((*three("[0.25, 0.5, 1]"))[1], 0.5f);
  EXPECT_EQ(three("0.25,0.5,1"), three("[0.25, 0.5, 1]"));
  EXPECT_EQ(three("0.25 0.5 1"), three("[0.25, 0.5, 1]"));
  for (const char* wrong : {"", "[", "[]", "[0.25, 0.5, 1", "0.25,0.5", "0.25,0.5,1,2", "0.25,nan,1", "x,0.5,1"})
    EXPECT_FALSE(three(wrong)) << wrong;
}

}  // namespace
}  // namespace vergence
