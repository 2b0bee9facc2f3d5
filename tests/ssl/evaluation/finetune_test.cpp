// Fine-tuning: what it learns, changes and leaves alone; and the tool, on arrays and on bad input.
#include "ssl/evaluation/finetune/finetune.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <sstream>

#include "engine/io/files.h"
#include "engine/text/json_text.h"
#include "kernels/random.h"
#include "models/encoder_file.h"
#include "models/encoders/resnet.h"
#include "ssl/evaluation/sampling/subset.h"
#include "tests/support/npy_files.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tool_process.h"

namespace vergence {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr std::int64_t side = 8;

Encoder small_encoder() {
  ResNetSettings settings;
  settings.width = 2;
  settings.image_size = side;
  return make_resnet(settings, {cpu_backend(), 3});
}

/// Noise around a color that each class has.
std::string class_pixels(const std::vector<std::int32_t>& labels, std::uint64_t sample) {
  std::string pixels;
  Random random(2, Purpose::test, 0, sample);
  for (const std::int32_t label : labels)
    for (std::int64_t i = 0; i < side * side * 3; ++i)
      pixels += static_cast<char>(random.below(100) + (i % 3 == label ? 120 : 0));
  return pixels;
}

std::vector<std::int32_t> three_classes(std::int64_t count) {
  std::vector<std::int32_t> labels;
  for (std::int64_t i = 0; i < count; ++i) labels.push_back(static_cast<std::int32_t>(i % 3));
  return labels;
}

Dataset colors(std::int64_t count, std::uint64_t sample) {
  Dataset data;
  data.name = "colors";
  data.split = "probe";
  data.count = count;
  data.height = data.width = side;
  data.classes = 3;
  data.labels = three_classes(count);
  const std::string pixels = class_pixels(data.labels, sample);
  data.pixels.assign(pixels.begin(), pixels.end());
  return data;
}

std::vector<float> weights_of(Encoder encoder) {
  std::vector<float> all;
  encoder.each([&](const std::string&, Tensor& tensor) {
    const std::vector<float> values = tensor.floats();
    all.insert(all.end(), values.begin(), values.end());
  });
  return all;
}

/// Fine-tunes from an encoder with statistics of its own, and checks that neither changes.
struct Tuning {
  Encoder encoder = small_encoder();
  Statistics statistics;
  ExtractSettings extract;
  Dataset train = colors(60, 0), test = colors(30, 1);
  std::vector<std::int64_t> images;

  Tuning() {
    extract.image_size = side;
    extract.mean = every_channel(0.5f);
    extract.std = every_channel(0.25f);
    for (std::int64_t i = 0; i < 45; ++i) images.push_back(i);
    encoder(plain_images(train, images, extract, cpu_backend()), {.running = &statistics});
  }
  Finetuned run(FinetuneSettings settings) {
    const std::vector<float> before = weights_of(encoder), mean = statistics.layers.begin()->second.mean.floats();
    Finetuned tuned = finetune({encoder, statistics}, train, images, extract, settings, cpu_backend());
    EXPECT_EQ(weights_of(encoder), before);
    EXPECT_EQ(statistics.layers.begin()->second.mean.floats(), mean);
    EXPECT_NE(tuned.statistics.layers.begin()->second.mean.floats(), mean) << "batch norm's statistics follow";
    return tuned;
  }
  double top1(Finetuned& tuned) const {
    const Encode encode = encode_with(tuned.encoder, tuned.statistics);
    return probe_accuracy(tuned.head, extract_features(encode, test, extract, cpu_backend()), cpu_backend()).top1;
  }
};

FinetuneSettings quick() { return {.epochs = 12, .batch = 20, .lr = 0.1, .head_lr = 0.5}; }

TEST(Finetune, LearnsWithoutChangingItsStart) {
  Tuning tuning;
  Finetuned tuned = tuning.run(quick());
  EXPECT_NE(weights_of(tuned.encoder), weights_of(tuning.encoder));
  EXPECT_GT(tuning.top1(tuned), 50) << "chance: 33";
}

TEST(Finetune, TheSameSeedGivesTheSameBits) {
  Tuning tuning;
  FinetuneSettings settings = quick();
  settings.epochs = 2;
  const Finetuned one = tuning.run(settings), two = tuning.run(settings);
  EXPECT_EQ(weights_of(one.encoder), weights_of(two.encoder));
  EXPECT_EQ(one.head.weight, two.head.weight);
  settings.seed = 2;
  EXPECT_NE(tuning.run(settings).head.weight, one.head.weight);
}

TEST(Finetune, EachPartHasItsRate) {
  Tuning tuning;
  FinetuneSettings settings = quick();
  settings.epochs = 1;
  settings.lr = 0;
  EXPECT_EQ(weights_of(tuning.run(settings).encoder), weights_of(tuning.encoder));
  settings.lr = 0.02;
  settings.head_lr = 1e-30;
  const Finetuned tuned = tuning.run(settings);
  EXPECT_NE(weights_of(tuned.encoder), weights_of(tuning.encoder));
  EXPECT_EQ(tuned.head.weight, initial_classifier(16, 3, settings.seed).weight);
}

TEST(Finetune, FewImagesAreOneBatch) {
  Tuning tuning;
  tuning.images = {0, 1, 2};
  FinetuneSettings settings = quick();
  settings.epochs = 1;
  std::vector<double> losses;
  finetune({tuning.encoder, tuning.statistics}, tuning.train, tuning.images, tuning.extract, settings, cpu_backend(),
           [&](std::int64_t, double loss) { losses.push_back(loss); });
  ASSERT_EQ(losses.size(), 1u);
  EXPECT_GT(losses[0], 0.1);
}

TEST(Finetune, DefaultsAreThoseOfTheShareOfLabels) {
  struct Row {
    std::int64_t percent, epochs;
    double lr;
  };
  for (const auto& [percent, epochs, lr] : {Row{100, 30, 0.1}, {10, 30, 0.03}, {1, 60, 0.01}}) {
    const FinetuneSettings settings = default_finetune(percent);
    EXPECT_EQ(settings.epochs, epochs) << percent;
    EXPECT_EQ(settings.lr, lr) << percent;
    EXPECT_EQ(settings.batch, 256);
    EXPECT_EQ(settings.head_lr, 0.03);
    EXPECT_EQ(settings.momentum, 0.9);
    EXPECT_EQ(settings.weight_decay, 0);
    EXPECT_EQ(settings.seed, 1u);
  }
}

TEST(Finetune, EveryEpochHasCropsOfItsOwn) {
  const Tuning tuning;
  const FinetuneSettings settings{.epochs = 2, .batch = 45, .lr = 0, .head_lr = 1e-30};
  const Pretrained start{tuning.encoder, tuning.statistics};
  std::vector<double> losses, expected;
  finetune(start, tuning.train, tuning.images, tuning.extract, settings, cpu_backend(),
           [&](std::int64_t, double loss) { losses.push_back(loss); });
  FinetuneSteps steps(start, initial_classifier(16, 3, 1), settings, 1, cpu_backend());
  for (const std::int64_t epoch : {0, 1})
    expected.push_back(steps.epoch(epoch, 45, [&](const std::vector<std::int32_t>& rows) {
      return labeled_views(tuning.train, {rows.begin(), rows.end()}, tuning.extract, probe_view(), 1, epoch,
                           cpu_backend());
    }));
  EXPECT_EQ(losses, expected);
  EXPECT_NE(losses[0], losses[1]);
}

TEST(Finetune, LeavesOutALastBatchOfFewerThanSixteenImages) {
  const Tuning tuning;
  const FinetuneSettings settings{.epochs = 1, .batch = 20, .lr = 0, .head_lr = 1e-30};
  const auto batches = [&](std::int64_t images) {
    FinetuneSteps steps({tuning.encoder, tuning.statistics}, initial_classifier(16, 3, 1), settings, 2, cpu_backend());
    std::vector<std::size_t> sizes;
    steps.epoch(0, images, [&](const std::vector<std::int32_t>& rows) {
      sizes.push_back(rows.size());
      return labeled_views(tuning.train, {rows.begin(), rows.end()}, tuning.extract, probe_view(), 1, 0, cpu_backend());
    });
    return sizes;
  };
  EXPECT_EQ(batches(35), (std::vector<std::size_t>{20}));
  EXPECT_EQ(batches(36), (std::vector<std::size_t>{20, 16}));
}

TEST(Finetune, ASweepJudgesImagesItHasNotSeen) {
  Tuning tuning;
  tuning.train = colors(180, 0);
  Random random(3, Purpose::test);  // labels that no color tells: who has seen the judged ones does better
  for (std::int32_t& label : tuning.train.labels) label = static_cast<std::int32_t>(random.below(3));
  tuning.images.clear();
  for (std::int64_t i = 1; i < 180; i += 2) tuning.images.push_back(i);
  FinetuneSettings settings = quick();
  settings.epochs = 5;
  const Trial trial{{"lr", 0.1}, {"head_lr", 0.5}};
  const Sweep sweep = sweep_finetune({tuning.encoder, tuning.statistics}, tuning.train, tuning.images, tuning.extract,
                                     settings, {trial}, cpu_backend(), {});
  const HeldOutTenth split = hold_out_tenth(values_at(tuning.train.labels, tuning.images));
  const std::vector<std::int64_t> held_out = values_at(tuning.images, split.held_out);
  tuning.images = values_at(tuning.images, split.kept);
  Finetuned tuned = tuning.run(with_rates(settings, trial));
  const Encode encode = encode_with(tuned.encoder, tuned.statistics);
  const Features judged = extract_features(encode, tuning.train, held_out, tuning.extract, cpu_backend());
  EXPECT_EQ(sweep.images, judged.rows());
  EXPECT_EQ(sweep.held_out[0], probe_accuracy(tuned.head, judged, cpu_backend()).top1);
}

// ---- the tool

class FinetuneTool : public testing::Test {
 protected:
  void SetUp() override {
    fs::create_directories(folder_ / "run");
    save_encoder(folder_ / "run/encoder.safetensors", small_encoder(), {},
                 {{"dataset", "npy"}, {"mean", "0.5,0.5,0.5"}, {"std", "0.25,0.25,0.25"}});
    write("labeled", true);
  }
  void write(const std::string& name, bool labeled) const {
    fs::create_directories(folder_ / name);
    for (const auto& [split, count] : {std::pair<std::string, std::int64_t>{"train", 300}, {"test", 60}}) {
      const std::vector<std::int32_t> classes = three_classes(count);
      std::string labels;
      for (const std::int32_t label : classes) labels += little_endian(static_cast<std::uint64_t>(label), 8);
      write_atomically(folder_ / name + "/" + split + ".npy",
                       npy_array("|u1", {count, side, side, 3}, class_pixels(classes, split == "test")));
      if (labeled) write_atomically(folder_ / name + "/" + split + "_labels.npy", npy_array("<i8", {count}, labels));
    }
  }
  /// How the tool ends, and what it says.
  std::pair<std::string, std::string> run(const std::string& words, const std::string& data = "labeled") {
    std::vector<std::string> command{tool_path("finetune"),
                                     "--encoder-file",
                                     folder_ / "run/encoder.safetensors",
                                     "--data",
                                     folder_ / data,
                                     "--device",
                                     "cpu"};
    std::istringstream more(words);
    for (std::string word; more >> word;) command.push_back(word);
    ToolProcess process(command);
    const std::string end = process.end();
    return {end, process.output()};
  }
  void expect_refused(const std::string& words, const std::string& part, const std::string& data = "labeled") {
    const auto [end, text] = run(words, data);
    EXPECT_EQ(end, "exit 2") << words;
    EXPECT_NE(text.find(part), std::string::npos) << text;
    EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1) << text;
  }
  Json result(const std::string& name) const { return parse_json(read_file(folder_ / "run/" + name)); }

  TemporaryFolder folder_;
};

TEST_F(FinetuneTool, WritesTheSameResultAgainAndKeepsTheEncoder) {
  const std::string before = read_file(folder_ / "run/encoder.safetensors");
  const std::string words = "--labels 10 --epochs 20 --lr 0.02 --head-lr 0.2 --threads 2";
  const auto [end, text] = run(words);
  ASSERT_EQ(end, "exit 0") << text;
  const Json first = result("finetune_10.json");
  ASSERT_EQ(run(words).first, "exit 0");
  const Json second = result("finetune_10.json");
  for (const char* key : {"top1", "top5", "final_loss"}) EXPECT_EQ(first[key], second[key]) << key;
  EXPECT_EQ(first["finetune"]["train_images"], 30);
  EXPECT_EQ(first["finetune"]["batch"], 30);
  EXPECT_GT(first["top1"].get<double>(), 50) << "chance: 33";
  EXPECT_EQ(first["top5"], 100);
  EXPECT_EQ(read_file(folder_ / "run/encoder.safetensors"), before);
  const std::string last = join("top1 ", second["top1"].dump());
  EXPECT_NE(text.rfind(last.substr(0, 7)), std::string::npos) << text;
  // One line for each run.
  std::istringstream lines(read_file(folder_ / "run/results.jsonl"));
  std::string line;
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(std::getline(lines, line));
  const Json result = parse_json(line);
  const Json interval = result["figures"]["interval_95"];
  EXPECT_LE(interval[0], second["top1"]);
  EXPECT_GE(interval[1], second["top1"]);
  EXPECT_EQ(result["tool"], "finetune");
  EXPECT_EQ(result["protocol"], "finetune");
  EXPECT_EQ(result["settings"]["labels"], 10);
  EXPECT_EQ(result["settings"]["head_lr"], 0.2);
  EXPECT_EQ(result["settings"]["list_xxh128"], first["finetune"]["list_xxh128"]);
  EXPECT_EQ(result["figures"]["top1"], second["top1"]);
}

TEST_F(FinetuneTool, ASweepIsPartOfTheResult) {
  const auto [end, text] = run("--labels 10 --epochs 1 --head-lr 0.2 --sweep");
  ASSERT_EQ(end, "exit 0") << text;
  const Json tuned = result("finetune_10.json")["finetune"], sweep = tuned["sweep"];
  EXPECT_EQ(sweep["held_out_images"], 3) << "one of ten of each class";
  ASSERT_EQ(sweep["trials"].size(), finetune_trials(0.2).size());
  double best = -1, first_best = 0;
  for (const Json& trial : sweep["trials"]) {
    EXPECT_EQ(trial["head_lr"], 0.2);
    if (trial["held_out_top1"] <= best) continue;
    best = trial["held_out_top1"];
    first_best = trial["lr"];
  }
  EXPECT_EQ(sweep["chosen"]["lr"], first_best);
  EXPECT_EQ(tuned["lr"], first_best);
  EXPECT_NE(text.find("sweep: chosen lr "), std::string::npos) << text;
  expect_refused("--sweep --lr 0.1", "--sweep: chooses the encoder's rate, expected no --lr beside it");
}

TEST_F(FinetuneTool, RefusesWhatItCannotDoInOneLine) {
  expect_refused("--labels 7", "--labels: expected 100, 10 or 1, got '7'");
  expect_refused("--labels 10 --fold 1", "--fold: names the images, expected no --labels beside it");
  expect_refused("--fold 1", "npy: there are no published folds, expected stl10");
  expect_refused("--head-lr 0", "--head-lr: 0, expected a number above 0");
  expect_refused("--lr -1", "--lr: -1, expected 0 or more");
  write("unlabeled", false);
  expect_refused("--split val", "there are no labels, which fine-tuning needs", "unlabeled");
  fs::remove(folder_ / "run/encoder.safetensors");
  expect_refused("", "encoder.safetensors: ");
}

}  // namespace
}  // namespace vergence
