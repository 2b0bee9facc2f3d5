// `evaluate` as a whole, on a small encoder.
#include <cmath>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "datasets/registry.h"
#include "datasets/shapes/layered_images.h"
#include "engine/io/files.h"
#include "engine/io/safetensors.h"
#include "models/encoder_file.h"
#include "models/encoders/resnet.h"
#include "ssl/evaluation/evaluation.h"
#include "ssl/evaluation/features/mask.h"
#include "ssl/evaluation/geometry/alignment.h"
#include "ssl/evaluation/geometry/clustering.h"
#include "ssl/evaluation/geometry/spectrum.h"
#include "ssl/evaluation/neighbors/crowding.h"
#include "ssl/evaluation/neighbors/knn.h"
#include "ssl/evaluation/probes/dense.h"
#include "ssl/evaluation/probes/reconstruction.h"
#include "ssl/evaluation/robustness/foreground.h"
#include "ssl/evaluation/robustness/nuisance.h"
#include "ssl/options/options.h"
#include "tests/support/temporary_folder.h"

namespace vergence {
namespace {

class Evaluated : public testing::Test {
 protected:
  void SetUp() override {
    ResNetSettings settings;
    settings.width = 2;
    settings.image_size = 16;
    const ResNet encoder = make_resnet(settings, {cpu_backend(), 3});
    save_encoder(folder_ / "encoder.safetensors", encoder, {},
                 {{"mean", "0.5,0.5,0.5"}, {"std", "0.2,0.2,0.2"}, {"dataset", "confounded_shapes"}});
    options_.encoder_file = folder_ / "encoder.safetensors";
    options_.judged.set("device", "cpu");
    options_.limit = 60;
  }

  nlohmann::ordered_json run(const std::string& metrics, const std::string& mask = "", std::int64_t train_limit = 0,
                             std::uint64_t seed = 1) {
    Subject subject = open_subject(options_);
    EvaluationSettings settings;
    settings.seed = seed;
    settings.metrics = chosen_metrics(metrics, subject.data.name);
    settings.mask_file = mask;
    settings.train_limit = train_limit;
    settings.unasked = metrics == "all";
    if (settings.unasked) settings.episodes = {.ways = 3, .shots = {1}, .queries = 1, .episodes = 50};  // few images
    lines_.clear();
    nlohmann::ordered_json json = evaluate(subject, settings, [&](const std::string& line) { lines_.push_back(line); });
    json.erase("seconds");
    json.erase("seconds_of");
    return json;
  }

  std::string write_mask(const std::string& name, const std::vector<float>& values,
                         const std::string& tensor = "mask") {
    const auto count = static_cast<std::int64_t>(values.size());
    write_safetensors(folder_ / name, {{tensor, "F32", {count}, values.data(), count * 4}});
    return folder_ / name;
  }

  /// The encoder gets a run with these options.
  void make_run(Options options) {
    options.components.get<ResNetSettings>().width = 2;
    write_atomically(folder_ / "config.toml", options_to_toml(options));
    options_.run = folder_.path();
    options_.encoder_file = "";
  }

  TemporaryFolder folder_;
  SubjectOptions options_;
  std::vector<std::string> lines_;
};

void expect_finite(const nlohmann::ordered_json& json, const std::string& where) {
  EXPECT_FALSE(json.is_null()) << where;
  if (json.is_number()) {
    EXPECT_TRUE(std::isfinite(json.get<double>())) << where;
  }
  if (json.is_structured())
    for (const auto& item : json.items()) expect_finite(item.value(), where + "/" + item.key());
}

TEST_F(Evaluated, AllMetricsAreFiniteAndRepeat) {
  const nlohmann::ordered_json json = run("all");
  for (const std::string& name : metric_names()) {
    ASSERT_TRUE(json.contains(name)) << name;
    EXPECT_FALSE(json[name].empty()) << name;
  }
  expect_finite(json, "");
  EXPECT_EQ(json["reconstruction"]["train_images"], 60);
  EXPECT_EQ(json["foreground"]["linear_probe"].size(), 2u);
  EXPECT_EQ(json["foreground"]["linear_probe"][0].size(), 4u);
  const nlohmann::ordered_json& swap = json["foreground"]["swap"];
  EXPECT_EQ(swap["full"], json["foreground"]["linear_probe"][0][0]);
  EXPECT_EQ(swap["repaired"], json["foreground"]["linear_probe"][0][3]);
  EXPECT_NEAR(swap["drop"].get<double>(), swap["full"].get<double>() - swap["repaired"].get<double>(), 0.011);
  EXPECT_FALSE(json["knn"].contains("masked"));
  EXPECT_GE(lines_.size(), metric_names().size());
  EXPECT_EQ(json, run("all"));
  const nlohmann::ordered_json cut = run("nuisance,crowding", "", 30);
  EXPECT_EQ(cut["nuisance"]["train_images"], 30);
  EXPECT_EQ(cut["crowding"], json["crowding"]);
  EXPECT_FALSE(cut.contains("knn"));
}

TEST_F(Evaluated, AMaskScalesFeaturesForKnnAlone) {
  const nlohmann::ordered_json without = run("knn,crowding");
  const std::string ones = write_mask("ones", std::vector<float>(16, 1.0f));
  const nlohmann::ordered_json same = run("knn,crowding", ones);
  for (const char* form : {"knn_cosine_200", "knn_euclidean_5"})
    EXPECT_EQ(same["knn"]["masked"][form], same["knn"][form]);

  std::vector<float> mask(16, 0.0f);
  mask[3] = 2, mask[7] = -1;
  write_mask("mask.safetensors", mask);  // beside the encoder
  const nlohmann::ordered_json with = run("knn,crowding");
  EXPECT_EQ(with["crowding"], without["crowding"]);
  EXPECT_EQ(with["knn"]["knn_euclidean_5"], without["knn"]["knn_euclidean_5"]);
  Subject subject = open_subject(options_);
  const auto knn = [&](const std::vector<float>& factors) {
    const auto features = [&](const char* split) {
      Features all =
          extract_features(subject.encode(), open_dataset(subject.data, split), subject.extract, cpu_backend());
      for (std::size_t i = 0; i < all.values.size(); ++i) all.values[i] *= factors[i % 16];
      return all;
    };
    return knn_accuracy(features("probe"), features("test"), cpu_backend());
  };
  const KnnAccuracy expected = knn(mask), plain = knn(std::vector<float>(16, 1.0f));
  EXPECT_EQ(with["knn"]["masked"]["knn_euclidean_5"]["top1"], two_decimals(expected.euclidean_5.top1));
  EXPECT_EQ(with["knn"]["masked"]["knn_cosine_200"]["top1"], two_decimals(expected.cosine_200.top1));
  EXPECT_EQ(with["knn"]["knn_euclidean_5"]["top1"], two_decimals(plain.euclidean_5.top1));
  EXPECT_NE(expected.euclidean_5.predicted, plain.euclidean_5.predicted) << "or this test shows nothing";

  write_feature_mask(folder_ / "mask.safetensors", {mask, "7"});  // the encoder has no step
  EXPECT_EQ(run("knn")["knn"]["masked"], with["knn"]["masked"]);
  const Subject trained = open_subject(options_);
  Metadata about = trained.metadata;
  about["step"] = "8";
  save_encoder(folder_ / "encoder.safetensors", trained.encoder, trained.statistics, about);
  EXPECT_FALSE(run("knn")["knn"].contains("masked"));
  EXPECT_EQ(lines_.at(0), "notice: no figures with the mask: " + folder_ / "mask.safetensors" +
                              " is of step 7, the encoder of step 8");
  run("crowding");
  EXPECT_FALSE(lines_.at(0).starts_with("notice")) << "no figure that uses a mask";
  EXPECT_EQ(run("knn", folder_ / "mask.safetensors")["knn"]["masked"]["knn_cosine_200"],
            with["knn"]["masked"]["knn_cosine_200"])
      << "the user's choice";

  options_.untrained = true;  // initial weights have no mask
  EXPECT_FALSE(run("knn")["knn"].contains("masked"));
}

TEST_F(Evaluated, BadMasksAreUsageErrors) {
  EXPECT_THROW(run("knn", folder_ / "none"), UsageError);
  EXPECT_THROW(run("knn", write_mask("short", std::vector<float>(15, 1.0f))), UsageError);
  EXPECT_THROW(run("knn", write_mask("name", std::vector<float>(16, 1.0f), "weight")), UsageError);
  EXPECT_THROW(run("knn", write_mask("nan", std::vector<float>(16, NAN))), UsageError);
  EXPECT_THROW(run("crowding", write_mask("unused", std::vector<float>(16, 1.0f))), UsageError);
}

TEST_F(Evaluated, TakesTheRunsViewsWhereThereAreAny) {
  EXPECT_EQ(run("alignment")["alignment"]["views"], "crop 0.08-1, flip");
  Options options;
  for (ViewSettings& view : options.view) view = ViewSettings::identity(16);
  make_run(options);
  const nlohmann::ordered_json json = run("alignment");
  EXPECT_EQ(json["alignment"]["views"], "the run's views");
  EXPECT_DOUBLE_EQ(json["alignment"]["alignment"], 0);  // both views are the image itself
}

/// Each drawn on its own.
TEST_F(Evaluated, ComparesTheRunsFirstViewWithItsSecond) {
  Options options;
  options.view[1].crop_low = 0.5f, options.view[1].gray_p = 1;
  make_run(options);
  Subject subject = open_subject(options_);
  const auto features = [&](std::size_t view) {
    return extract_view_features(subject.encode(), open_dataset(subject.data, "test"), subject.extract,
                                 options.view[view], EvaluationSettings().seed, static_cast<std::int64_t>(view),
                                 cpu_backend());
  };
  const double expected = alignment_of(features(0), features(1));
  EXPECT_GT(expected, 0.01) << "or this test shows nothing";
  EXPECT_DOUBLE_EQ(run("alignment")["alignment"]["alignment"], expected);
}

TEST_F(Evaluated, FiguresWithoutAClassifierAreOfTheJudgedImages) {
  Options options;
  options.view[1].crop_low = 0.5f, options.view[1].gray_p = 1;
  make_run(options);
  constexpr std::uint64_t seed = 5;
  const nlohmann::ordered_json json = run("crowding,collapse,alignment,clustering", "", 0, seed);
  Subject subject = open_subject(options_);
  const Dataset images = open_dataset(subject.data, "test");
  const Features features = extract_features(subject.encode(), images, subject.extract, cpu_backend());
  const Crowding crowding = crowding_of(features);
  EXPECT_DOUBLE_EQ(json["crowding"]["ratio"], crowding.ratio);
  EXPECT_DOUBLE_EQ(json["crowding"]["intra"], crowding.intra);
  EXPECT_DOUBLE_EQ(json["crowding"]["inter"], crowding.inter);
  const Collapse collapse = collapse_of(features);
  EXPECT_DOUBLE_EQ(json["collapse"]["rankme"], collapse.rank_me);
  EXPECT_DOUBLE_EQ(json["collapse"]["std"], collapse.std);
  const Agreement clusters = clustering_of(features, seed);
  EXPECT_NE(clusters.nmi, clustering_of(features, 1).nmi) << "or this test does not show that the seed counts";
  EXPECT_DOUBLE_EQ(json["clustering"]["nmi"], clusters.nmi);
  EXPECT_DOUBLE_EQ(json["clustering"]["ari"], clusters.ari);
  EXPECT_EQ(json["clustering"]["accuracy"], two_decimals(clusters.accuracy));
  double uniformity = 0;
  for (const std::size_t view : {0, 1})
    uniformity += uniformity_of(extract_view_features(subject.encode(), images, subject.extract, options.view[view],
                                                      seed, static_cast<std::int64_t>(view), cpu_backend()),
                                cpu_backend()) /
                  2;
  EXPECT_NEAR(json["alignment"]["uniformity"].get<double>(), uniformity, 1e-12);
}

TEST_F(Evaluated, TrainedFiguresLearnFromOneSplitAndJudgeTheOther) {
  constexpr std::uint64_t seed = 5;
  constexpr std::int64_t train_limit = 40;
  const nlohmann::ordered_json json = run("knn,foreground,dense,reconstruction,nuisance", "", train_limit, seed);
  Subject subject = open_subject(options_);
  ProbeSettings probe = quick_probe();
  probe.seed = seed;
  const Encode encode = subject.encode();
  const auto images = [&](const char* split, std::int64_t limit) {
    DatasetSettings settings = subject.data;
    settings.limit = limit;
    return open_dataset(settings, split);
  };
  const Dataset train = images("probe", train_limit), test = images("test", 60);
  for (const Nuisance each : nuisances)
    EXPECT_EQ(json["nuisance"][name_of(each)],
              two_decimals(nuisance_accuracy(encode, train, test, each, subject.extract, probe, cpu_backend())))
        << name_of(each);

  const auto bank = open_layers(subject.data, "probe"), judged = open_layers(subject.data, "test");
  DenseSettings dense;
  dense.seed = seed;
  const Confusion pixels =
      dense_probe(subject.encode_map(), *bank, *judged, train_limit, 60, subject.extract, dense, cpu_backend());
  EXPECT_EQ(json["dense"]["miou"], two_decimals(pixels.mean_intersection_over_union()));
  EXPECT_EQ(json["dense"]["iou_background"], two_decimals(pixels.intersection_over_union(0)));
  EXPECT_EQ(json["dense"]["iou_foreground"], two_decimals(pixels.intersection_over_union(1)));

  const auto features = [&](const Dataset& data) {
    return extract_features(encode, data, subject.extract, cpu_backend());
  };
  ReconstructionSettings decoder;
  decoder.seed = seed;
  const Determination decoded =
      reconstruction_of(features(train), train, features(test), test, subject.extract, decoder, cpu_backend());
  EXPECT_DOUBLE_EQ(json["reconstruction"]["r2"], decoded.r_squared());
  EXPECT_DOUBLE_EQ(json["reconstruction"]["mse"], decoded.mean_squared_error());

  const ForegroundMatrix matrix = foreground_matrix(encode, *bank, *judged, 60, subject.extract, probe, cpu_backend());
  for (std::size_t row = 0; row < ForegroundMatrix::train.size(); ++row)
    for (std::size_t column = 0; column < ForegroundMatrix::test.size(); ++column) {
      EXPECT_EQ(json["foreground"]["linear_probe"][row][column], two_decimals(matrix.linear_probe[row][column]));
      EXPECT_EQ(json["foreground"]["knn_euclidean_5"][row][column], two_decimals(matrix.knn_euclidean_5[row][column]));
    }
  EXPECT_EQ(json["foreground"]["knn_cosine_200"][0][0], json["knn"]["knn_cosine_200"]["top1"]);
  EXPECT_EQ(json["foreground"]["k"], 60) << "as many as there are training images";
}

}  // namespace
}  // namespace vergence
