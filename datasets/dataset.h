// A data set: images, labels and their properties that a model needs. datasets/registry.h registers data sets.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "datasets/image_source.h"
#include "engine/component_settings.h"
#include "kernels/views.h"

namespace vergence {

/// One split of a data set. Either all images have one size and are consecutive in memory, uint8, NHWC; or each has its
/// own size and is read from `source` when needed (datasets/loading/image_reader.h reads both).
struct Dataset {
  std::string name;   // "cifar10"
  std::string split;  // "train"
  std::int64_t count = 0, channels = 3;
  std::int64_t height = 0, width = 0;  // of every image; 0 with a source
  std::int64_t classes = 0;            // 0: no labels
  std::vector<std::uint8_t> pixels;    // count x height x width x channels; empty with a source
  std::shared_ptr<const ImageSource> source;
  std::vector<std::int32_t> labels;      // count values in [0, classes), or empty
  std::vector<std::string> class_names;  // by label; empty: classes are numbers
  DecodeRule decode = DecodeRule::fast;  // of image files
  ChannelValues mean{}, std{};           // of the training split's pixels in [0, 1], for every split
  std::vector<std::string> notices;      // messages about skipped or reinterpreted data: see new_notices

  /// Evaluation resizes an image's short side to `zoom` x the view's size, then takes the center crop.
  double zoom = 1;

  /// Bytes of one image in memory.
  std::int64_t image_bytes() const { return height * width * channels; }
  /// Default height and width of views: the images' own, 224 if their sizes differ.
  std::int64_t view_size() const { return height > 0 ? height : 224; }
  /// ViewSettings::resize for un-augmented views of this size: 0 if the images have it already.
  std::int64_t evaluation_resize(std::int64_t size) const;
  /// The image's height x width x channels bytes in memory. Throws Error if `index` or the buffer is out of range.
  const std::uint8_t* image(std::int64_t index) const;
  /// The image's name in its data set: of image files the file's in its folder ("val/cat/1.jpg"), else the split and
  /// the index ("test/000042").
  std::string image_name(std::int64_t index) const;
  /// The image's class, or -1 without labels.
  std::int32_t label(std::int64_t index) const;
};

/// The class's name (a folder's), or its number if classes have none.
std::string class_name(const std::vector<std::string>& names, std::int64_t label);

struct DatasetSettings {
  std::string name = "confounded_shapes";
  std::string directory = "";  // where the files are; unused by confounded_shapes
  std::string classes = "";    // image files: a file of class names, or a shipped list; empty: all
  JpegLibrary jpeg = JpegLibrary::turbo;
  DecodeRule decode = DecodeRule::fast;
  BadImagePolicy bad_images = BadImagePolicy::stop;
  std::int64_t image_size = 0;  // confounded_shapes: height and width (0: 32); others keep their own, and views resize
  std::int64_t limit = 0;       // only the split's first N images; of image files, which are sorted by class, N evenly
                                // spaced ones (0: all)
  std::uint64_t seed = 0;       // of rendered data sets
  ComponentSettings components = {};  // the options of each data set, in its file's struct
};

/// The names that `open_dataset` knows.
const std::vector<std::string>& dataset_names();

/// The split names of every data set. "train": for pretraining, which never uses its labels. "probe": fits probes and
/// is kNN's bank. "val": chooses coefficients. "test": reports. "probe_without_val": "probe" without "val", for probes
/// evaluated on "val".
///   confounded_shapes, composites: four disjoint sets, so probe_without_val = probe. Class and background agree only
///     in "train".
///   cifar10, cifar100: train = probe = the 50,000 training images, test = the 10,000 test images; val = the last 5,000
///     training images, so train and probe include it.
///   stl10: train = the 5,000 training and the 100,000 unlabeled images, probe = the 5,000, test = the 8,000 test
///     images; val = the last 500 training images.
///   npy: train = probe = the training images, val = their last tenth, test = the test images.
///   image_folder, imagenet, imagenet100: datasets/readers/images/folder.h.
const std::vector<std::string>& split_names();

/// The split that fits probes and is kNN's bank for an evaluation on `judged` ("test" or "val"). Throws UsageError for
/// any other.
std::string probe_split(const std::string& judged);

/// Whether there is a split "test", which a folder of image files or arrays may lack. Throws UsageError if the folder
/// is missing.
bool has_test_split(const DatasetSettings& settings);

/// Whether the images of data set `name` are separate files, or packed from such files.
bool is_of_image_files(const std::string& name);

/// The names of which that is true.
std::vector<std::string> image_file_datasets();

/// Opens one split. Throws UsageError (one line: what, where, what was expected) for an unknown name or split, bad
/// settings, and missing or damaged files.
Dataset open_dataset(const DatasetSettings& settings, const std::string& split);

/// The data set's notices that this process has not received yet, for a tool to print: splits share some.
std::vector<std::string> new_notices(const Dataset& data);

/// The images skipped since the last call, each as "skipped " and a message that begins with its name.
std::vector<std::string> new_skipped(const Dataset& data);

}  // namespace vergence
