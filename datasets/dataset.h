// A data set: images, labels and what a model needs to know about them. How a data set registers itself:
// datasets/registry.h.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "datasets/image_source.h"
#include "engine/own_settings.h"
#include "kernels/views.h"

namespace vergence {

/// One split of a data set. Either all images share one size and lie in memory behind one another, uint8, NHWC; or each
/// has its own size and is read from `source` when it is needed (datasets/loading/image_reader.h reads both).
struct Dataset {
  std::string name;   // "cifar10"
  std::string split;  // "train"
  std::int64_t count = 0, channels = 3;
  std::int64_t height = 0, width = 0;  // of each image; 0 with a source
  std::int64_t classes = 0;            // 0: no labels
  std::vector<std::uint8_t> pixels;    // count x height x width x channels; empty with a source
  std::shared_ptr<const ImageSource> source;
  std::vector<std::int32_t> labels;      // count values in [0, classes), or empty
  std::vector<std::string> class_names;  // of image files, by label; empty: classes are numbers
  DecodeRule decode = DecodeRule::fast;  // of image files
  ChannelValues mean{}, std{};           // of the training split's pixels in [0, 1], whatever this split is
  std::vector<std::string> notices;      // lines about what was left out, or taken for something: see new_notices

  /// Evaluation resizes an image's short side to `zoom` x the view's size, and cuts the view out of its center.
  double zoom = 1;

  /// Bytes of an image in memory.
  std::int64_t image_size() const { return height * width * channels; }
  /// Height and width of views unless something else is asked for: the images' own, 224 where they have none in common.
  std::int64_t view_size() const { return height > 0 ? height : 224; }
  /// ViewSettings::resize of un-augmented views of this size: 0 for images that are just as large.
  std::int64_t evaluation_resize(std::int64_t size) const;
  /// The image's height x width x channels bytes in memory. Throws Error if `index` or the buffer is out of range.
  const std::uint8_t* image(std::int64_t index) const;
  /// The image's class, or -1 where the data set has no labels.
  std::int32_t label(std::int64_t index) const;
};

struct DatasetSettings {
  std::string name = "confounded_shapes";
  std::string directory = "";  // where the files are; unused by confounded_shapes
  std::string classes = "";    // of image files: a file of class names, or the name of a shipped list; empty: all
  JpegLibrary jpeg = JpegLibrary::turbo;
  DecodeRule decode = DecodeRule::fast;
  BadImagePolicy bad_images = BadImagePolicy::stop;
  std::int64_t image_size = 0;  // confounded_shapes: height and width (0: 32). Others keep their own; views resize
  std::int64_t limit = 0;       // the first N images of the split alone; of image files, which are sorted by class, N
                                // at equal distances (0: all)
  std::uint64_t seed = 0;       // of rendered data sets
  OwnSettings own;              // each data set's own options, in the struct of its file
};

/// The names that `open_dataset` knows.
const std::vector<std::string>& dataset_names();

/// The split names of every data set. "train": pretraining (its labels are never used there). "probe": fits probes and
/// is the bank of kNN. "val": chooses coefficients. "test": reports. "probe_without_val": what is left of "probe" for
/// probes that "val" judges.
///   confounded_shapes, composites: four disjoint sets, so probe_without_val = probe; class and background agree in
///   "train" alone.
///   cifar10, cifar100: train = probe = the 50,000 training images, val = the last 5,000 of them (so it is part of
///   both), probe_without_val = the other 45,000, test = the 10,000 test images. stl10: train = the 5,000 training
///   images and the 100,000 unlabeled ones, probe = the 5,000, val = the last 500 of them, probe_without_val = the
///   other 4,500, test = the 8,000 test images. npy: train = probe = the training images, val = the last tenth of them,
///   probe_without_val = the rest, test = the test images. image_folder, imagenet, imagenet100: see
///   datasets/readers/images/folder.h.
const std::vector<std::string>& split_names();

/// The split that fits probes, and is kNN's bank, when `judged` ("test" or "val") is what they are judged on. Throws
/// UsageError for any other.
std::string probe_split(const std::string& judged);

/// Whether there is a split "test", which a folder of image files or arrays may lack. Throws UsageError for a folder
/// that is not there.
bool has_test_split(const DatasetSettings& settings);

/// Whether the data set of this name has its images in files of their own, or packed from such files.
bool is_of_image_files(const std::string& name);

/// Opens one split. Throws UsageError (one line: what, where, what was expected) for an unknown name or split, bad
/// settings, and missing or damaged files.
Dataset open_dataset(const DatasetSettings& settings, const std::string& split);

/// Those of the data set's notices that this process has not been given yet, for a tool to print: splits share some.
std::vector<std::string> new_notices(const Dataset& data);

/// The images that have been left out since the last call, each as "skipped " and a line that begins with its name.
std::vector<std::string> new_skipped(const Dataset& data);

}  // namespace vergence
