// Which images a report shows of a run.
#include "ssl/report/samples.h"

#include <gtest/gtest.h>

#include "models/encoder_file.h"
#include "models/encoders/resnet.h"
#include "ssl/report/page.h"
#include "tests/support/image_tree.h"

namespace vergence {
namespace {

/// A run folder with an encoder, trained on these images.
std::string run_on(const std::string& images, const TemporaryFolder& folder) {
  ResNetSettings settings;
  settings.width = 2;
  settings.image_size = 16;
  save_encoder(folder / "encoder.safetensors", make_resnet(settings, {cpu_backend(), 3}), {},
               {{"dataset", "image_folder"}, {"mean", "0.5,0.5,0.5"}, {"std", "0.25,0.25,0.25"}});
  Options options;
  options.dataset = "image_folder";
  options.data = images;
  options.image_size = 16;
  options.components.get<ResNetSettings>().width = 2;
  std::ofstream(folder / "config.toml") << options_to_toml(options);
  return folder.path();
}

TEST(FeatureSamples, AreOfValWhereThereIsNoTest) {
  ImageTree images;
  images.classes(".", 30);
  TemporaryFolder folder;
  const std::string run = run_on(images.path(), folder);
  const FeatureSamples samples = feature_samples(run, {});
  EXPECT_EQ(samples.split, "val");
  EXPECT_EQ(samples.test.rows(), 6);
  EXPECT_EQ(samples.bank_images, 54) << "the others";
  EXPECT_EQ(samples.notice, "image_folder has no split test: shows images of val, every tenth image.");
  const std::string page = report_page({read_run(run)}, {});
  EXPECT_NE(page.find("<h2>Map of val images</h2>\n<p>" + samples.notice), std::string::npos);
  EXPECT_EQ(page.find("Not shown: map"), std::string::npos);
}

TEST(FeatureSamples, AreOfTestWhereThereIsOne) {
  ImageTree images;
  images.classes("train", 20);
  images.classes("val", 8);
  TemporaryFolder folder;
  const FeatureSamples samples = feature_samples(run_on(images.path(), folder), {});
  EXPECT_EQ(samples.split, "test");
  EXPECT_EQ(samples.test.rows(), 16);
  EXPECT_EQ(samples.notice, "");
}

}  // namespace
}  // namespace vergence
