// encoder.safetensors: what is written comes back, in torchvision's layout; anything else is refused in one line.
#include "models/encoder_file.h"

#include <cmath>
#include <functional>
#include <gtest/gtest.h>
#include <set>

#include "tests/support/complaints.h"
#include "tests/support/small_models.h"
#include "tests/support/temporary_folder.h"

namespace vergence {
namespace {

TEST(EncoderFile, RoundTrip) {
  ResNetSettings settings = small();
  settings.stem = Stem::imagenet;
  settings.stem_relu = false;
  const ResNet model = perturbed(settings, DType::f32);
  const Tensor images = random_tensor({8, 32, 32, 3}, 13, DType::f32);
  Statistics statistics;
  model(images, {.groups = 2, .running = &statistics});
  const TemporaryFolder folder;
  const std::string path = folder / "encoder.safetensors";
  save_encoder(path, model, statistics, {{"objective", "simclr"}, {"epoch", "3"}});
  const TrainedEncoder loaded = load_encoder(path, cpu_backend());
  EXPECT_EQ(loaded.encoder.settings().metadata(), EncoderSettings(settings).metadata());
  EXPECT_EQ(loaded.metadata.at("format"), "pt");
  EXPECT_EQ(loaded.metadata.at("objective"), "simclr");
  const Tensors before = values_of(model), after = values_of(loaded.encoder);
  ASSERT_EQ(before.size(), after.size());
  for (std::size_t i = 0; i < before.size(); ++i) EXPECT_EQ(before[i].floats(), after[i].floats());
  Statistics read = loaded.statistics;
  ASSERT_EQ(read.layers.size(), statistics.layers.size());
  for (const auto& [name, entry] : statistics.layers) {
    EXPECT_EQ(entry.mean.floats(), read.layers.at(name).mean.floats()) << name;
    EXPECT_EQ(entry.variance.floats(), read.layers.at(name).variance.floats()) << name;
    EXPECT_EQ(read.layers.at(name).batches, 2);
  }
  EXPECT_EQ(model(images, {.training = false, .running = &statistics}).floats(),
            loaded.encoder(images, {.training = false, .running = &read}).floats());
}

TEST(EncoderFile, HoldsTheStatisticsOfEveryBatchNorm) {
  for (const std::string& name : encoder_names()) {
    const Encoder encoder = make_encoder({.encoder = name, .image_size = 32}, {cpu_backend()});
    Statistics statistics;
    encoder.constant()(random_tensor({2, 32, 32, 3}, 1, DType::f32), {.running = &statistics});
    std::set<std::string> used, saved;
    for (const auto& [norm, entry] : statistics.layers) used.insert(norm);
    for (const ConvBn* layer : encoder.layers()) saved.insert(layer->norm_name);
    EXPECT_EQ(used, saved) << name;
  }
}

TEST(EncoderFile, LayoutIsTorchvisions) {
  ResNet model = make_resnet(small(), {cpu_backend()});
  Statistics statistics;
  const EncoderEntries entries(model, statistics);
  ASSERT_EQ(entries.entries().size(), 6 * model.layers().size());
  const TensorEntry& conv = entries.entries()[0];
  EXPECT_EQ(conv.name, "conv1.weight");
  EXPECT_EQ(conv.shape, (std::vector<std::int64_t>{2, 3, 3, 3}));
  const auto* values = static_cast<const float*>(conv.data);
  const std::vector<float> own = model.stem.w.floats();
  for (std::size_t o = 0; o < 2; ++o)
    for (std::size_t i = 0; i < 3; ++i)
      for (std::size_t cell = 0; cell < 9; ++cell)
        EXPECT_EQ(values[(o * 3 + i) * 9 + cell], own[(o * 9 + cell) * 3 + i]);
  const TensorEntry& counter = entries.entries()[5];
  EXPECT_EQ(counter.name, "bn1.num_batches_tracked");
  EXPECT_EQ(counter.dtype, "I64");
  EXPECT_TRUE(counter.shape.empty());
}

/// The message with which a file made of changed entries or metadata is refused.
std::string refusal(const std::function<void(std::vector<TensorEntry>&, Metadata&)>& change) {
  const ResNet model = make_resnet(small(), {cpu_backend()});
  const EncoderEntries entries(model, {});
  std::vector<TensorEntry> list = entries.entries();
  Metadata metadata = EncoderSettings(model.settings).metadata();
  change(list, metadata);
  const TemporaryFolder folder;
  const std::string path = folder / "encoder.safetensors";
  write_safetensors(path, list, metadata);
  std::string text = message_of([&] { load_encoder(path, cpu_backend()); });
  EXPECT_EQ(text.find('\n'), std::string::npos) << text;
  EXPECT_NE(text.find(path), std::string::npos) << text;
  return text;
}

TEST(EncoderFile, LoaderIsStrict) {
  using Entries = std::vector<TensorEntry>;
  auto contains = [](const std::string& text, const std::string& part) {
    EXPECT_NE(text.find(part), std::string::npos) << text;
  };
  contains(refusal([](Entries& list, Metadata&) { list.erase(list.begin() + 12); }), "layer1.0.conv2.weight");
  contains(refusal([](Entries& list, Metadata&) { list[3].name = "bn1.running_men"; }), "bn1.running_mean");
  const float extra = 1;
  contains(refusal([&](Entries& list, Metadata&) { list.push_back({"fc.bias", "F32", {1}, &extra, 4}); }), "fc.bias");
  contains(refusal([](Entries& list, Metadata&) { list[0].shape = {2, 9, 3, 1}; }), "conv1.weight");
  contains(refusal([](Entries& list, Metadata&) { list[1].dtype = "I32"; }), "bn1.weight");
  const float poison[2] = {1, std::nanf("")};
  contains(refusal([&](Entries& list, Metadata&) { list[1].data = poison; }), "bn1.weight");
  contains(refusal([](Entries&, Metadata& metadata) { metadata["width"] = "4"; }), "conv1.weight");
  contains(refusal([](Entries&, Metadata& metadata) { metadata["width"] = "2x"; }), "width");
  contains(refusal([](Entries& list, Metadata&) { list.clear(); }), "conv1.weight");
  contains(refusal([](Entries&, Metadata& metadata) { metadata.erase("encoder"); }), "encoder");
  contains(refusal([](Entries&, Metadata& metadata) { metadata["stem"] = "pool"; }), "stem");
  contains(refusal([](Entries&, Metadata& metadata) { metadata["stem_relu"] = "yes"; }), "stem_relu");
}

TEST(EncoderFile, ANetworkFarBeyondTheFileIsNotMade) {
  const TemporaryFolder folder;
  const std::string path = folder / "encoder.safetensors";
  EncoderSettings settings = small();
  settings.encoder = "resnet50";
  Metadata metadata = settings.metadata();
  metadata["width"] = "4096";  // 400 GB
  write_safetensors(path, {}, metadata);
  expect_contains(message_of([&] { load_encoder(path, cpu_backend()); }),
                  {path, ": its tensors have 0 values, expected the ", " parameters of its resnet50"});
}

}  // namespace
}  // namespace vergence
