// Encoders in other programs' files: each layout of names gives the same features, and what does not fit is refused in
// one line.
#include "models/weights/encoder_weights.h"

#include <gtest/gtest.h>

#include "tests/support/complaints.h"
#include "tests/support/small_models.h"
#include "tests/support/temporary_folder.h"

namespace vergence {
namespace {

using Rename = std::function<std::string(std::string)>;

const Rename as_they_are = [](const std::string& name) { return name; };

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const std::size_t at = text.find(from);
  return at == std::string::npos ? text : text.replace(at, from.size(), to);
}

/// A small encoder, and its weights in files without a description.
class EncoderWeightsTest : public testing::Test {
 protected:
  explicit EncoderWeightsTest() : model_(make_resnet(small(), {cpu_backend(), 3})) {
    model_(images_, {.groups = 2, .running = &statistics_});
  }

  std::string write(const Rename& rename, const std::vector<std::string>& left_out = {}) {
    return write(model_, rename, left_out);
  }
  std::string write(const Encoder& model, const Rename& rename, const std::vector<std::string>& left_out = {}) {
    const EncoderEntries entries(model, statistics_);
    std::vector<TensorEntry> list = more_;
    for (TensorEntry entry : entries.entries()) {
      if (std::find(left_out.begin(), left_out.end(), entry.name) != left_out.end()) continue;
      entry.name = rename(entry.name);
      list.push_back(entry);
    }
    write_safetensors(folder_ / "weights", list);
    return folder_ / "weights";
  }
  /// Adds the encoder once more under another prefix.
  void add_copy(const std::string& prefix) {
    copies_.emplace_back(model_, statistics_);
    for (TensorEntry entry : copies_.back().entries()) {
      entry.name = prefix + entry.name;
      more_.push_back(entry);
    }
  }
  /// Adds a tensor of two values.
  void add_tensor(const std::string& name) { more_.push_back({name, "F32", {2}, two_values_.data(), 8}); }
  static EncoderSettings like() {
    EncoderSettings settings;
    settings.image_size = 8;
    return settings;
  }
  std::vector<float> features(TrainedEncoder trained) const {
    return trained.encoder(images_, {.training = false, .running = &trained.statistics}).floats();
  }
  std::vector<float> own_features() { return model_(images_, {.training = false, .running = &statistics_}).floats(); }
  static TrainedEncoder load(const std::string& path, const std::string& prefix = "", const FileUse& use = {}) {
    return load_any_encoder(path, prefix, like(), "choose one with --prefix", cpu_backend(), use);
  }
  static Stem stem_of(const TrainedEncoder& trained) { return trained.encoder.as<ResNet>().settings.stem; }

  const TemporaryFolder folder_;
  const Tensor images_ = random_tensor({4, 8, 8, 3}, 13, DType::f32);
  ResNet model_;
  Statistics statistics_;
  std::vector<TensorEntry> more_;
  std::vector<EncoderEntries> copies_;
  const std::vector<float> two_values_{1, 2};
};

TEST_F(EncoderWeightsTest, EveryLayoutOfNamesGivesTheSameFeatures) {
  const auto in_sequence = [](int stages) {
    return [stages](const std::string& name) {
      std::string renamed = replaced(replaced(name, "conv1.", "0."), "bn1.", "1.");
      if (name.starts_with("layer")) renamed = std::to_string(name[5] - '1' + stages) + name.substr(6);
      return "backbone." + renamed;
    };
  };
  const std::vector<Rename> layouts{
      as_they_are, [](const std::string& name) { return "module.encoder_q." + name; }, in_sequence(4),
      [](const std::string& name) { return replaced(name, "downsample", "shortcut"); },
      [&](const std::string& name) { return replaced(in_sequence(2)(name), "downsample", "shortcut"); }};
  for (std::size_t i = 0; i < layouts.size(); ++i) {
    const TrainedEncoder trained = load(write(layouts[i]));
    EXPECT_EQ(features(trained), own_features()) << "layout " << i;
    EXPECT_EQ(trained.encoder.settings().encoder, "resnet18");
    EXPECT_EQ(trained.statistics.layers.at("bn1").batches, 2);
  }
}

TEST_F(EncoderWeightsTest, ChoosesTheEncoderThatIsNoMovingAverage) {
  add_copy("momentum_backbone.");
  const std::string path = write([](const std::string& name) { return "backbone." + name; });
  EncoderWeights weights(path, "", like(), "choose one");
  weights.load(weights.settings(), {cpu_backend()});
  EXPECT_NE(weights.report().find("resnet18, 120 tensors under 'backbone.'\n"), std::string::npos) << weights.report();
  EXPECT_NE(weights.report().find("left out          momentum_backbone."), std::string::npos) << weights.report();
  EXPECT_NE(weights.report().find("missing           nothing"), std::string::npos) << weights.report();
  EXPECT_EQ(features(load(path, "momentum_backbone")), own_features());
  expect_contains(message_of([&] { load(path, "head"); }), {path, "under 'head'", "there is no encoder of these"});
}

TEST_F(EncoderWeightsTest, PassesOverMovingAveragesByTheirNames) {
  const std::string own = "module.encoder_q.";  // MoCo's
  for (const char* copy : {"module.encoder_k.", "momentum_backbone.", "teacher.", "target.", "ema.", "key."}) {
    more_.clear();
    copies_.clear();
    add_copy(copy);
    const std::string path = write([&](const std::string& name) { return own + name; });
    EncoderWeights weights(path, "", like(), "choose one");
    weights.load(weights.settings(), {cpu_backend()});
    EXPECT_NE(weights.report().find("under '" + own + "'"), std::string::npos) << copy << weights.report();
  }
}

TEST_F(EncoderWeightsTest, AsksWhichOfSeveralEncoders) {
  add_copy("a.");
  const std::string path = write([](const std::string& name) { return "b." + name; });
  expect_contains(message_of([&] { load(path); }),
                  {path, "there are several encoders, with 'a.', 'b.' before their names: choose one with --prefix"});
  EXPECT_EQ(features(load(path, "b.")), own_features());
}

/// A ResNet18 beside a ResNet that there is not, such as a teacher beside its student: which is meant?
TEST_F(EncoderWeightsTest, RefusesAnUnknownVariantBesideAnEncoder) {
  const EncoderEntries entries(model_, statistics_);
  for (const TensorEntry& entry : entries.entries())
    if (!entry.name.starts_with("layer3.1.")) add_tensor("a." + entry.name);
  for (TensorEntry& entry : more_)
    if (entry.name == "a.conv1.weight") entry.shape = {2, 1, 1, 1};
  const std::string path = write([](const std::string& name) { return "b." + name; });
  EXPECT_EQ(features(load(path, "b")), own_features());
  for (const char* prefix : {"", "a"})
    expect_contains(message_of([&] { load(path, prefix); }),
                    {path, "under 'a.': a ResNet with 2, 2, 1 and 2 basic blocks, expected resnet18"});
}

TEST_F(EncoderWeightsTest, AsksTheFamilyOfTheEncoderFirst) {
  add_tensor("layer1.conv.weight");
  more_.back().shape = {2, 1, 1, 1};
  add_tensor("layer4.bn.weight");
  const std::string path = write(as_they_are);
  const auto found = [&](const char* wanted) {
    EncoderSettings settings = like();
    settings.encoder = wanted;
    return EncoderWeights(path, "", settings, "").settings().encoder;
  };
  EXPECT_EQ(found("conv4"), "conv4");
  EXPECT_EQ(found("resnet18"), "resnet18");
  EXPECT_EQ(found("resnet50"), "resnet18");
}

TEST_F(EncoderWeightsTest, AdaptsTheStemToOtherChannels) {
  const std::string path = write(as_they_are);
  EncoderSettings network = model_.settings;
  const auto first = [&](std::int64_t channels, StemRule rule) {
    network.channels = channels;
    EncoderWeights weights(path, "", like(), "choose one");
    const TrainedEncoder trained = weights.load(network, {cpu_backend(), 77}, rule);
    return trained.encoder.as<ResNet>().stem.w;
  };
  const std::vector<float> whole = model_.stem.w.floats();  // [2, 3, 3, 3 channels]
  const std::vector<float> gray = first(1, StemRule::adapt).floats(), four = first(4, StemRule::adapt).floats();
  for (std::size_t cell = 0; cell < 18; ++cell) {
    EXPECT_FLOAT_EQ(gray[cell], whole[3 * cell] + whole[3 * cell + 1] + whole[3 * cell + 2]);
    for (std::size_t i = 0; i < 4; ++i) EXPECT_FLOAT_EQ(four[4 * cell + i], 0.75f * whole[3 * cell + i % 3]);
  }
  EXPECT_EQ(first(3, StemRule::renew).floats(), make_resnet(model_.settings, {cpu_backend(), 77}).stem.w.floats());
  expect_contains(message_of([&] { first(4, StemRule::exact); }),
                  {path, "tensor 'conv1.weight' is [2, 3, 3, 3], but 'conv1.weight' of the network is [2, 4, 3, 3]",
                   "adapt fits other channels"});
  network.components.get<ResNetSettings>().stem = Stem::imagenet;
  expect_contains(message_of([&] { first(3, StemRule::adapt); }), {"[2, 3, 7, 7]", "not other sizes"});
}

TEST_F(EncoderWeightsTest, RefusesWhatDoesNotFit) {
  const std::string path = write(as_they_are);
  const auto refusal = [&](const EncoderSettings& network) {
    return message_of([&] { EncoderWeights(path, "", like(), "").load(network, {cpu_backend()}); });
  };
  expect_contains(refusal(small("resnet34")), {path, "holds a resnet18, expected a resnet34"});
  expect_contains(refusal(small("resnet18", 4)),
                  {"'conv1.weight' is [2, 3, 3, 3]", "of the network is [4, 3, 3, 3]", "another width"});
  expect_contains(message_of([&] { load(write(as_they_are, {"layer4.1.conv2.weight"})); }),
                  {"lacks weights of the network: layer4.1.conv2.weight"});
  expect_contains(message_of([&] { load(write(as_they_are, {"layer3.1.conv1.weight"})); }),
                  {"a ResNet with 2, 2, 1 and 2 basic blocks, expected resnet18"});
  expect_contains(message_of([&] { load(write([](const std::string& name) { return "vit" + name; })); }),
                  {"there is no encoder of these", "vitlayer1.0.bn1.bias"});
}

TEST_F(EncoderWeightsTest, RefusesANetworkFarBeyondTheFile) {
  const std::vector<float> wide(4096 * 3 * 3 * 3, 1);
  more_.push_back({"conv1.weight", "F32", {4096, 3, 3, 3}, wide.data(), 4 * 4096 * 27});
  const std::string path = write(as_they_are, {"conv1.weight"});
  expect_contains(message_of([&] { load(path); }),
                  {path, ": its tensors have ", " values, expected the ", " parameters of its resnet18"});
}

TEST_F(EncoderWeightsTest, RefusesANetworkWithMoreInIt) {
  const auto backbone = [](const std::string& name) { return "backbone." + name; };
  for (const char* name :
       {"backbone.fc.weight", "backbone.layers.0.weight", "layer1.0.se.weight", "projector.0.weight"})
    add_tensor(name);
  EXPECT_EQ(features(load(write(backbone))), own_features());
  add_tensor("backbone.layer1.0.se.weight");
  const std::string path = write(backbone);
  expect_contains(message_of([&] { load(path); }),
                  {path, "its network has more than a resnet18: backbone.layer1.0.se.weight"});
  expect_contains(message_of([&] { EncoderWeights(path, "", like(), "").load(model_.settings, {cpu_backend()}); }),
                  {"its network has more than a resnet18"});

  more_.clear();
  EncoderSettings settings = like();
  settings.encoder = "conv4", settings.image_size = 16;
  const Encoder conv4 = make_encoder(settings, {cpu_backend()});
  const auto load_conv4 = [&](StemRule stem) {
    EncoderWeights(write(conv4, as_they_are), "", settings, "").load(settings, {cpu_backend()}, stem);
  };
  EXPECT_NO_THROW(load_conv4(StemRule::exact));
  add_tensor("layer1.conv.bias");
  expect_contains(message_of([&] { load_conv4(StemRule::exact); }), {"more than a conv4: layer1.conv.bias"});
  EXPECT_NO_THROW(load_conv4(StemRule::renew));
}

TEST_F(EncoderWeightsTest, FeaturesNeedStatistics) {
  EXPECT_EQ(features(load(write(as_they_are, {"bn1.num_batches_tracked"}))), own_features());
  const std::string path = write(as_they_are, {"layer2.1.bn2.running_var", "bn1.num_batches_tracked"});
  const std::string message = message_of([&] { load(path); });
  expect_contains(message, {path, "lacks the running statistics of batch norm", "layer2.1.bn2.running_var; save"});
  EXPECT_EQ(message.find("num_batches_tracked"), std::string::npos) << message;
  EXPECT_NO_THROW(load(path, "", {.statistics = false}));
}

TEST_F(EncoderWeightsTest, SoloLearnsNamesTellThePaddingOfTheStem) {
  add_tensor("state_dict.classifier.weight");
  for (const std::string module : {"backbone.", "encoder.", "momentum_backbone."}) {
    const std::string path = write([&](const std::string& name) { return "state_dict." + module + name; });
    EXPECT_EQ(stem_of(load(path)), Stem::cifar_padding2) << module;
    EXPECT_EQ(stem_of(load(path, "", {.stem_given = true})), Stem::cifar) << module;
    for (const Stem stem : {Stem::cifar, Stem::cifar_padding2}) {
      EncoderSettings network = model_.settings;
      network.components.get<ResNetSettings>().stem = stem;
      EncoderWeights weights(path, "", like(), "");
      weights.load(network, {cpu_backend()});
      EXPECT_EQ(weights.report().find("notice: the names are solo-learn's") != std::string::npos, stem == Stem::cifar);
    }
  }
  for (const std::string prefix : {"", "state_dict.", "state_dict.net.", "backbone."})
    EXPECT_EQ(stem_of(load(write([&](const std::string& name) { return prefix + name; }))), Stem::cifar) << prefix;
}

TEST_F(EncoderWeightsTest, ReportsMissingStatistics) {
  const std::string path = write(as_they_are, {"bn1.running_mean", "bn1.running_var", "bn1.num_batches_tracked"});
  EncoderWeights weights(path, "", like(), "choose one");
  const TrainedEncoder trained = weights.load(weights.settings(), {cpu_backend()});
  EXPECT_NE(weights.report().find("missing           bn1.running_mean, bn1.running_var"), std::string::npos);
  EXPECT_EQ(weights.report().find("num_batches_tracked"), std::string::npos) << "it changes nothing";
  EXPECT_EQ(trained.statistics.layers.at("bn1").mean.floats(), std::vector<float>(2, 0));
  EXPECT_EQ(trained.statistics.layers.at("bn1").variance.floats(), std::vector<float>(2, 1));
}

TEST_F(EncoderWeightsTest, NamesOtherFormats) {
  const auto refusal = [&](const std::string& bytes) {
    write_atomically(folder_ / "file", bytes);
    return message_of([&] { open_weights(folder_ / "file"); });
  };
  expect_contains(refusal("\x80\x02\x8a\x0al\xfc\x9c\x46\xf9 j\xa8P\x19."), {"before version 1.6"});
  expect_contains(refusal("\x80\x04."), {"a plain pickle"});
  expect_contains(refusal("<!DOCTYPE html>"), {"a web page"});
  expect_contains(refusal("version https://git-lfs.github.com/spec/v1"), {"Git LFS"});
  expect_contains(refusal("GIF89a"), {"expected safetensors, or PyTorch's zip format"});
  expect_contains(refusal(""), {"it is empty"});
  expect_contains(refusal("PK\x03\x04 and no more"), {"zip archive"});
}

}  // namespace
}  // namespace vergence
