// What a run saw and learned, on a few images: views, features of test images, and their nearest neighbors.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ssl/evaluation/features/matrix.h"
#include "ssl/options/tool_options.h"
#include "ssl/picture_file.h"

namespace vergence {

struct SampleSettings {
  std::int64_t images = 1000;  // of the judged split, and of the bank
  GivenOptions given;          // --device
};

/// Some training images: a row of them as they are, and a row for each view, drawn with the settings and seed of the
/// run.
struct ViewSamples {
  Raster grid;
  std::int64_t images = 0;
};
ViewSamples view_samples(const Options& options);

struct NeighborImage {
  Raster picture;
  std::int64_t index = 0;  // in its split
  std::string label;       // empty: none
  double similarity = 1;   // cosine
  bool right = false;      // has the query's label
};

/// An image and its neighbors, nearest first.
struct NeighborRow {
  NeighborImage query;
  std::vector<NeighborImage> neighbors;
};

struct FeatureSamples {
  std::string data, split, bank_split;
  std::string notice;  // why the split is not test; empty if it is
  std::int64_t bank_images = 0;
  Features test;
  std::vector<std::string> classes;  // names by label; numbers where the data set has no names
  std::vector<NeighborRow> rows;
};

/// Features of the run's encoder, of the split test, or val where there is none. Throws UsageError if there is no
/// encoder or the images cannot be read.
FeatureSamples feature_samples(const std::string& run, const SampleSettings& settings);

/// The run's latest scores of single images. Throws UsageError if it kept none.
std::vector<double> score_values(const std::string& run);

/// The run's latest reconstructions: a PNG file of its folder `pictures`, reduced if it is large. Throws UsageError if
/// there is none.
struct PictureFile {
  std::string name, png;
};
PictureFile latest_picture(const std::string& run);

/// The values of a run's mask.safetensors. Throws UsageError if there is none.
std::vector<double> mask_values(const std::string& run);

}  // namespace vergence
