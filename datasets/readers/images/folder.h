// Folders of image files as data sets: the user's own (image_folder), and ImageNet in both of its layouts.
//   DIR/train/<class>/…, DIR/val/<class>/… or DIR/test/<class>/…: train and probe are train/; test is test/ or, if
//     none has classes, val/. A val/ beside a test/ is the split val; otherwise val is every tenth image of train/, and
//     probe_without_val the others.
//   DIR/<class>/…, or only images in DIR (no labels): the same without a split test.
//   imagenet, imagenet100: the first form, or the distributed one: ILSVRC/Data/CLS-LOC/{train,val} with
//     LOC_val_solution.csv beside ILSVRC.
// datasets/readers/images/layout.h handles other spellings of train, val and test. If DIR is a file, it is a packed
// copy of one of these (datasets/readers/images/packed.h).
#pragma once

#include <string>
#include <vector>

#include "datasets/dataset.h"
#include "datasets/readers/images/splits.h"

namespace vergence {

/// Opens a split and checks the beginning of each file. Images keep their sizes; mean and std are ImageNet's. Throws
/// UsageError for other layouts and, under BadImagePolicy::stop, for files that are no images, naming the first.
Dataset open_image_folder(const DatasetSettings& settings, const std::string& split);

/// Opens image files, without labels; their names are the paths. Throws UsageError naming the first that is no image.
Dataset open_image_files(const std::vector<std::string>& paths, const DatasetSettings& settings);

/// Whether there are images of the split "test", in the folder or the packed file. Throws like open_image_folder.
bool has_test_images(const DatasetSettings& settings);

/// The class names that the settings ask for, as they are in the list; empty: all. Throws UsageError for a bad list.
std::vector<std::string> wanted_classes(const DatasetSettings& settings);

/// Sets ImageNet's pixel mean and std.
void set_imagenet_statistics(Dataset& data);

/// All files of such a folder, part by part, for all splits.
struct FolderParts {
  std::vector<std::string> classes;  // empty: no labels
  std::vector<std::string> paths;
  std::vector<std::int32_t> labels;  // -1: none
  std::vector<Part> parts;
  std::vector<std::string> notices;  // like Dataset::notices
};

/// Throws like open_image_folder for the layout, and where a part has classes but train/ has none; opens no file.
FolderParts list_parts(const DatasetSettings& settings);

}  // namespace vergence
