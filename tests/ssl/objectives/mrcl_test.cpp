// MRCL as an objective: each of its switches, its controls, its gradient, its pictures.
#include <cmath>
#include <gtest/gtest.h>
#include <map>

#include "engine/ops/ops.h"
#include "models/decoder.h"
#include "ssl/bench/step.h"
#include "ssl/losses.h"
#include "ssl/objectives/mrcl/reconstruction.h"
#include "ssl/steps/setup.h"
#include "tests/support/complaints.h"
#include "tests/support/objective_checks.h"
#include "tests/support/small_mrcl.h"

namespace vergence {
namespace {

using Values = std::vector<double>;

StepContext step_of(std::int64_t images) { return {.lr = 0.1, .steps = 10, .images = images}; }

/// 16 x 16 pixels, in f64.
std::unique_ptr<Objective> make(const Options& options, DType dtype = DType::f64) {
  return small_objective(options, dtype, 16);
}

Views some_views(std::int64_t images = 8, std::uint64_t seed = 3) {
  Views views = random_views(images, 16, seed, cpu_backend());
  views.plain = view(random_views(images, 16, seed + 1, cpu_backend()).both, 0);
  return doubled(views);
}

double first_loss(const Options& options, const Views& views = some_views()) {
  return make(options)->step(views, step_of(views.images())).loss.item();
}

struct Training {
  std::vector<double> losses, encoder;
};

Training train(const Options& options) {
  const auto objective = make(options, DType::f32);
  Training run;
  for (int step = 0; step < 4; ++step) {
    Views views = random_views(8, 16, 3 + static_cast<std::uint64_t>(step), cpu_backend());
    const Step done = objective->step(views, {.lr = 0.05, .step = step, .steps = 8, .epoch = step / 2, .images = 8});
    run.losses.push_back(options.objective == "mrcl" ? part(done, "contrastive") : done.loss.item());
  }
  objective->encoder().each([&](const std::string&, Tensor& tensor) {
    for (double value : tensor.values()) run.encoder.push_back(value);
  });
  for (const auto& [name, layer] : objective->statistics().layers) {
    if (name.starts_with("decoder")) continue;
    for (double value : layer.mean.values()) run.encoder.push_back(value);
  }
  return run;
}

TEST(Mrcl, WithoutMaskAndReconstructionIsTheBaseBitForBit) {
  for (const char* base : {"simclr", "byol", "barlow_twins"}) {
    Options plain = tiny_mrcl(base);
    plain.objective = base;
    const Training expected = train(plain);
    for (const Switches& control :
         {Switches{{"mrcl.mask_ratio", "0"}, {"mrcl.alpha", "0"}},
          Switches{{"mrcl.mask_views", "none"}, {"mrcl.alpha", "0"}},
          Switches{{"mrcl.mask_ratio", "0"}, {"mrcl.alpha", "1"}, {"mrcl.rec_detach_encoder", "on"}}}) {
      const Training run = train(tiny_mrcl(base, control));
      EXPECT_EQ(run.losses, expected.losses) << base;
      EXPECT_EQ(run.encoder, expected.encoder) << base;
    }
    EXPECT_NE(train(tiny_mrcl(base, {{"mrcl.alpha", "0"}})).encoder, expected.encoder) << "masks";
    EXPECT_NE(train(tiny_mrcl(base, {{"mrcl.mask_ratio", "0"}})).encoder, expected.encoder) << "reconstruction";
  }
}

TEST(Mrcl, TheLossIsThatOfItsParts) {
  for (const char* views_masked : {"both", "one", "one_asym", "none"}) {
    const Options options = tiny_mrcl("simclr", {{"mrcl.alpha", "0.3"}, {"mrcl.mask_views", views_masked}});
    const Step step = make(options)->step(some_views(), step_of(8));
    EXPECT_NEAR(step.loss.item(), part(step, "contrastive") + 0.3 * part(step, "reconstruction"), 1e-12);
    EXPECT_NEAR(part(step, "information_bound"), std::log(15.0) - part(step, "contrastive"), 1e-12);
  }
}

TEST(Mrcl, MaskingOneViewIsTheMeanOfMaskingEach) {
  for (const char* base : {"simclr", "byol", "barlow_twins"})
    for (const char* region : {"all", "masked"}) {
      // Every patch is erased, so that the masks of a view and of its place agree.
      Switches more{{"mrcl.mask_ratio", "1"}, {"mrcl.rec_region", region}};
      const auto loss = [&](const char* which, const Views& views) {
        more.push_back({"mrcl.mask_views", which});
        return first_loss(tiny_mrcl(base, more), views);
      };
      const Views views = some_views();
      const Views swapped{concat({view(views.both, 1), view(views.both, 0)}, 0), views.plain};
      const double one = loss("one", views), first = loss("one_asym", views), second = loss("one_asym", swapped);
      EXPECT_NEAR(one, (first + second) / 2, 1e-10 * std::abs(one)) << base << region;
      EXPECT_GT(std::abs(first - second), 1e-6 * std::abs(one)) << base << region;
    }
}

TEST(Mrcl, EachSwitchChangesTheLoss) {
  std::map<double, std::string> seen;
  const auto add = [&](const std::string& base, const Switches& more) {
    std::string name = base;
    for (const auto& [option, value] : more) name += " " + option + "=" + value;
    const double loss = first_loss(tiny_mrcl(base, more));
    EXPECT_TRUE(std::isfinite(loss)) << name;
    for (const auto& [other, its_name] : seen)  // by more than rounding
      EXPECT_GT(std::abs(loss - other), 1e-9 * std::abs(other)) << name << " gives the loss of " << its_name;
    seen.emplace(loss, name);
  };
  for (const char* base : {"simclr", "byol", "barlow_twins"}) add(base, {});
  for (const auto& [name, value] : Switches{{"mrcl.alpha", "0.1"},
                                            {"mrcl.mask_ratio", "0.5"},
                                            {"mrcl.mask_patch", "4"},
                                            {"mrcl.mask_fill", "noise"},
                                            {"mrcl.mask_views", "one"},
                                            {"mrcl.mask_views", "both"},
                                            {"mrcl.mask_views", "none"},
                                            {"mrcl.rec_variance", "off"},
                                            {"mrcl.rec_input", "map"},
                                            {"mrcl.rec_target", "masked"},
                                            {"mrcl.rec_target", "clean"},
                                            {"mrcl.rec_region", "masked"},
                                            {"mrcl.rec_region", "visible"},
                                            {"mrcl.rec_norm", "l1"},
                                            {"mrcl.rec_patch_norm", "on"},
                                            {"mrcl.decoder_width", "8"}})
    add("simclr", {{name, value}});
  add("byol", {{"mrcl.target_clean", "on"}});
}

/// Views of a data set whose pixels are normalized by another deviation: the same training, up to batch norm's epsilon.
TEST(Mrcl, TheReconstructionsShareDoesNotChangeWithTheDeviation) {
  const auto shares = [](double scale, const char* by_variance) {
    Options options = tiny_mrcl("simclr", {{"mrcl.rec_variance", by_variance}, {"mrcl.mask_fill", "mean"}});
    const auto objective = make(options);
    Values found;
    for (int step = 0; step < 5; ++step) {
      Views views = some_views();
      views.both = scale * views.both;
      const Step done = objective->step(views, {.lr = 0.01, .step = step, .steps = 5, .images = 8});
      const double share = part(done, "reconstruction_share");
      EXPECT_NEAR(share, 0.25 * part(done, "reconstruction") / done.loss.item(), 1e-12);
      found.push_back(share);
    }
    return found;
  };
  const Values usual = shares(1, "on"), small = shares(0.25, "on"), large = shares(4, "on");
  for (std::size_t step = 0; step < usual.size(); ++step) {
    EXPECT_NEAR(small[step], usual[step], 0.05 * usual[step]) << step;
    EXPECT_NEAR(large[step], usual[step], 0.05 * usual[step]) << step;
  }
  EXPECT_GT(shares(4, "off").back(), 1.2 * shares(0.25, "off").back()) << "or this test shows nothing";
}

TEST(Mrcl, DeviationsAreThoseOfEachChannel) {
  const Tensor images = random_tensor({6, 4, 4, 3}, 3, DType::f64);
  Values x = images.values();
  for (std::size_t i = 0; i < x.size(); i += 3) x[i + 1] = 7 + 3 * x[i + 1], x[i + 2] = 0.5;
  const Values found = channel_deviations(from_values(cpu_backend(), images.shape, x)).values();
  for (std::size_t c = 0; c < 2; ++c) {
    double mean = 0, square = 0;
    for (std::size_t i = c; i < x.size(); i += 3) mean += x[i] / 96;
    for (std::size_t i = c; i < x.size(); i += 3) square += (x[i] - mean) * (x[i] - mean) / 96;
    EXPECT_NEAR(found[c], std::sqrt(square), 1e-12);
  }
  EXPECT_NEAR(found[2], 0.01, 1e-12) << "a channel of one value has no deviation to count in";
}

TEST(Mrcl, ATokenStartsAsTheMeanAndIsLearned) {
  const Options token = tiny_mrcl("simclr", {{"mrcl.mask_fill", "token"}}), mean = tiny_mrcl();
  const auto objective = make(token);
  const Views views = some_views();
  EXPECT_EQ(objective->step(views, step_of(8)).loss.item(), first_loss(mean, views));
  const ParameterSet parameters = objective->state().parameters[0].second;
  const std::size_t place = parameters.index_of("mask_token");
  for (double value : parameters.tensors()[place].values()) EXPECT_NE(value, 0);
}

TEST(Mrcl, AStepFollowsTheGradientOfItsLoss) {
  for (const Switches& more :
       {Switches{{"mrcl.mask_fill", "token"}}, Switches{{"mrcl.rec_input", "map"}, {"mrcl.rec_region", "masked"}},
        Switches{{"mrcl.mask_views", "one"}, {"mrcl.rec_patch_norm", "on"}, {"mrcl.mask_fill", "token"}}})
    expect_step_follows_gradient(tiny_mrcl("simclr", more), some_views(), step_of(8), more[0].second);
}

TEST(Mrcl, EveryStepErasesOtherPatches) {
  const auto objective = make(tiny_mrcl());
  const Views views = some_views();
  const auto loss = [&](std::int64_t epoch) {
    return objective->step(views, {.lr = 0, .step = epoch, .steps = 10, .epoch = epoch, .images = 8}).loss.item();
  };
  const double first = loss(0);
  EXPECT_NE(loss(1), first);
  EXPECT_EQ(loss(0), first);
}

TEST(Mrcl, ADetachedDecoderStillLearns) {
  Options options = tiny_mrcl("simclr", {{"mrcl.rec_detach_encoder", "on"}});
  options.momentum = options.weight_decay = 0;
  const auto objective = make(options);
  const ParameterSet parameters = objective->state().parameters[0].second;
  const Tensor& weights = parameters.tensors()[parameters.index_of("decoder.13.weight")];
  const Values before = weights.values();
  objective->step(some_views(), step_of(8));
  EXPECT_NE(weights.values(), before);
}

TEST(Mrcl, CopyingTheMaskedViewIsEasierThanFillingIt) {
  const auto final_loss = [](const char* target) {
    Options options = tiny_mrcl("simclr", {{"mrcl.rec_target", target},
                                           {"mrcl.rec_variance", "off"},
                                           {"mrcl.mask_views", "both"},
                                           {"mrcl.mask_ratio", "0.5"},
                                           {"mrcl.alpha", "5"}});
    options.optimizer = OptimizerKind::adam;
    options.weight_decay = 0;
    const auto objective = make(options, DType::f32);
    double last = 0;
    for (int step = 0; step < 40; ++step) {
      const Views views = random_views(8, 16, 3, cpu_backend());
      last = part(objective->step(views, {.lr = 1e-2, .step = step, .steps = 40, .images = 8}), "reconstruction");
    }
    return last;
  };
  EXPECT_LT(final_loss("masked"), 0.9 * final_loss("unmasked"));
}

TEST(Mrcl, ATargetNetworkSeesTheMaskedViewsOrNot) {
  const auto loss = [](const char* clean, const char* views) {
    return first_loss(
        tiny_mrcl("byol", {{"mrcl.target_clean", clean}, {"mrcl.mask_views", views}, {"mrcl.alpha", "0"}}));
  };
  EXPECT_NE(loss("on", "both"), loss("off", "both"));
  EXPECT_EQ(loss("on", "none"), loss("off", "none"));
}

/// With every patch erased, the encoder sees nothing of the images, and a target network only if its views are clean.
TEST(Mrcl, ACleanTargetSeesTheWholeViews) {
  const auto loss = [](const char* clean, std::uint64_t seed) {
    const Switches all_erased{{"mrcl.mask_ratio", "1"}, {"mrcl.mask_views", "both"}, {"mrcl.mask_fill", "mean"}};
    Options options = tiny_mrcl("byol", all_erased);
    set_options(options, {{"mrcl.target_clean", clean}, {"mrcl.alpha", "0"}});
    return first_loss(options, some_views(8, seed));
  };
  EXPECT_EQ(loss("off", 3), loss("off", 9));
  EXPECT_NE(loss("on", 3), loss("on", 9));
}

TEST(Mrcl, RefusesWhatCannotBe) {
  const auto message = [](const Switches& more) { return message_of([&] { make(tiny_mrcl("simclr", more)); }); };
  EXPECT_NE(message({{"mrcl.target_clean", "on"}}).find("--mrcl.target_clean: simclr has no target network"),
            std::string::npos);
  EXPECT_NE(message({{"mrcl.mask_patch", "5"}}).find("--mrcl.mask_patch"), std::string::npos);
  for (const char* which : {"mask_ratio", "mask_views"}) {
    const char* value = std::string(which) == "mask_ratio" ? "0" : "none";
    EXPECT_NE(message({{std::string("mrcl.") + which, value}, {"mrcl.rec_region", "masked"}}).find("--mrcl.rec_region"),
              std::string::npos);
  }
  EXPECT_NE(message({{"mrcl.mask_ratio", "1"}, {"mrcl.rec_region", "visible"}}).find("--mrcl.rec_region"),
            std::string::npos);
  Options options;
  EXPECT_NE(message_of([&] { set_option(options, "mrcl.base", "mrcl"); }).find("barlow_twins"), std::string::npos);
  EXPECT_NE(message_of([&] { set_option(options, "mrcl.mask_ratio", "1.5"); }).find("from 0 to 1"), std::string::npos);
  EXPECT_NE(message_of([&] { set_option(options, "mrcl.mask_fill", "gray"); }).find("mean, noise or token"),
            std::string::npos);
}

TEST(Mrcl, RefusesARatioThatErasesNoPatch) {
  Options options = tiny_mrcl("simclr", {{"mrcl.mask_ratio", "0.007"}});
  for (const bool resume : {false, true}) {  // the flag alone restores nothing
    options.resume = resume;
    EXPECT_EQ(message_of([&] { make(options); }),
              "--mrcl.mask_ratio: 0.007 of an image's 64 patches rounds to none; expected at least 0.015625, one "
              "patch, or 0 for no mask");
  }
  EXPECT_NO_THROW(begun_objective(options, DType::f64, 16)) << "as earlier versions trained it";
  for (const Switches& more : {Switches{{"mrcl.mask_ratio", "0.015625"}}, Switches{{"mrcl.mask_ratio", "0"}},
                               Switches{{"mrcl.mask_ratio", "0.007"}, {"mrcl.mask_views", "none"}}})
    EXPECT_NO_THROW(make(tiny_mrcl("simclr", more)));
}

TEST(Mrcl, RefusesToNormalizePatchesOfOneValue) {
  const auto message = [](const Switches& more, std::int64_t channels) {
    const Options options = tiny_mrcl("simclr", more);
    return error_or("accepted", [&] {
      make_objective({options, encoder_settings(options, 16, channels), cpu_backend(), DType::f64, DType::f64});
    });
  };
  const Switches normalized{{"mrcl.rec_patch_norm", "on"}, {"mrcl.mask_patch", "1"}};
  EXPECT_EQ(message(normalized, 1),
            "--mrcl.mask_patch: a patch of one pixel of one channel has no deviation for --mrcl.rec_patch_norm on; "
            "expected larger patches, or --mrcl.rec_patch_norm off");
  EXPECT_EQ(message(normalized, 3), "accepted");
  EXPECT_EQ(message({{"mrcl.mask_patch", "1"}}, 1), "accepted");
  EXPECT_EQ(message({{"mrcl.rec_patch_norm", "on"}, {"mrcl.mask_patch", "2"}}, 1), "accepted");
}

TEST(Mrcl, ThePlanCountsTheDecoder) {
  const auto with = make(tiny_mrcl("simclr", {{"mrcl.alpha", "1"}}))->cost(8),
             without = make(tiny_mrcl("simclr", {{"mrcl.alpha", "0"}}))->cost(8),
             twice = make(tiny_mrcl("simclr", {{"mrcl.alpha", "0"}, {"mrcl.mask_views", "one"}}))->cost(8);
  const Decoder decoder = make_decoder({.features = 32, .image_size = 16, .width = 4}, {cpu_backend(), 1, DType::f64});
  EXPECT_EQ(with.parameters - without.parameters, decoder.parameters());
  EXPECT_DOUBLE_EQ(with.flops - without.flops, 3 * decoder.flops(16));
  EXPECT_DOUBLE_EQ(twice.flops, 2 * without.flops);
  EXPECT_GT(twice.bytes, without.bytes);
}

TEST(Mrcl, PicturesOfNormalisedPatchesAreInTheirOwnColors) {
  const Tensor images = view(some_views().both, 0);
  const auto reconstructed = [&](const char* patch_norm) {
    const auto objective = make(tiny_mrcl(
        "simclr", {{"mrcl.rec_patch_norm", patch_norm}, {"mrcl.rec_variance", "off"}, {"mrcl.mask_ratio", "0"}}));
    const Tensor shown = objective->pictures(images).images;
    return slice(reshape(shown, {8, 2, images.size() / 8}), 1, 1, 1);
  };
  const PatchGrid grid{16, 2};
  const Tensor plain = reshape(reconstructed("off"), images.shape);
  const Values expected = restore_patches(plain, patch_statistics(images, grid), grid).values(),
               normalized = reconstructed("on").values();
  for (std::size_t i = 0; i < expected.size(); ++i) EXPECT_NEAR(normalized[i], expected[i], 1e-12);
}

TEST(Mrcl, PicturesInUnitsOfDeviationsAreInTheirOwnColors) {
  const Tensor images = 3 * view(some_views().both, 0);
  const auto reconstructed = [&](const char* by_variance) {
    const auto objective = make(tiny_mrcl("simclr", {{"mrcl.rec_variance", by_variance}, {"mrcl.mask_ratio", "0"}}));
    const Tensor shown = objective->pictures(images).images;
    return reshape(slice(reshape(shown, {8, 2, images.size() / 8}), 1, 1, 1), images.shape);
  };
  const Values expected = (reconstructed("off") * channel_deviations(images)).values();
  const Values found = reconstructed("on").values();
  for (std::size_t i = 0; i < expected.size(); ++i) EXPECT_NEAR(found[i], expected[i], 1e-12);
}

TEST(Mrcl, PicturesShowOriginalMaskedAndReconstructed) {
  const Tensor images = view(random_views(8, 16, 3, cpu_backend()).both, 0);
  const auto pictures = [&](const Switches& more) {
    const auto objective = make(tiny_mrcl("simclr", more), DType::f32);
    objective->step(random_views(8, 16, 4, cpu_backend()), step_of(8));
    return objective->pictures(images);
  };
  const Pictures all = pictures({});
  EXPECT_EQ(all.columns, 3);
  ASSERT_EQ(all.images.shape, (Shape{24, 16, 16, 3}));
  const Values shown = all.images.values(), wanted = images.values();
  const std::size_t length = 16 * 16 * 3;
  double gone = 0, difference = 0;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    const std::size_t image = i / length, at = 3 * image * length + i % length;
    EXPECT_EQ(shown[at], wanted[i]);
    EXPECT_TRUE(shown[at + length] == wanted[i] || shown[at + length] == 0);
    gone += shown[at + length] == 0;
    difference += std::abs(shown[at + 2 * length] - wanted[i]);
  }
  EXPECT_EQ(gone, 8 * 0.25 * 16 * 16 * 3);
  EXPECT_GT(difference, 0);
  EXPECT_EQ(pictures({{"mrcl.alpha", "0"}}).columns, 2);
  EXPECT_EQ(pictures({{"mrcl.mask_ratio", "0"}}).columns, 2);
  EXPECT_FALSE(pictures({{"mrcl.mask_ratio", "0"}, {"mrcl.alpha", "0"}}).images);
  EXPECT_EQ(pictures({{"mrcl.rec_patch_norm", "on"}, {"mrcl.rec_input", "map"}, {"mrcl.mask_fill", "noise"}}).columns,
            3);
}

}  // namespace
}  // namespace vergence
