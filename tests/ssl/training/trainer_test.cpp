// Whole pretraining runs, small enough for a test: resume, refusals, stops, and that the benchmark runs the same step.
#include <cmath>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <mutex>
#include <nlohmann/json.hpp>

#include "datasets/loading/host_source.h"
#include "engine/io/files.h"
#include "engine/text/json_text.h"
#include "models/encoder_file.h"
#include "models/encoders/resnet.h"
#include "ssl/bench/step.h"
#include "ssl/steps/plan.h"
#include "ssl/steps/setup.h"
#include "ssl/training/checkpoint.h"
#include "ssl/training/stages.h"
#include "tests/support/complaints.h"
#include "tests/support/objective_checks.h"
#include "tests/support/small_runs.h"
#include "tests/support/temporary_folder.h"

namespace {

/// The paths at which whole files have been put, in order. Beside a GPU another thread saves.
std::vector<std::string> files_in_place;
std::mutex files_mutex;

}  // namespace

/// Stands in for the C library's: the last step of an AtomicFile.
extern "C" int rename(const char* from, const char* to) noexcept {
  {
    const std::lock_guard lock(files_mutex);
    files_in_place.emplace_back(to);
  }
  return renameat(AT_FDCWD, from, AT_FDCWD, to);
}

namespace vergence {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

class TrainerTest : public ::testing::Test {
 protected:
  /// Three epochs of four steps.
  Options tiny(const std::string& run, const std::string& objective = "simclr") const {
    Options options;
    options.objective = objective;
    options.components.get<ResNetSettings>().width = 4;
    options.warmup_epochs = 1;
    set_all(options,
            {"simclr.hidden", "barlow_twins.hidden", "barlow_twins.output", "byol.hidden", "byol.output",
             "byol.predictor_hidden", "vicreg.hidden", "vicreg.output", "metamask.redundancy_hidden",
             "metamask.redundancy_output", "metamask.contrastive_hidden", "metamask.contrastive_output"},
            "32");
    return small_run(options, folder_ / run);
  }

  /// Trains. Returns the names of the checkpoints and encoders in the order in which they were saved.
  static std::vector<std::string> saved_by(const Options& options) {
    files_in_place.clear();
    pretrain(options);
    std::vector<std::string> names;
    for (const fs::path path : files_in_place)
      if (path.extension() == ".safetensors") names.push_back(path.stem());
    return names;
  }

  TemporaryFolder folder_;
};

TEST_F(TrainerTest, ResumedRunEqualsAnUninterruptedOneBitForBit) {
  for (const char* objective : {"simclr", "barlow_twins", "byol", "vicreg", "metamask"})
    for (const char* optimizer : {"sgd", "lars", "adam"}) {
      if (std::string(optimizer) != "sgd" && std::string(objective) != "simclr") continue;
      const std::string whole = join(objective, optimizer);
      Options options = tiny(whole, objective);
      set_option(options, "optimizer", optimizer);
      if (options.optimizer == OptimizerKind::adam) options.lr = 1e-2;
      expect_resumed_equals_whole(folder_, whole, options, 12, {3, 4, 9, 0});  // in an epoch, at its end, over one
    }
}

TEST_F(TrainerTest, LearnsAndLogsEveryStepOnce) {
  Options options = tiny("run");
  options.epochs = 15;
  for (ViewSettings& view : options.view) view.crop_low = 0.6f, view.jitter_p = view.blur_p = view.gray_p = 0;
  options.eval_every = 15;
  options.eval_limit = 50;
  pretrain(options);
  const std::vector<json> lines = metrics_of(folder_, "run");
  ASSERT_EQ(lines.size(), 60u);
  for (std::size_t i = 0; i < lines.size(); ++i) {
    EXPECT_EQ(lines[i]["step"], i + 1);
    EXPECT_EQ(lines[i]["epoch"], i / 4 + 1);
  }
  EXPECT_EQ(lines[0]["lr"], 0);
  double first = 0, last = 0;  // of an epoch
  for (std::size_t i = 0; i < 4; ++i) {
    first += lines[i]["loss"].get<double>() / 4;
    last += lines[lines.size() - 1 - i]["loss"].get<double>() / 4;
  }
  EXPECT_LT(last, 0.8 * first);
  EXPECT_FALSE(lines[3].contains("knn_cosine_200"));
  EXPECT_GT(lines.back()["knn_euclidean_5"], 0);
  const TrainedEncoder trained = load_encoder(folder_ / "run/encoder.safetensors", cpu_backend());
  for (const char* key : {"format", "encoder", "width", "stem", "image_size", "channels", "mean", "std", "objective",
                          "dataset", "epoch", "step", "config_xxh128"})
    EXPECT_TRUE(trained.metadata.contains(key)) << key;
  EXPECT_EQ(trained.metadata.at("step"), "60");
  EXPECT_EQ(trained.metadata.at("mean"), "[0.497, 0.497, 0.497]");  // of the data set
  EXPECT_EQ(trained.metadata.at("std"), "[0.206, 0.206, 0.206]");
  EXPECT_EQ(trained.metadata.at("config_xxh128").size(), 32u);
  EXPECT_EQ(trained.metadata.at("epoch"), "15");
}

TEST_F(TrainerTest, TheLoggedLossIsThatOfItsParts) {
  pretrain(tiny("run", "barlow_twins"));
  for (const json& line : metrics_of(folder_, "run"))
    EXPECT_NEAR(line["loss"].get<double>(), line["invariance"].get<double>() + line["redundancy"].get<double>(), 1e-4);
}

TEST_F(TrainerTest, ARunInHalfPrecisionLearnsAndResumes) {
  Options options = tiny("whole");
  options.precision = Precision::bf16;
  options.epochs = 1;
  EXPECT_TRUE(std::isfinite(pretrain(options).loss));
  options.out = folder_ / "parts";
  options.max_steps = 2;
  pretrain(options);
  options.max_steps = 0;
  options.resume = true;
  pretrain(options);
  EXPECT_EQ(folder_.bytes("whole/encoder.safetensors"), folder_.bytes("parts/encoder.safetensors"));
}

TEST_F(TrainerTest, ACheckpointIsRefusedUnderOtherOptions) {
  Options options = tiny("run");
  options.max_steps = 2;
  pretrain(options);
  EXPECT_NE(message_of([&] { pretrain(options); }).find("--resume"), std::string::npos);
  options.resume = true;
  const auto refused = [&](const char* name, auto change) {
    Options other = options;
    change(other);
    const std::string message = message_of([&] { pretrain(other); });
    EXPECT_NE(message.find(name), std::string::npos) << message;
  };
  refused("lr", [](Options& o) { o.lr = 0.25; });
  refused("seed", [](Options& o) { o.seed = 2; });
  refused("simclr.temperature", [](Options& o) { set_option(o, "simclr.temperature", "0.21"); });
  refused("epochs", [](Options& o) { o.epochs = 4; });
  options.max_steps = 3;
  options.workers = 1;
  options.checkpoint_every = 1;
  EXPECT_EQ(pretrain(options).started_at, 2);
}

TEST_F(TrainerTest, ARunKilledBeforeItsFirstCheckpointBeginsAgain) {
  Options options = tiny("whole");
  pretrain(options);
  options.out = folder_ / "killed";
  options.resume = true;
  options.workers = 1;  // may change
  fs::create_directory(options.out);
  std::string config = folder_.bytes("whole/config.toml");
  std::ofstream(options.out + "/config.toml") << config;
  std::ofstream(options.out + "/metrics.jsonl") << folder_.bytes("whole/metrics.jsonl").substr(0, 250);
  ::testing::internal::CaptureStdout();
  EXPECT_EQ(pretrain(options).started_at, 0);
  const std::string said = ::testing::internal::GetCapturedStdout();
  EXPECT_NE(said.find("\nno checkpoint in " + options.out + ": starts at step 0\n"), std::string::npos) << said;
  EXPECT_EQ(folder_.bytes("whole/encoder.safetensors"), folder_.bytes("killed/encoder.safetensors"));
  EXPECT_EQ(metrics_of(folder_, "whole"), metrics_of(folder_, "killed"));
  ::testing::internal::CaptureStdout();
  pretrain(options);
  EXPECT_EQ(::testing::internal::GetCapturedStdout().find("no checkpoint"), std::string::npos);
}

TEST_F(TrainerTest, WithoutACheckpointResumingOverwritesNoOtherRun) {
  Options options = tiny("run");
  pretrain(options);
  options.resume = true;
  const std::string checkpoint = folder_ / "run/checkpoint.safetensors", config = folder_ / "run/config.toml";
  fs::remove(checkpoint);
  const auto expect_refused = [&](const std::vector<std::string>& parts) {
    const std::string before = folder_.bytes("run/metrics.jsonl") + folder_.bytes("run/config.toml");
    expect_contains(message_of([&] { pretrain(options); }), parts);
    EXPECT_EQ(folder_.bytes("run/metrics.jsonl") + folder_.bytes("run/config.toml"), before);
    EXPECT_FALSE(fs::exists(checkpoint));
  };
  expect_refused({folder_ / "run: has encoder.safetensors but no checkpoint.safetensors"});
  fs::remove(folder_ / "run/encoder.safetensors");
  options.lr = 0.25;
  options.epochs = 4;
  expect_refused({config + ": cannot resume with other options: epochs is 3 there and 4 here, lr is 0.5 there and 0.25 "
                           "here; for the run's own give --out and --resume alone, or choose another --out"});
  for (const std::string damaged : {"epochs = \"three\"\n", "[[[", "no_option = 1\n"}) {
    std::ofstream(config) << damaged;
    expect_refused({config + ":"});
  }
  std::ofstream(config) << std::string("\0\xff", 2);
  expect_refused({config});
  fs::remove(config);
  fs::create_directory(config);
  expect_contains(message_of([&] { pretrain(options); }), {config + ": is a folder"});
}

TEST_F(TrainerTest, AnEncoderIsNeverThereWithoutACheckpoint) {
  Options options = tiny("run", "mrcl");  // has an encoder besides, from before its statistics are re-estimated
  options.epochs = 1;
  EXPECT_EQ(saved_by(options), (std::vector<std::string>{"checkpoint", "encoder_as_trained", "encoder"}));
  // killed between them: the run is over, and its encoder is missing
  const std::string encoder = folder_.bytes("run/encoder.safetensors");
  const std::string as_trained = folder_.bytes("run/encoder_as_trained.safetensors");
  const std::string metrics = folder_.bytes("run/metrics.jsonl");
  EXPECT_NE(encoder, as_trained);
  for (const char* file : {"run/encoder.safetensors", "run/encoder_as_trained.safetensors"}) fs::remove(folder_ / file);
  options.resume = true;
  EXPECT_EQ(pretrain(options).started_at, 4);
  EXPECT_EQ(folder_.bytes("run/encoder.safetensors"), encoder);
  EXPECT_EQ(folder_.bytes("run/encoder_as_trained.safetensors"), as_trained);
  EXPECT_EQ(folder_.bytes("run/metrics.jsonl"), metrics);
}

/// So a run that is killed between them makes them again.
TEST_F(TrainerTest, LaterEncodersAreThereBeforeTheirCheckpoint) {
  Options options = tiny("run", "mrcl");
  options.epochs = 2;
  const std::vector<std::string> expected{"checkpoint", "encoder", "encoder_as_trained", "encoder", "checkpoint"};
  EXPECT_EQ(saved_by(options), expected);
}

TEST_F(TrainerTest, AResumedRunKeepsItsTunedConvolutions) {
  Options options = tiny("tuned");
  options.tune = true;
  options.components.get<ResNetSettings>().width = 16;  // whole vectors of channels: 3x3 convolutions have a choice
  options.max_steps = 2;
  pretrain(options);
  json choices = parse_json(folder_.bytes("tuned/tuning.json"));
  int turned = 0;
  for (auto& [name, algorithm] : choices.items()) {
    EXPECT_TRUE(algorithm == "direct" || algorithm == "winograd") << name;
    if (name.find("x16 -> 16, 3x3/1") == std::string::npos) continue;
    algorithm = algorithm == "direct" ? "winograd" : "direct";
    ++turned;
  }
  EXPECT_EQ(turned, 3) << choices.dump(1);  // forward, data, weight
  const std::string file = folder_ / "tuned/tuning.json";
  std::ofstream(file) << choices;
  options.resume = true;
  options.max_steps = 4;
  pretrain(options);
  EXPECT_EQ(parse_json(folder_.bytes("tuned/tuning.json")), choices);
  std::ofstream(file) << "[1]";
  options.max_steps = 6;
  EXPECT_NE(message_of([&] { pretrain(options); }).find("tuning.json: expected an object"), std::string::npos);
  options.tune = false;
  options.out = folder_ / "plain";
  options.resume = false;
  pretrain(options);  // the rule is back
  EXPECT_EQ(cpu_backend().choices().tuning, nullptr);
  EXPECT_FALSE(fs::exists(folder_ / "plain/tuning.json"));
}

TEST(DeviceOf, HasTheChoicesOfItsOptionsAndOfNoOthersBefore) {
  Options options;
  set_option(options, "device", "cpu");
  EXPECT_EQ(device_of(options).choices().cpu_conv, CpuConv::automatic);
  set_option(options, "cpu-conv", "direct");
  set_option(options, "precision", "bf16");
  set_option(options, "deterministic", "on");
  const KernelChoices& choices = device_of(options).choices();
  EXPECT_EQ(&device_of(options), &cpu_backend());
  EXPECT_EQ(choices.cpu_conv, CpuConv::direct);
  EXPECT_EQ(choices.math, CudaMath::tf32_products);
  EXPECT_EQ(choices.weight_gradients, DType::bf16);
  EXPECT_TRUE(choices.deterministic);
  set_option(options, "weight-gradients", "fp32");
  EXPECT_EQ(device_of(options).choices().weight_gradients, DType::f32);
  Options plain;
  set_option(plain, "device", "cpu");
  device_of(plain);
  EXPECT_EQ(cpu_backend().choices().cpu_conv, CpuConv::automatic);
  EXPECT_FALSE(cpu_backend().choices().deterministic);
}

TEST_F(TrainerTest, ChoicesOfKernelsThatDoNotGoTogetherAreRefused) {
  Options options = tiny("run");
  options.weight_gradients = DType::bf16;
  EXPECT_EQ(message_of([&] { pretrain(options); }),
            "--weight-gradients bf16: goes with --precision bf16 alone, not with fp32");
  EXPECT_FALSE(fs::exists(folder_ / "run"));
  options = tiny("run");
  options.tune = options.deterministic = true;
  expect_contains(message_of([&] { pretrain(options); }), {"--tune: not with --deterministic"});
  EXPECT_FALSE(fs::exists(folder_ / "run/checkpoint.safetensors"));
}

TEST_F(TrainerTest, ALossThatIsNotFiniteStopsTheRunAndKeepsTheCheckpoint) {
  Options options = tiny("run", "barlow_twins");
  options.max_steps = 2;
  pretrain(options);
  const std::string before = folder_.bytes("run/checkpoint.safetensors");
  options.lr = 1e36;
  options.out = folder_ / "wild";
  options.warmup_epochs = 0;
  options.max_steps = 0;
  const std::string message = message_of<Error>([&] { pretrain(options); });
  EXPECT_NE(message.find("step "), std::string::npos) << message;
  EXPECT_NE(message.find("not finite"), std::string::npos) << message;
  EXPECT_TRUE(message.find("invariance") != std::string::npos || message.find("redundancy") != std::string::npos ||
              message.find("loss") != std::string::npos)
      << message;
  const std::vector<json> lines = metrics_of(folder_, "wild");
  EXPECT_TRUE(lines.back()["loss"].is_null());
  EXPECT_FALSE(fs::exists(folder_ / "wild/encoder.safetensors"));
  EXPECT_EQ(folder_.bytes("run/checkpoint.safetensors"), before);
}

TEST_F(TrainerTest, ABatchLargerThanTheDataIsRefused) {
  Options options = tiny("run");
  options.batch = 71;
  EXPECT_NE(message_of([&] { pretrain(options); }).find("batch"), std::string::npos);
  EXPECT_FALSE(fs::exists(folder_ / "run"));
}

TEST_F(TrainerTest, ADamagedCheckpointIsRefused) {
  Options options = tiny("run");
  options.max_steps = 1;
  pretrain(options);
  options.resume = true;
  fs::resize_file(folder_ / "run/checkpoint.safetensors", 5000);
  EXPECT_NE(message_of([&] { pretrain(options); }).find("checkpoint.safetensors"), std::string::npos);
}

TEST_F(TrainerTest, ACheckpointWithAWrongBitIsRefused) {
  Options options = tiny("run");
  options.max_steps = 1;
  pretrain(options);
  options.resume = true;
  options.max_steps = 2;
  const std::string path = folder_ / "run/checkpoint.safetensors", whole = read_file(path);
  std::uint64_t header = 0;
  std::memcpy(&header, whole.data(), 8);
  const std::string refusal = path + ": is damaged: its bytes do not fit its checksum";
  const auto flip = [&](std::size_t byte) {
    std::string bytes = whole;
    bytes[byte] = static_cast<char>(bytes[byte] ^ 1);
    write_atomically(path, bytes);
  };
  for (const std::size_t share : {0u, 1u, 50u, 99u, 100u}) {  // percent of the tensors' bytes
    flip(8 + header + (whole.size() - 9 - header) * share / 100);
    EXPECT_EQ(message_of([&] { pretrain(options); }), refusal) << share;
  }
  flip(whole.find("\"step\":\"1\"") + 8);  // the number itself
  EXPECT_EQ(message_of([&] { pretrain(options); }), refusal);
  flip(whole.find("\"xxh128\"") + 2);  // the name of the checksum
  expect_contains(message_of([&] { pretrain(options); }), {path + ": there is no metadata 'xxh128'"});
  for (std::size_t at = 8; at < 8 + header; at += 101) {  // names, shapes, offsets, options
    flip(at);
    expect_contains(message_of([&] { pretrain(options); }), {path + ": "});
  }
  write_atomically(path, whole);
  EXPECT_EQ(pretrain(options).started_at, 1);
}

/// The checkpoint as older versions wrote it.
void make_old(const std::string& path) {
  const SafetensorsFile file(path);
  Metadata metadata = file.metadata();
  for (const char* key : {"xxh128", "images_xxh128", "labels_xxh128", "seconds"})
    EXPECT_EQ(metadata.erase(key), 1u) << key;
  metadata["format"] = "vergence-checkpoint-1";
  write_safetensors(path, file.tensors(), metadata);
}

TEST_F(TrainerTest, ACheckpointWithoutAChecksumGoesOn) {
  Options options = tiny("whole");
  pretrain(options);
  options.out = folder_ / "parts";
  options.max_steps = 5;
  pretrain(options);
  make_old(folder_ / "parts/checkpoint.safetensors");
  options.max_steps = 0;
  options.resume = true;
  ::testing::internal::CaptureStderr();
  EXPECT_EQ(pretrain(options).started_at, 5);
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
  EXPECT_EQ(folder_.bytes("whole/encoder.safetensors"), folder_.bytes("parts/encoder.safetensors"));
}

TEST_F(TrainerTest, TheTimeThatWasSpentGoesOnAfterAResume) {
  Options options = tiny("run");
  options.max_steps = 5;
  pretrain(options);
  const auto spent = [&] { return Checkpoint(folder_ / "run/checkpoint.safetensors").position().seconds; };
  const double first = spent();
  EXPECT_GT(first, 0);
  EXPECT_LT(first, 600);
  options.resume = true;
  options.max_steps = 9;
  pretrain(options);
  EXPECT_GT(spent(), first);
}

TEST_F(TrainerTest, TheBenchmarkRunsTheStepOfPretraining) {
  for (const char* objective : {"simclr", "barlow_twins"}) {
    BenchSettings bench;
    bench.run.values.objective = objective;
    bench.image = 16;
    bench.run.values.batch = 16;
    bench.run.set("width", "4");
    bench.projector = 32;
    bench.warmup = 2;
    bench.steps = 6;
    Options options = bench_options(bench);
    options.dataset = "confounded_shapes";
    options.limit = 64;
    options.epochs = 2;
    options.out = folder_ / objective;
    pretrain(options);
    const Dataset dataset = open_dataset(dataset_settings(options), "train");
    const auto objective_of_options = make_objective(objective_setup(options, bench.image, cpu_backend()));
    HostSource source({dataset, loader_settings(options, dataset, *objective_of_options, 0), cpu_backend()});
    const BenchResult result = bench_step(bench, [&](std::int64_t step) {
      source.prepare(step);
      return source.make();
    });
    const std::vector<json> lines = metrics_of(folder_, objective);
    ASSERT_EQ(result.losses.size(), 8u);
    ASSERT_EQ(lines.size(), 8u);
    for (std::size_t i = 0; i < lines.size(); ++i) EXPECT_EQ(lines[i]["loss"], result.losses[i]) << "step " << i + 1;
    EXPECT_EQ(bench_report(bench, result)["steps"], 6);
  }
}

TEST_F(TrainerTest, AStepFollowsTheGradientOfItsLoss) {
  for (const char* name : {"simclr", "barlow_twins"})
    expect_step_follows_gradient(tiny("unused", name), doubled(random_views(8, 8, 3, cpu_backend())), {}, name);
}

TEST_F(TrainerTest, TheTargetOfByolFollowsTheTrainedNetwork) {
  Options options = tiny("unused", "byol");
  set_option(options, "byol.momentum", "0.75");
  const auto objective = make_objective(objective_setup(options, 16, cpu_backend()));
  const StepContext context{.lr = 0.5, .step = 0, .steps = 10};
  expect_moving_average(*objective, "target", 0.75, random_views(4, 16, 1, cpu_backend()), context, 1e-6);
}

TEST_F(TrainerTest, ThePlanCountsWhatIsThere) {
  Options options = tiny("run", "byol");
  const Dataset dataset = open_dataset(dataset_settings(options), "train");
  const auto objective = make_objective(objective_setup(options, 16, cpu_backend()));
  const TrainingPlan plan = make_plan(options, dataset, *objective, cpu_backend());
  EXPECT_EQ(plan.steps, 12);
  EXPECT_EQ(plan.effective_lr, options.lr * 16 / 256);
  std::int64_t counted = 0;
  objective->encoder().each([&](const std::string&, Tensor& tensor) { counted += tensor.size(); });
  EXPECT_EQ(plan.step.encoder_parameters, counted);
  EXPECT_GT(plan.step.parameters, 2 * counted);
  EXPECT_NE(describe_plan(options).find("12 (3 epochs of 4; 70 images, 6 dropped in each)"), std::string::npos);
  EXPECT_FALSE(fs::exists(folder_ / "run"));
}

}  // namespace
}  // namespace vergence
