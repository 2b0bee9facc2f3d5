// Registers data sets. Each file datasets/sets/NAME.cpp defines vergence::sets::NAME(), and the build makes the list:
// docs/extending.md.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "datasets/dataset.h"
#include "engine/component_option.h"

namespace vergence {

class LayeredSplit;  // datasets/shapes/layered_images.h

/// Files of one published version of a data set, for --verify. The reader takes the first version that is there.
struct PublishedFiles {
  struct File {
    std::string name, md5;  // md5 "": nobody has published it
  };
  std::string folder;  // the folder that the published archive creates
  std::vector<File> files;
};

/// A data set, or several with one reader.
struct DatasetEntry {
  std::vector<std::string> names;  // for --dataset
  /// Opens a split, one of split_names(). Name, split and limit are already checked.
  Dataset (*open)(const DatasetSettings& settings, const std::string& split);
  std::vector<ComponentOption> options = {};   // named "NAME.option"
  std::vector<PublishedFiles> published = {};  // empty: no published sums

  /// Whether there is a split "test"; null: always. Throws UsageError for a folder that does not exist.
  bool (*has_test)(const DatasetSettings& settings) = nullptr;
  /// Describes the images of "val" if a folder may lack a split "test".
  std::string val = "";
  bool image_files = false;                // its images are separate files, or packed from such files
  std::vector<std::string> own = {};       // of `names`, those of the user's own images: only the folder says which
  double zoom = 1;                         // Dataset::zoom
  std::int64_t side = 0;                   // Dataset::height and width, where the zoom is not 1; 0: of any size
  std::int64_t smallest = 0, largest = 0;  // sides that images can be rendered at; 0: they have their own
  std::string recipes = "";                // the data set whose recipes apply if it has none
  /// Reads a published fold of the labeled images; null: there are none. See published_fold.
  std::vector<std::int64_t> (*fold)(const DatasetSettings& settings, std::int64_t fold) = nullptr;
  /// For images made of layers: opens a split as layers.
  std::unique_ptr<LayeredSplit> (*layers)(const DatasetSettings& settings, const std::string& split) = nullptr;
};

/// Sorted by their files' names.
const std::vector<DatasetEntry>& dataset_entries();
/// The entry of a data set; for an unknown one throws UsageError listing all.
const DatasetEntry& entry_of(const std::string& dataset);

/// Whether this is a name for the user's own images, so that two folders hold different ones.
bool is_of_own_images(const std::string& dataset);

/// The settings for evaluating an encoder: options about the training images have their defaults, and rendered images a
/// size that they can have. Views then resize to the encoder's.
DatasetSettings as_judged(DatasetSettings settings);

/// Returns the images of split "probe" in a fold that the data set's authors published, counted from 0; ascending.
/// Throws UsageError for a data set without folds, missing or damaged files, and a fold that does not exist.
std::vector<std::int64_t> published_fold(const DatasetSettings& settings, std::int64_t fold);

/// Whether the images of this data set are made of layers.
bool has_layers(const std::string& dataset);
/// The data sets with layers, for messages: "composites or confounded_shapes".
std::string layered_names();
/// Opens one split as layers, ignoring the version and settings.limit. Throws UsageError like open_dataset, and for a
/// data set without layers.
std::unique_ptr<LayeredSplit> open_layers(const DatasetSettings& settings, const std::string& split);

}  // namespace vergence
