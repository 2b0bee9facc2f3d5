// What evaluate and linear_probe say about data that cannot be judged as they stand, and what they keep, by the real
// programs.
#include <cstdlib>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <regex>
#include <set>
#include <sys/wait.h>

#include "datasets/readers/cifar.h"
#include "engine/io/files.h"
#include "engine/text/json_text.h"
#include "engine/version.h"
#include "kernels/random.h"
#include "models/encoder_file.h"
#include "models/encoders/resnet.h"
#include "ssl/evaluation/features/features.h"
#include "ssl/evaluation/probes/probe.h"
#include "ssl/options/options.h"
#include "tests/support/complaints.h"
#include "tests/support/image_tree.h"
#include "tests/support/npy_files.h"
#include "tests/support/special_files.h"
#include "tests/support/tool_process.h"

namespace vergence {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using Labels = std::vector<std::int32_t>;

class EvaluationFiles : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_NE(std::getenv("VERGENCE_BUILD"), nullptr) << "the folder of the tools";
    save({{"dataset", "npy"}, {"epoch", "7"}, {"step", "70"}});
  }

  /// The encoder, with these metadata.
  void save(Metadata metadata) {
    ResNetSettings settings;
    settings.width = 2;
    settings.image_size = size_;
    metadata["mean"] = "0.491400003,0.482199997,0.446500003";
    metadata["std"] = "0.25,0.25,0.25";
    fs::create_directories(folder_ / "run");
    save_encoder(folder_ / "run/encoder.safetensors", make_resnet(settings, {cpu_backend(), 3}), {}, metadata);
  }

  /// Images of noise around a color that their class has, and their labels unless there are none.
  void write_npy(const std::string& folder, const std::string& split, const Labels& classes, bool labeled = true,
                 std::int32_t factor = 1) const {
    fs::create_directories(folder_ / folder);
    std::string pixels, labels;
    Random random(2, Purpose::test, 0, split == "test");
    for (const std::int32_t label : classes) {
      for (std::int64_t i = 0; i < size_ * size_ * 3; ++i)
        pixels += static_cast<char>(random.below(100) + (i % 3 == label % 3 ? 100 : 0) + (label >= 3 ? 50 : 0));
      labels += little_endian(static_cast<std::uint64_t>(label * factor), 8);
    }
    const auto count = static_cast<std::int64_t>(classes.size());
    write_atomically(folder_ / folder + "/" + split + ".npy", npy_array("|u1", {count, size_, size_, 3}, pixels));
    if (labeled) write_atomically(folder_ / folder + "/" + split + "_labels.npy", npy_array("<i8", {count}, labels));
  }

  /// Exit status of a tool on the encoder.
  int run(const std::string& tool, const std::string& arguments) {
    return shell("\"$VERGENCE_BUILD/" + tool + "\" --encoder-file run/encoder.safetensors --device cpu " + arguments);
  }
  int shell(const std::string& script) {
    write_atomically(folder_ / "script", "cd " + shell_word(folder_.path()) + "\n" + script + "\n");
    const std::string command =
        "cd " + shell_word(folder_.path()) + "&& timeout 300 bash script </dev/null >printed 2>errors";
    const int status = std::system(command.c_str());
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
  std::string printed() const { return folder_.bytes("printed"); }
  std::string errors() const { return folder_.bytes("errors"); }
  void expect_printed(const std::vector<std::string>& parts) const {
    for (const std::string& part : parts)
      EXPECT_NE(printed().find(part), std::string::npos) << part << " not in: " << printed();
  }
  Json result(const std::string& name) const { return parse_json(folder_.bytes("run/" + name)); }
  std::vector<Json> results() const {
    std::vector<Json> lines;
    std::istringstream text(folder_.bytes("run/results.jsonl"));
    for (std::string line; std::getline(text, line);) lines.push_back(parse_json(line));
    return lines;
  }
  void expect_refused(const std::string& tool, const std::string& arguments, const std::string& line) {
    EXPECT_EQ(run(tool, arguments), 2) << arguments;
    EXPECT_EQ(errors(), tool + ": " + line + "\n");
  }

  std::int64_t size_ = 8;
  /// Writes a folder's images as the encoder sees them, as arrays that need no resizing; of the training images
  /// `limit`, evenly spaced (0: all).
  void write_as_seen(const ImageTree& images, const std::string& to, std::int64_t limit = 0) {
    const ExtractSettings extract{.image_size = 16, .resize = 21, .std = {1, 1, 1}};
    fs::create_directory(folder_ / to);
    const auto write = [&](const char* split, const char* name, std::int64_t most) {
      const Dataset seen =
          as_seen(open_dataset({.name = "image_folder", .directory = images.path(), .limit = most}, split), extract);
      write_atomically(folder_ / to + "/" + name + ".npy",
                       npy_array("|u1", {seen.count, 16, 16, 3}, {seen.pixels.begin(), seen.pixels.end()}));
    };
    write("probe", "train", limit);
    write("test", "test", 0);
  }

  TemporaryFolder folder_;
};

Labels sorted_labels(const std::vector<int>& counts) {
  Labels labels;
  for (std::size_t c = 0; c < counts.size(); ++c)
    labels.insert(labels.end(), static_cast<std::size_t>(counts[c]), static_cast<std::int32_t>(c));
  return labels;
}

// ---- classes

TEST_F(EvaluationFiles, ClassesThatAreJudgedAndNotLearntAreNamed) {
  write_npy("d", "train", sorted_labels({60, 60, 60, 20}));
  write_npy("d", "test", sorted_labels({10, 10, 10, 10}));
  // The last tenth is all of class 3, which then lies nowhere else.
  const std::string line =
      "notice: the one class judged in val has no image in probe_without_val, so its 20 images count as misses: 3\n";
  ASSERT_EQ(run("evaluate", "--data d --split val --metrics knn,corruptions"), 0) << errors();
  expect_printed({line, "knn_cosine_200 top1 0.00"});
  EXPECT_EQ(printed().find("notice", printed().find("knn_cosine_200")), std::string::npos) << "said once";
  EXPECT_EQ(result("evaluation_val.json")["knn"]["missing_classes"], Labels{3});
  EXPECT_EQ(result("evaluation_val.json")["knn"]["missing_images"], 20);
  EXPECT_EQ(result("evaluation_val.json")["corruptions"]["missing_classes"], Labels{3});
  ASSERT_EQ(run("linear_probe", "--data d --split val --protocol adam --epochs 2"), 0) << errors();
  expect_printed({line});
  EXPECT_EQ(result("probe_val.json")["missing_classes"], Labels{3});
  EXPECT_EQ(results().back()["figures"]["missing_images"], 20);
  // A limit does the same to the split test.
  ASSERT_EQ(run("evaluate", "--data d --limit 30 --metrics knn"), 0) << errors();
  expect_printed({"run/encoder.safetensors, epoch 7, step 70, on npy test, 30 images (--limit 30)\n",
                  "notice: 2 of the 3 classes judged in test have no image in probe with --limit 30, so their "
                  "20 images count as misses: 1, 2\n",
                  "notice: all images of probe that are learned from are of one class with --limit 30: 0\n"});
  // Where nothing is missing nothing is said.
  ASSERT_EQ(run("evaluate", "--data d"), 0) << errors();
  EXPECT_EQ(printed().find("notice"), std::string::npos) << printed();
  EXPECT_FALSE(result("evaluation.json")["knn"].contains("missing_classes"));
}

TEST_F(EvaluationFiles, TheProbeOfCorruptionsMayLearnFewerClasses) {
  write_npy("d", "train", sorted_labels({60, 60}));
  write_npy("d", "test", sorted_labels({5, 5}));
  ASSERT_EQ(run("evaluate", "--data d --metrics knn,corruptions --train-limit 40"), 0) << errors();
  expect_printed({"1 of the 2 classes judged in test has no image in probe with --train-limit 40, so its 5"});
  EXPECT_FALSE(result("evaluation.json")["knn"].contains("missing_classes"));
}

TEST_F(EvaluationFiles, GapsInLabelsChangeNothing) {
  const Labels train = sorted_labels({20, 20, 20, 20}), test = sorted_labels({10, 10, 10, 10});
  Json expected;
  for (const std::int32_t factor : {1, 7, 1000}) {
    write_npy("d", "train", train, true, factor);
    write_npy("d", "test", test, true, factor);
    ASSERT_EQ(run("evaluate", "--data d --metrics knn,crowding,clustering,episodes --shots 1 --queries 4 --ways 3"), 0)
        << errors();
    EXPECT_EQ(printed().find("notice: 1"), std::string::npos) << printed();
    Json found;
    for (const char* name : {"knn", "crowding", "clustering", "episodes"})
      found[name] = result("evaluation.json")[name];
    if (factor == 1) expected = found;
    EXPECT_EQ(found, expected) << factor;
  }
  EXPECT_GT(expected["clustering"]["accuracy"], 30);
}

TEST_F(EvaluationFiles, OneClassOrOneImageLosesNothing) {
  write_npy("d", "train", sorted_labels({30, 30}));
  write_npy("d", "test", sorted_labels({12}));
  ASSERT_EQ(run("evaluate", "--data d --metrics all"), 0) << errors();
  const std::string one = " not measured: all 12 images of npy test are of one class, expected at least two\n";
  expect_printed({"knn_cosine_200 top1", "\ncrowding" + one, "rankme", "uniformity", "\nclustering" + one,
                  "reconstruction_r2", "nuisance_hue", "episodes not measured: "});
  Json json = result("evaluation.json");
  for (const char* name : {"crowding", "clustering", "episodes"}) {
    EXPECT_TRUE(json[name].is_null()) << name;
    EXPECT_TRUE(json["not_measured"].contains(name)) << name;
  }
  for (const char* name : {"knn", "collapse", "alignment", "nuisance"}) EXPECT_TRUE(json[name].is_object()) << name;
  EXPECT_EQ(results().back()["figures"]["not_measured"], json["not_measured"]);

  ASSERT_EQ(run("evaluate", "--data d --limit 1"), 0) << errors();
  json = result("evaluation.json");
  EXPECT_TRUE(json["collapse"].is_null());
  EXPECT_TRUE(json["crowding"].is_null());
  EXPECT_TRUE(json["alignment"]["uniformity"].is_null());
  EXPECT_TRUE(json["alignment"]["alignment"].is_number());
  EXPECT_EQ(json["knn"]["knn_euclidean_5"]["top1"], 100.0);
  EXPECT_EQ(json["not_measured"]["uniformity"], "there is one image, expected at least two");
}

TEST_F(EvaluationFiles, EqualImagesHaveNoCrowding) {
  write_npy("d", "train", sorted_labels({30, 30}));
  write_npy("d", "test", sorted_labels({5, 9}));
  write_atomically(folder_ / "d/test.npy",
                   npy_array("|u1", {14, size_, size_, 3}, std::string(14 * size_ * size_ * 3, 'x')));
  ASSERT_EQ(run("evaluate", "--data d --metrics crowding"), 0) << errors();
  expect_printed({"crowding_ratio not measured: the means of all classes coincide\n"});
  const Json json = result("evaluation.json");
  EXPECT_TRUE(json["crowding"]["ratio"].is_null());
  EXPECT_TRUE(json["not_measured"].contains("crowding_ratio"));
}

TEST_F(EvaluationFiles, OptionsOfEpisodesNeedEpisodes) {
  write_npy("d", "train", sorted_labels({30, 30}));
  write_npy("d", "test", sorted_labels({12, 12}));
  const std::string refusal =
      "--ways, --shots, --queries, --episodes: only episodes uses them, and --metrics leaves it out";
  for (const char* given : {"--metrics knn --ways 5", "--shots 1,5", "--shots 2", "--queries 15 --metrics collapse"}) {
    expect_refused("evaluate", join("--data d ", given), refusal);
    EXPECT_EQ(printed(), "");
  }
}

TEST_F(EvaluationFiles, AMetricThatFailsLosesNothing) {
  size_ = 10;  // of which no decoder makes images
  save({{"dataset", "npy"}});
  write_npy("d", "train", sorted_labels({30, 30}));
  write_npy("d", "test", sorted_labels({6, 6}));
  EXPECT_EQ(run("evaluate", "--data d --metrics crowding,reconstruction,nuisance"), 2);
  const Json json = result("evaluation.json");
  EXPECT_TRUE(json["crowding"].is_object());
  EXPECT_TRUE(json["reconstruction"].is_null());
  EXPECT_TRUE(json["nuisance"].is_object());
  EXPECT_EQ(errors(), "evaluate: " + json["not_measured"]["reconstruction"].get<std::string>() + "\n");
  EXPECT_EQ(results().size(), 1u);
  // Where there is no figure at all, nothing is written.
  EXPECT_EQ(run("evaluate", "--data d --metrics reconstruction"), 2);
  EXPECT_EQ(result("evaluation.json")["metrics"], json["metrics"]);
  EXPECT_EQ(results().size(), 1u);
}

// ---- the probe's options

TEST_F(EvaluationFiles, AProbeBySgdSeesNewViewsInEveryEpoch) {
  write_npy("d", "train", sorted_labels({60, 60}));
  write_npy("d", "test", sorted_labels({10, 10}));
  ASSERT_EQ(run("linear_probe",
                "--data d --protocol sgd --epochs 2 --batch 64 --lr 0.4 --momentum 0.5 --weight-decay 0.01 "
                "--schedule cosine --seed 5"),
            0)
      << errors();
  EXPECT_EQ(result("probe.json")["probe"], (Json{{"protocol", "sgd"},
                                                 {"epochs", 2},
                                                 {"batch", 64},
                                                 {"lr", 0.4},
                                                 {"applied_lr", 0.1},
                                                 {"schedule", "cosine"},
                                                 {"momentum", 0.5},
                                                 {"augmentation", "random resized crop 0.08-1, flip"},
                                                 {"weight_decay", 0.01},
                                                 {"seed", 5}}));
  TrainedEncoder trained = load_encoder(folder_ / "run/encoder.safetensors", cpu_backend());
  const Dataset train = open_dataset({.name = "npy", .directory = folder_ / "d"}, "probe");
  ExtractSettings extract{.image_size = size_, .mean = {0.4914f, 0.4822f, 0.4465f}, .std = {0.25f, 0.25f, 0.25f}};
  const FeatureSource views = [&](std::int64_t epoch) {
    return extract_view_features(encode_with(trained.encoder, trained.statistics), train, extract, probe_view(), 5,
                                 epoch, cpu_backend());
  };
  ProbeSettings settings = default_probe(ProbeProtocol::sgd, 64);
  settings.epochs = 2, settings.lr = 0.4, settings.momentum = 0.5, settings.weight_decay = 0.01, settings.seed = 5;
  settings.schedule = ProbeSchedule::cosine;
  double loss = 0;
  train_probe(views, settings, cpu_backend(), [&](std::int64_t, double of_epoch) { loss = of_epoch; });
  EXPECT_NEAR(result("probe.json")["final_loss"].get<double>(), loss, 1e-5);
}

TEST_F(EvaluationFiles, TheProbesRatesAreThoseGivenOrSwept) {
  write_npy("d", "train", sorted_labels({30, 30}));
  write_npy("d", "test", sorted_labels({10, 10}));
  ASSERT_EQ(run("linear_probe", "--data d --protocol adam --epochs 2 --lr 0.02 --final-lr 1e-3 --weight-decay 0.03"), 0)
      << errors();
  const Json adam = result("probe.json")["probe"];
  EXPECT_EQ(adam["lr"], 0.02);
  EXPECT_EQ(adam["final_lr"], 1e-3);
  EXPECT_EQ(adam["weight_decay"], 0.03);
  ASSERT_EQ(run("linear_probe", "--data d --protocol sgd --epochs 1 --batch 32 --sweep"), 0) << errors();
  const Json sgd = result("probe.json")["probe"], sweep = sgd["sweep"];
  ASSERT_EQ(sweep["trials"].size(), 5u);
  EXPECT_EQ(sweep["held_out_images"], 6);
  EXPECT_EQ(sweep["trials"][4]["lr"], 1) << "as --lr takes it";
  EXPECT_EQ(sgd["lr"], sweep["chosen"]["lr"]);
  EXPECT_EQ(sgd["applied_lr"], sgd["lr"].get<double>() * 32 / 256);
  expect_refused("linear_probe", "--data d --protocol sgd --sweep --lr 1",
                 "--sweep: chooses --lr, expected none beside it");
}

TEST_F(EvaluationFiles, AFitThatWasCutShortSaysSo) {
  if (quick_probe().protocol != ProbeProtocol::lbfgs) GTEST_SKIP() << "this build has no liblbfgs";
  write_npy("d", "train", sorted_labels({30, 30}));
  write_npy("d", "test", sorted_labels({10, 10}));
  ASSERT_EQ(run("linear_probe", "--data d --epochs 2"), 0) << errors();
  EXPECT_EQ(errors(), "notice: L-BFGS stopped after 2 iterations, before it had converged\n");
  for (const Json& cut : {result("probe.json"), results().back()["figures"]}) {
    EXPECT_EQ(cut["converged"], false);
    EXPECT_EQ(cut["iterations"], 2);
  }
  ASSERT_EQ(run("linear_probe", "--data d"), 0) << errors();
  EXPECT_EQ(result("probe.json")["converged"], true);
  EXPECT_GT(results().back()["figures"]["iterations"], 2);
}

// ---- images without labels

TEST_F(EvaluationFiles, WithoutLabelsWhatNeedsNoneIsMeasured) {
  size_ = 16;
  save({{"dataset", "image_folder"}});
  ImageTree images;
  for (int i = 0; i < 40; ++i) images.picture(std::to_string(100 + i) + ".png", i);
  ASSERT_EQ(run("evaluate", "--data " + shell_word(images.path())), 0) << errors();
  EXPECT_EQ(printed().substr(0, printed().find("rankme")),
            "notice: " + images.path() +
                " has no labels and no split test: judged on val, every tenth image\n"
                "run/encoder.safetensors, epoch ?, step ?, on image_folder val, 4 images\n"
                "notice: image_folder val has no labels: left out knn, crowding\n");
  const Json json = result("evaluation_val.json");
  EXPECT_EQ(json["split"], "val");
  EXPECT_EQ(json["test_images"], 4);
  EXPECT_TRUE(json["knn"].is_null());
  EXPECT_EQ(json["not_measured"]["crowding"], "image_folder val has no labels");
  EXPECT_GT(json["collapse"]["rankme"], 1);
  EXPECT_TRUE(json["alignment"]["uniformity"].is_number());
  ASSERT_EQ(run("evaluate", "--split val --metrics all --data " + shell_word(images.path())), 0) << errors();
  expect_printed({": left out knn, crowding, clustering, episodes, corruptions, knn_sweep\n", "reconstruction_r2",
                  "nuisance_rotation", "nuisance_crop"});
  expect_refused("evaluate", "--metrics collapse,knn,clustering --data " + shell_word(images.path()),
                 "--metrics: image_folder val has no labels, which knn, clustering need; collapse, alignment, "
                 "reconstruction, nuisance need none");
  expect_refused("linear_probe", "--data " + shell_word(images.path()),
                 "image_folder val: there are no labels, which a linear probe needs; evaluate --metrics "
                 "collapse,alignment needs none");
  EXPECT_EQ(printed(), "");
  // Images with labels are not judged on what they were trained on without being asked.
  ImageTree labeled;
  labeled.classes(".", 20);
  EXPECT_EQ(run("evaluate", "--data " + shell_word(labeled.path())), 2);
  expect_contains(errors().substr(0, errors().size() - 1), {"there is no split 'test'", "--split val"});
}

TEST_F(EvaluationFiles, WithoutLabelsOrTestArraysAreJudgedLikewise) {
  write_npy("d", "train", sorted_labels({20, 20}), false);
  ASSERT_EQ(run("evaluate", "--data d"), 0) << errors();
  expect_printed({"notice: d has no labels and no split test: judged on val, the last tenth\n", "rankme"});
  // Labels of the test images alone allow what learns from nothing.
  write_npy("d", "test", sorted_labels({10, 10}));
  ASSERT_EQ(run("evaluate", "--data d"), 0) << errors();
  expect_printed({"notice: npy probe has no labels: left out knn\n", "crowding_ratio"});
  EXPECT_EQ(result("evaluation.json")["split"], "test");
  expect_refused("linear_probe", "--data d",
                 "npy probe: there are no labels, which a linear probe needs; evaluate --metrics collapse,alignment "
                 "needs none");
}

// ---- files that are resized

TEST_F(EvaluationFiles, ImagesOfFilesAreResizedOnce) {
  size_ = 16;
  save({{"dataset", "image_folder"}});
  ImageTree images;
  images.classes("train", 20);
  images.classes("val", 8);
  write_as_seen(images, "seen");
  ASSERT_EQ(run("evaluate", "--metrics nuisance,reconstruction,collapse --dataset npy --data seen"), 0) << errors();
  const Json expected = result("evaluation_on_npy.json");
  ASSERT_EQ(run("evaluate", "--metrics nuisance,reconstruction --eval-resize 21 --data " + shell_word(images.path())),
            0)
      << errors();
  for (const char* name : {"nuisance", "reconstruction"})
    EXPECT_EQ(result("evaluation.json")[name], expected[name]) << name;
  EXPECT_EQ(results().back()["settings"]["decode"], "exact");
}

TEST_F(EvaluationFiles, ATrainLimitOnSortedFilesSkipsNoClass) {
  size_ = 16;
  save({{"dataset", "image_folder"}});
  ImageTree images;
  images.classes("train", 20);
  images.classes("val", 8);
  write_as_seen(images, "spaced", 10);
  ASSERT_EQ(run("evaluate", "--metrics nuisance,reconstruction,collapse --dataset npy --data spaced"), 0) << errors();
  const Json expected = result("evaluation_on_npy.json");
  ASSERT_EQ(run("evaluate", "--metrics nuisance,reconstruction,corruptions --train-limit 10 --eval-resize 21 --data " +
                                shell_word(images.path())),
            0)
      << errors();
  EXPECT_EQ(printed().find("notice"), std::string::npos) << printed();
  const Json found = result("evaluation.json");
  for (const char* name : {"nuisance", "reconstruction"}) EXPECT_EQ(found[name], expected[name]) << name;
  EXPECT_EQ(found["corruptions"]["train_images"], 10);
  EXPECT_FALSE(found["corruptions"].contains("missing_classes"));
}

// ---- results.jsonl

TEST_F(EvaluationFiles, ResultsAreKept) {
  write_npy("d", "train", sorted_labels({30, 30}));
  write_npy("d", "test", sorted_labels({12, 12}));
  ASSERT_EQ(run("evaluate", "--data d --seed 4 --metrics crowding,collapse"), 0) << errors();
  ASSERT_EQ(run("linear_probe", "--data d --protocol adam --epochs 3 --limit 40 --seed 9"), 0) << errors();
  ASSERT_EQ(run("linear_probe", "--data d --protocol adam --epochs 2 --untrained"), 0) << errors();
  ASSERT_EQ(run("evaluate", "--data d --metrics collapse --out elsewhere.json"), 0) << errors();
  const std::vector<Json> lines = results();
  ASSERT_EQ(lines.size(), 3u) << "--out adds nothing";
  EXPECT_EQ(parse_json(folder_.bytes("elsewhere.json"))["metrics"], std::vector<std::string>{"collapse"});

  const Json &judged = lines[0], &probed = lines[1];
  const std::string text = folder_.bytes("run/results.jsonl");
  const auto first = nlohmann::ordered_json::parse(text.substr(0, text.find('\n')));
  std::vector<std::string> keys;
  for (const auto& item : first.items()) keys.push_back(item.key());
  EXPECT_EQ(keys, (std::vector<std::string>{"date", "tool", "version", "commit", "encoder_file", "trained_on",
                                            "judged_on", "data", "split", "protocol", "settings", "epoch", "step",
                                            "seed", "untrained", "test_images", "figures"}));
  EXPECT_TRUE(std::regex_match(judged["date"].get<std::string>(),
                               std::regex(R"(20\d\d-[01]\d-[0-3]\dT[0-2]\d:[0-5]\d:[0-6]\dZ)")));
  const Json expected{{"tool", "evaluate"},
                      {"version", version()},
                      {"commit", build_commit()},
                      {"trained_on", "npy"},
                      {"judged_on", "npy"},
                      {"data", (std::filesystem::canonical(folder_.path()) / "d").string()},
                      {"split", "test"},
                      {"epoch", 7},
                      {"step", 70},
                      {"untrained", false},
                      {"seed", 4},
                      {"test_images", 24},
                      {"protocol", "evaluate"},
                      {"encoder_file", "run/encoder.safetensors"}};
  for (const auto& item : expected.items()) EXPECT_EQ(judged[item.key()], item.value()) << item.key();
  EXPECT_EQ(judged["settings"]["metrics"], (std::vector<std::string>{"crowding", "collapse"}));
  EXPECT_EQ(judged["settings"]["image_size"], 8);
  EXPECT_EQ(judged["settings"]["limit"], 0);
  const Json whole = result("evaluation.json");
  EXPECT_EQ(judged["figures"], (Json{{"crowding", whole["crowding"]}, {"collapse", whole["collapse"]}}));
  EXPECT_EQ(probed["tool"], "linear_probe");
  EXPECT_EQ(probed["protocol"], "adam");
  EXPECT_EQ(probed["seed"], 9);
  EXPECT_EQ(probed["settings"]["epochs"], 3);
  EXPECT_EQ(probed["settings"]["limit"], 40);
  const Json probe = result("probe.json");
  for (const Json& written : {whole, probe}) {
    EXPECT_EQ(written["version"], version());
    EXPECT_EQ(written["commit"], build_commit());
  }
  EXPECT_EQ(probed["figures"]["top1"], probe["top1"]);
  EXPECT_EQ(probed["figures"]["final_loss"], probe["final_loss"]);
  EXPECT_EQ(lines[2]["untrained"], true);
  EXPECT_EQ(lines[2]["epoch"], 0);
  EXPECT_TRUE(lines[2]["trained_on"].is_null());
  EXPECT_EQ(probe["mean"], (std::vector<double>{0.4914, 0.4822, 0.4465}));
  EXPECT_EQ(probe["std"], (std::vector<double>{0.25, 0.25, 0.25}));
}

TEST_F(EvaluationFiles, AnUnfinishedLineSpoilsNoOther) {
  write_npy("d", "train", sorted_labels({30, 30}));
  write_npy("d", "test", sorted_labels({12, 12}));
  write_atomically(folder_ / "run/results.jsonl", "{\"date\": \"2026-01-01T00:00:00Z\"}\n{\"date\": \"20");
  ASSERT_EQ(run("evaluate", "--data d --metrics collapse"), 0) << errors();
  const std::vector<Json> lines = results();
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_EQ(lines[0]["date"], "2026-01-01T00:00:00Z");
  EXPECT_TRUE(lines[1].is_discarded());
  EXPECT_EQ(lines[2]["tool"], "evaluate");
}

TEST_F(EvaluationFiles, TwoAtOnceKeepBothResults) {
  write_npy("d", "train", sorted_labels({30, 30}));
  write_npy("d", "test", sorted_labels({12, 12}));
  const std::string one =
      "\"$VERGENCE_BUILD/evaluate\" --encoder-file run/encoder.safetensors --device cpu --data d "
      "--metrics collapse --seed ";
  ASSERT_EQ(shell("for i in 1 2 3 4; do " + one + "$i & done; wait"), 0) << errors();
  std::set<int> seeds;
  for (const Json& line : results()) {
    ASSERT_FALSE(line.is_discarded());
    seeds.insert(line["seed"].get<int>());
  }
  EXPECT_EQ(seeds, (std::set<int>{1, 2, 3, 4}));
}

TEST_F(EvaluationFiles, ResultsThatCannotBeKeptAreRefusedBeforeTheWork) {
  write_npy("d", "train", sorted_labels({30, 30}));
  write_npy("d", "test", sorted_labels({12, 12}));
  fs::create_directory(folder_ / "run/results.jsonl");
  for (const char* tool : {"evaluate", "linear_probe"}) {
    expect_refused(tool, "--data d", "run/results.jsonl: is a folder, expected a file");
    EXPECT_EQ(printed(), "");
  }
  EXPECT_EQ(run("evaluate", "--data d --metrics collapse --out result.json"), 0) << errors();
  fs::remove(folder_ / "run/results.jsonl");
  make_fifo(folder_ / "run/results.jsonl");
  expect_refused("evaluate", "--data d", "run/results.jsonl: is not a regular file; expected one, or a new file name");
  EXPECT_FALSE(fs::exists(folder_ / "run/evaluation.json"));
}

TEST_F(EvaluationFiles, TheClassesOfCifar100ThatWereTrainedOnAreSaid) {
  save({{"dataset", "cifar100"}});
  write_npy("d", "train", sorted_labels({30, 30}));
  write_npy("d", "test", sorted_labels({12, 12}));
  Options options;
  options.dataset = "cifar100";
  options.components.get<Cifar100Options>().classes = Cifar100Classes::fc100_base;
  options.components.get<ResNetSettings>().width = 2;
  options.image_size = size_;
  write_atomically(folder_ / "run/config.toml", options_to_toml(options));
  ASSERT_EQ(shell("\"$VERGENCE_BUILD/evaluate\" --run run --device cpu --dataset npy --data d --metrics collapse"), 0)
      << errors();
  EXPECT_EQ(result("evaluation_on_npy.json")["cifar100_classes"], "fc100_base");
  EXPECT_EQ(results().back()["cifar100_classes"], "fc100_base");
}

}  // namespace
}  // namespace vergence
