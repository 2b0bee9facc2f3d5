// How a data set makes itself known. Each file datasets/sets/NAME.cpp defines vergence::sets::NAME(), and the build
// makes the list. docs/extending.md walks through one.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "datasets/dataset.h"
#include "engine/own_option.h"

namespace vergence {

class LayeredSplit;  // datasets/shapes/layered_images.h

/// Files of one published version of a data set, for --verify.
struct PublishedFiles {
  struct File {
    std::string name, md5;
  };
  std::string folder;  // the folder that the published archive makes
  std::vector<File> files;
};

/// A data set, or several that one reader opens.
struct DatasetEntry {
  std::vector<std::string> names;  // as --dataset takes them
  /// Opens a split, one of split_names(). The name, the split and the limit were checked.
  Dataset (*open)(const DatasetSettings& settings, const std::string& split);
  std::vector<OwnOption> options = {};         // named "NAME.option"
  std::vector<PublishedFiles> published = {};  // none: nobody has published sums

  /// Whether there is a split "test"; null: always. Throws UsageError for a folder that does not exist.
  bool (*has_test)(const DatasetSettings& settings) = nullptr;
  /// The images of "val" in words, where a folder may lack a split "test".
  std::string val = "";
  bool image_files = false;  // its images are files of their own, or packed from such files
  std::string recipes = "";  // the data set whose recipes apply where it has none of its own
  /// Of images made of layers: opens a split as layers. `open` then is open_rendered.
  std::unique_ptr<LayeredSplit> (*layers)(const DatasetSettings& settings, const std::string& split) = nullptr;
};

/// In the order of their files' names.
const std::vector<DatasetEntry>& dataset_entries();
/// The entry of a data set. Throws UsageError naming the data sets there are.
const DatasetEntry& entry_of(const std::string& dataset);

/// The settings with which an encoder is judged: options that concern what is trained on have their defaults.
DatasetSettings as_judged(DatasetSettings settings);

/// Whether the images of this data set are made of layers.
bool has_layers(const std::string& dataset);
/// The data sets that have layers, for messages: "composites or confounded_shapes".
std::string layered_names();
/// Opens one split as layers; the version and settings.limit are not looked at. Throws UsageError as open_dataset, and
/// for a data set without layers.
std::unique_ptr<LayeredSplit> open_layers(const DatasetSettings& settings, const std::string& split);

}  // namespace vergence
