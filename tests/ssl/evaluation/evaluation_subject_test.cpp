// Features from an encoder, and the way of an encoder through its file into an evaluation.
#include <atomic>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <map>
#include <nlohmann/json.hpp>
#include <thread>

#include "engine/io/files.h"
#include "engine/ops/ops.h"
#include "engine/text/json_text.h"
#include "kernels/random.h"
#include "models/encoder_file.h"
#include "models/encoders/resnet.h"
#include "ssl/evaluation/embedding/description.h"
#include "ssl/evaluation/features/features.h"
#include "ssl/evaluation/results.h"
#include "ssl/evaluation/subject.h"
#include "ssl/options/options.h"
#include "ssl/report/run_files.h"
#include "tests/support/complaints.h"
#include "tests/support/temporary_folder.h"

namespace vergence {
namespace {

namespace fs = std::filesystem;

/// An encoder that can be saved to a run folder.
class StoredEncoder : public testing::Test {
 protected:
  void SetUp() override {
    settings_.width = 4;
    encoder_ = make_resnet(settings_, {cpu_backend(), 3});
    // Running statistics that are not the initial ones, from one training pass.
    Random random(5, Purpose::test);
    std::vector<float> images(8 * 32 * 32 * 3);
    for (float& value : images) value = random.uniform(-2, 2);
    ForwardMode pass;
    pass.running = &statistics_;
    pass.statistics_momentum = 0.7;
    encoder_(from_floats(cpu_backend(), {8, 32, 32, 3}, images), pass);
    data_.limit = 40;
    extract_.mean = {0.4f, 0.5f, 0.6f};
    extract_.std = {0.2f, 0.25f, 0.3f};
  }

  void save(Options options = {}) {
    save_encoder(folder_ / "encoder.safetensors", encoder_, statistics_, metadata_);
    options.seed = 3;
    options.components.get<ResNetSettings>().width = 4;
    write_atomically(folder_ / "config.toml", options_to_toml(options));
  }
  SubjectOptions run() const {
    SubjectOptions options;
    options.run = folder_.path();
    options.judged.values.device = "cpu";
    options.limit = 40;
    return options;
  }

  TemporaryFolder folder_;
  ResNetSettings settings_;
  ResNet encoder_;
  Statistics statistics_;
  DatasetSettings data_;
  ExtractSettings extract_;
  Metadata metadata_{{"mean", "0.4,0.5,0.6"}, {"std", "0.2,0.25,0.3"}, {"dataset", "confounded_shapes"},
                     {"epoch", "7"},          {"step", "70"},          {"objective", "simclr"}};
};

/// A line of results.jsonl without a tool's own settings.
nlohmann::ordered_json line_of(const Subject& subject) {
  ResultRecord record{
      .tool = "evaluate", .protocol = "evaluate", .settings = nlohmann::ordered_json::object(), .figures = {}};
  record.figures["top1"] = 50;
  return result_line(subject, record, "2026-01-31T23:59:59Z");
}

TEST_F(StoredEncoder, FeaturesAreTheEvalForwardOfNormalisedImagesInOrder) {
  const Dataset dataset = open_dataset(data_, "test");
  const Encode encode = encode_with(encoder_, statistics_);
  const Features features = extract_features(encode, dataset, extract_, cpu_backend());
  ASSERT_EQ(features.rows(), 40);
  ASSERT_EQ(features.dim, 32);
  EXPECT_EQ(features.classes, 10);
  EXPECT_EQ(features.labels, dataset.labels);
  std::vector<float> image;
  for (std::int64_t i = 0; i < dataset.image_bytes(); ++i)
    image.push_back((dataset.image(17)[i] / 255.0f - extract_.mean[static_cast<std::size_t>(i % 3)]) /
                    extract_.std[static_cast<std::size_t>(i % 3)]);
  const std::vector<float> alone = encode(from_floats(cpu_backend(), {1, 32, 32, 3}, image)).floats();
  for (std::size_t j = 0; j < alone.size(); ++j)
    EXPECT_NEAR(features.row(17)[j], alone[j], 1e-4 * (1 + std::abs(alone[j])));
  extract_.batch = 7;
  const Features ragged = extract_features(encode, dataset, extract_, cpu_backend());
  for (std::size_t i = 0; i < features.values.size(); ++i)
    EXPECT_NEAR(ragged.values[i], features.values[i], 1e-4 * (1 + std::abs(features.values[i])));
}

TEST_F(StoredEncoder, ExtractionSaysHowFarItIs) {
  const Dataset dataset = open_dataset(data_, "test");
  extract_.batch = 16;
  std::vector<std::pair<std::int64_t, std::int64_t>> said;
  extract_.progress = [&](std::int64_t done, std::int64_t total) { said.emplace_back(done, total); };
  const Encode encode = encode_with(encoder_, statistics_);
  extract_features(encode, dataset, extract_, cpu_backend());
  const decltype(said) expected{{16, 40}, {32, 40}, {40, 40}};
  EXPECT_EQ(said, expected);
  said.clear();
  extract_view_features(encode, dataset, extract_, probe_view(), 1, 0, cpu_backend());
  EXPECT_EQ(said, expected);
}

TEST_F(StoredEncoder, ViewsChangeWithTheEpochAndSeedAlone) {
  const Dataset dataset = open_dataset(data_, "probe");
  const Encode encode = encode_with(encoder_, statistics_);
  const auto views = [&](std::uint64_t seed, std::int64_t epoch) {
    return extract_view_features(encode, dataset, extract_, probe_view(), seed, epoch, cpu_backend()).values;
  };
  EXPECT_EQ(views(1, 2), views(1, 2));
  EXPECT_NE(views(1, 2), views(1, 3));
  EXPECT_NE(views(1, 2), views(2, 2));
}

TEST(ProbeView, IsACropAndAFlip) {
  const ViewSettings view = probe_view();
  EXPECT_EQ(view.crop_low, 0.08f);
  EXPECT_EQ(view.crop_high, 1);
  EXPECT_EQ(view.ratio_low, 0.75f);
  EXPECT_EQ(view.ratio_high, 4.0f / 3);
  EXPECT_EQ(view.flip_p, 0.5f);
  for (const float share : {view.jitter_p, view.gray_p, view.blur_p, view.solarize_p}) EXPECT_EQ(share, 0);
}

TEST_F(StoredEncoder, RoundTripThroughTheRunFolder) {
  save();
  Subject subject = open_subject(run());
  EXPECT_EQ(subject.extract.mean, extract_.mean);
  EXPECT_EQ(subject.extract.std, extract_.std);
  EXPECT_EQ(subject.data.seed, 3u);
  EXPECT_EQ(subject.data.decode, DecodeRule::exact);  // whatever the run trained with
  EXPECT_EQ(subject.description()["epoch"], 7);
  EXPECT_EQ(subject.description()["step"], 70);
  EXPECT_EQ(result_path(run(), "probe"), folder_ / "probe.json");
  const Dataset dataset = open_dataset(subject.data, "test");
  const Features before = extract_features(encode_with(encoder_, statistics_), dataset, extract_, cpu_backend());
  const Features after = extract_features(subject.encode(), dataset, subject.extract, cpu_backend());
  EXPECT_EQ(before.values, after.values);
}

/// As beside a run that goes on: it replaces the file again and again, never by one that was there before.
TEST_F(StoredEncoder, ItsHashIsThatOfTheWeightsThatWereRead) {
  std::vector<std::string> files;
  std::map<std::string, std::string> hashes;  // by their epoch
  for (int epoch = 0; epoch < 60; ++epoch) {
    metadata_["epoch"] = std::to_string(epoch);
    save();
    files.push_back(folder_.bytes("encoder.safetensors"));
    hashes[metadata_["epoch"]] = xxh128_of_file(folder_ / "encoder.safetensors");
  }
  SubjectOptions options = run();
  options.hashed = true;
  const Subject subject = open_subject(options);
  write_atomically(folder_ / "encoder.safetensors", files[0]);
  EXPECT_EQ(encoder_description(subject)["encoder_xxh128"], hashes["59"]);

  std::atomic<bool> ends = false;
  std::thread trains([&] {
    for (const std::string& file : files) {
      write_atomically(folder_ / "encoder.safetensors", file);
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    ends = true;
  });
  std::vector<std::pair<std::string, std::string>> read;  // epochs and hashes
  while (!ends) {
    const Subject one = open_subject(options);
    read.emplace_back(one.metadata.at("epoch"), one.encoder_xxh128);
  }
  trains.join();
  for (const auto& [epoch, hash] : read) EXPECT_EQ(hash, hashes.at(epoch)) << epoch;
}

TEST_F(StoredEncoder, MeanAndDeviationAreLists) {
  save();
  const nlohmann::ordered_json said = open_subject(run()).description();
  EXPECT_EQ(said["mean"].dump(), "[0.4,0.5,0.6]") << "as they were written, not as a float's digits";
  EXPECT_EQ(said["std"].dump(), "[0.2,0.25,0.3]");
}

TEST_F(StoredEncoder, TheSplitIsTestWhereThereIsOne) {
  save();
  const Subject subject = open_subject(run());
  EXPECT_EQ(subject.options.split, "test");
  EXPECT_EQ(subject.notice, "");
}

TEST_F(StoredEncoder, JudgingAsksForResultsThatRepeat) {
  save();
  cpu_backend().set_choices({});
  open_subject(run());
  EXPECT_TRUE(cpu_backend().choices().deterministic);
}

TEST_F(StoredEncoder, ATransferNamesBothDataSets) {
  save();
  const auto said = [](const SubjectOptions& options) { return open_subject(options).description(); };
  EXPECT_EQ(said(run())["trained_on"], "confounded_shapes");
  EXPECT_EQ(said(run())["judged_on"], "confounded_shapes");
  EXPECT_EQ(open_subject(run()).judged_where(), "on confounded_shapes");
  SubjectOptions transfer = run();
  transfer.judged.set("dataset", "cifar100");
  EXPECT_EQ(said(transfer)["trained_on"], "confounded_shapes");
  EXPECT_EQ(said(transfer)["judged_on"], "cifar100");
  EXPECT_EQ(said(transfer)["dataset"], "cifar100");
  EXPECT_EQ(open_subject(transfer).judged_where(), "trained on confounded_shapes, judged on cifar100");
  // Its result leaves the one at home where it is.
  EXPECT_EQ(result_path(transfer, "probe"), folder_ / "probe_on_cifar100.json");
  transfer.split = "val";
  transfer.untrained = true;
  EXPECT_EQ(result_path(transfer, "evaluation"), folder_ / "evaluation_on_cifar100_val_untrained.json");
  // Initial weights were trained on nothing.
  EXPECT_TRUE(said(transfer)["trained_on"].is_null());
  EXPECT_EQ(open_subject(transfer).judged_where(), "on cifar100");
  SubjectOptions home = run();
  home.judged.set("dataset", "confounded_shapes");
  EXPECT_EQ(result_path(home, "probe"), folder_ / "probe.json");
  // An old file that does not say: the run does; a file by itself leaves it open.
  metadata_.erase("dataset");
  save();
  EXPECT_EQ(said(run())["trained_on"], "confounded_shapes");
  SubjectOptions file = run();
  file.run = "";
  file.encoder_file = folder_ / "encoder.safetensors";
  file.judged.set("dataset", "cifar100");
  EXPECT_TRUE(said(file)["trained_on"].is_null());
  EXPECT_EQ(open_subject(file).judged_where(), "on cifar100");
  EXPECT_EQ(result_path(file, "probe"), folder_ / "probe.json");
}

TEST_F(StoredEncoder, AnotherFolderOfOwnImagesIsATransfer) {
  const std::string home = folder_ / "home", away = folder_ / "away", gone = folder_ / "gone";
  fs::create_directory(home);
  fs::create_directory(away);
  fs::create_directory_symlink(home, folder_ / "link");
  metadata_["dataset"] = "image_folder";
  Options trained;
  trained.dataset = "image_folder", trained.data = home;
  save(trained);
  const auto judged = [&](const std::string& data, const std::string& dataset = "") {
    SubjectOptions options = run();
    options.split = "test";
    options.judged.set("data", data);
    if (!dataset.empty()) options.judged.set("dataset", dataset);
    return options;
  };
  for (const SubjectOptions& same : {judged(home), judged(folder_ / "link"), judged(home, "image_folder")}) {
    EXPECT_EQ(result_path(same, "probe"), folder_ / "probe.json");
    EXPECT_EQ(open_subject(same).judged_where(), "on image_folder");
    EXPECT_FALSE(open_subject(same).description().contains("trained_data"));
  }
  for (SubjectOptions other : {judged(away), judged(away, "image_folder")}) {
    EXPECT_EQ(result_path(other, "probe"), folder_ / "probe_on_other_image_folder.json");
    const Subject subject = open_subject(other);
    EXPECT_TRUE(subject.transfers());
    EXPECT_EQ(subject.judged_where(), "trained on image_folder " + home + ", judged on image_folder " + away);
    EXPECT_EQ(line_of(subject)["trained_data"], home);
    // The file of a run, by itself.
    other.run = "", other.encoder_file = folder_ / "encoder.safetensors";
    EXPECT_EQ(result_path(other, "probe"), folder_ / "probe_on_other_image_folder.json");
    // Random weights were trained on nothing, but their result at home stays too.
    other.untrained = true;
    EXPECT_EQ(result_path(other, "probe"), folder_ / "probe_on_other_image_folder_untrained.json");
    EXPECT_EQ(open_subject(other).judged_where(), "on image_folder");
  }
  EXPECT_EQ(result_path(judged(away, "npy"), "probe"), folder_ / "probe_on_npy.json");
  // Images that are no longer where they were: those that are given may be them.
  trained.data = gone;
  save(trained);
  EXPECT_EQ(result_path(judged(away), "probe"), folder_ / "probe.json");
  EXPECT_EQ(open_subject(judged(away)).judged_where(), "on image_folder");
}

TEST_F(StoredEncoder, ATransferWithoutItsFilesSaysWhatIsMissing) {
  save();
  for (const char* other : {"cifar10", "cifar100", "stl10", "npy", "image_folder"}) {
    SubjectOptions transfer = run();
    transfer.judged.set("dataset", other);
    expect_contains(message_of([&] { open_dataset(open_subject(transfer).data, "test"); }), {other, "--data"});
  }
}

TEST_F(StoredEncoder, RenderedImagesAreNoLargerThanTheyCanBe) {
  settings_.image_size = 224;
  encoder_ = make_resnet(settings_, {cpu_backend(), 3});
  statistics_ = {};
  SubjectOptions options;
  save();
  options.encoder_file = folder_ / "encoder.safetensors";
  options.judged.values.device = "cpu";
  options.judged.set("dataset", "confounded_shapes");
  const Subject subject = open_subject(options);
  EXPECT_EQ(open_dataset(subject.data, "test").height, 96);
  EXPECT_EQ(subject.extract.image_size, 224);
}

TEST_F(StoredEncoder, UntrainedHasTheInitialWeightsOfTheRunsSeed) {
  for (const ConvBn* layer : encoder_.layers()) assign(layer->w, 3 * layer->w);  // "trained"
  save();
  SubjectOptions options = run();
  options.untrained = true;
  Subject subject = open_subject(options);
  const ResNet initial = make_resnet(settings_, {cpu_backend(), 3});
  EXPECT_EQ(subject.encoder.as<ResNet>().stem.w.floats(), initial.stem.w.floats());
  EXPECT_NE(subject.encoder.as<ResNet>().stem.w.floats(), encoder_.stem.w.floats());
  EXPECT_EQ(result_path(options, "probe"), folder_ / "probe_untrained.json");
  Statistics fresh;
  const Dataset dataset = open_dataset(subject.data, "test");
  EXPECT_EQ(extract_features(subject.encode(), dataset, extract_, cpu_backend()).values,
            extract_features(encode_with(initial, fresh), dataset, extract_, cpu_backend()).values);
}

TEST_F(StoredEncoder, UntrainedIsNotWhatARunWithInitBeganWith) {
  SubjectOptions options = run();
  options.untrained = true;
  save();
  const Subject plain = open_subject(options);
  EXPECT_EQ(plain.weights_note(), " (initial weights)");
  EXPECT_TRUE(plain.encoder_notices.empty());
  EXPECT_FALSE(plain.description().contains("began_with"));
  Options config;
  config.init = folder_ / "first.pth";
  config.init_prefix = "momentum_backbone";
  save(config);
  const Subject subject = open_subject(options);
  EXPECT_EQ(subject.weights_note(), " (random weights)");
  EXPECT_EQ(subject.encoder_notices,
            std::vector<std::string>{"the run began with other weights than these random ones: judge those with "
                                     "--encoder-file " +
                                     config.init + " --prefix momentum_backbone"});
  config.init_stem = StemRule::renew;
  save(config);
  EXPECT_EQ(open_subject(options).encoder_notices.at(0),
            "the run began with other weights than these random ones: those of " + config.init +
                " behind another first convolution (--init-stem)");
  EXPECT_EQ(subject.description()["began_with"], config.init);
  EXPECT_EQ(line_of(subject)["began_with"], config.init);
  const Subject trained = open_subject(run());
  EXPECT_EQ(trained.weights_note(), "");
  EXPECT_TRUE(trained.encoder_notices.empty());
  EXPECT_FALSE(trained.description().contains("began_with"));
}

TEST_F(StoredEncoder, ResultsOfOneFileSayWhatItDoesNot) {
  save();
  // Two encoders in a file of another program.
  const EncoderEntries entries(encoder_, statistics_);
  std::vector<TensorEntry> both;
  for (const char* prefix : {"backbone.", "momentum_backbone."})
    for (TensorEntry entry : entries.entries()) {
      entry.name = prefix + entry.name;
      both.push_back(entry);
    }
  write_safetensors(folder_ / "other.safetensors", both);
  SubjectOptions options;
  options.encoder_file = folder_ / "other.safetensors";
  options.judged.values.device = "cpu";
  options.judged.set("dataset", "confounded_shapes");
  for (const auto& [name, value] : {std::pair("image-size", "32"), {"mean", "0.4,0.5,0.6"}, {"std", "0.2,0.25,0.3"}})
    options.described.set(name, value);
  const auto with = [&](const char* name, const char* value) {
    SubjectOptions changed = options;
    if (std::string(name) == "prefix")
      changed.prefix = value;
    else
      changed.described.set(name, value);
    return changed;
  };
  std::vector<SubjectOptions> judged{options,
                                     with("prefix", "backbone"),
                                     with("prefix", "momentum_backbone"),
                                     with("stem", "cifar_padding2"),
                                     with("mean", "0.4,0.5,0.5"),
                                     with("std", "0.2,0.25,0.25")};
  std::string lines;
  for (const SubjectOptions& each : judged) lines += json_text(line_of(open_subject(each))) + "\n";
  write_atomically(folder_ / "results.jsonl", lines);
  const std::vector<Result> results = read_run(folder_.path()).results;
  ASSERT_EQ(results.size(), judged.size());
  for (std::size_t i = 0; i < results.size(); ++i)
    for (std::size_t j = 0; j < i; ++j) EXPECT_NE(results[i].settings, results[j].settings) << i << " " << j;
  EXPECT_EQ(results[2].settings.at("prefix"), "momentum_backbone");
  EXPECT_EQ(results[3].settings.at("stem"), "cifar_padding2");
  EXPECT_EQ(results[4].settings.at("mean"), "[0.4,0.5,0.5]");
  EXPECT_EQ(open_subject(judged[1]).description()["prefix"], "backbone");
  EXPECT_FALSE(open_subject(options).description().contains("prefix"));
}

/// As their lines always left it out. Some of earlier versions have no mean or std.
TEST_F(StoredEncoder, ResultsOfOurFilesAddOnlyWhatTheyLack) {
  save();
  const auto told = [&](const SubjectOptions& each) {
    const nlohmann::ordered_json settings = line_of(open_subject(each))["settings"];
    return std::pair(settings.contains("stem"), settings.contains("mean"));
  };
  EXPECT_EQ(told(run()), std::pair(false, false));
  SubjectOptions own;
  own.encoder_file = folder_ / "encoder.safetensors";
  own.judged.values.device = "cpu";
  EXPECT_EQ(told(own), std::pair(false, false));
  metadata_.erase("mean");
  save();
  own.described.set("mean", "0.4,0.5,0.6");
  EXPECT_EQ(told(own), std::pair(false, true));
}

TEST_F(StoredEncoder, ConvolutionsAreTheRunsUnlessOthersAreAskedFor) {
  save();
  Options config;
  config.cpu_conv = CpuConv::direct;
  config.conv = CudaConv::cuda;
  write_atomically(folder_ / "config.toml", options_to_toml(config));
  open_subject(run());
  EXPECT_EQ(cpu_backend().choices().cpu_conv, CpuConv::direct);
  EXPECT_EQ(cpu_backend().choices().cuda_conv, CudaConv::cuda);
  SubjectOptions other = run();
  other.judged.set("cpu-conv", "winograd");
  open_subject(other);
  EXPECT_EQ(cpu_backend().choices().cpu_conv, CpuConv::winograd);
  EXPECT_EQ(cpu_backend().choices().cuda_conv, CudaConv::cuda);
  save();
  open_subject(run());
  EXPECT_EQ(cpu_backend().choices().cpu_conv, CpuConv::automatic);
  EXPECT_EQ(cpu_backend().choices().cuda_conv, CudaConv::automatic);
}

TEST_F(StoredEncoder, MeansAreAListOrStandWithoutBrackets) {
  for (const char* mean : {"[0.4, 0.5, 0.6]", "[0.4,0.5,0.6]", "[ 0.4 , 0.5 , 0.6]", "0.4,0.5,0.6"}) {
    metadata_["mean"] = mean;
    save();
    EXPECT_EQ(open_subject(run()).extract.mean, (ChannelValues{0.4f, 0.5f, 0.6f})) << mean;
  }
  for (const char* mean : {"[0.4, 0.5, 0.6", "0.4, 0.5, 0.6]", "[0.4, 0.5]", "[]", "[", "]", "", "[[0.4, 0.5, 0.6]]",
                           "[0.4, 0.5, 0.6, 0.7]", "[0.4, 0.5, x]"}) {
    metadata_["mean"] = mean;
    save();
    expect_contains(message_of([&] { open_subject(run()); }),
                    {join(": metadata 'mean' is '", mean, "', expected 3 numbers")});
  }
}

TEST_F(StoredEncoder, AnOldNameOfTheConfigurationStays) {
  metadata_["config_sha256"] = std::string(64, '1');
  save();
  EXPECT_EQ(open_subject(run()).description()["config_sha256"], std::string(64, '1'));
  metadata_.erase("config_sha256");
  metadata_["config_xxh128"] = std::string(31, '0') + "7";  // no number, though it looks like one
  save();
  EXPECT_EQ(open_subject(run()).description()["config_xxh128"], std::string(31, '0') + "7");
  EXPECT_FALSE(open_subject(run()).description().contains("config_sha256"));
}

TEST_F(StoredEncoder, BadInputIsAUsageError) {
  EXPECT_THROW(open_subject({}), UsageError);     // neither a run nor a file
  EXPECT_THROW(open_subject(run()), UsageError);  // no encoder in the folder yet
  save();
  SubjectOptions both = run();
  both.encoder_file = folder_ / "encoder.safetensors";
  EXPECT_THROW(open_subject(both), UsageError);
  SubjectOptions nowhere = run();
  nowhere.out = folder_ / "missing/probe.json";
  EXPECT_EQ(message_of([&] { ResultFile(result_path(nowhere, "probe")); }),
            nowhere.out + ": there is no folder " + folder_ / "missing");
  for (const char* std : {"0.2,0.2", "0.2,0.2,0", "0.2,0.2,x", "0.2,0.2,0.2,0.2", "nan,1,1", ""}) {
    metadata_["std"] = std;
    save();
    EXPECT_THROW(open_subject(run()), UsageError) << std;
  }
  metadata_["std"] = "0.2,0.25,0.3";
  save();
  const std::string bytes = folder_.bytes("encoder.safetensors");
  std::ofstream(folder_ / "encoder.safetensors", std::ios::binary) << bytes.substr(0, bytes.size() - 4);
  EXPECT_THROW(open_subject(run()), UsageError);
}

}  // namespace
}  // namespace vergence
