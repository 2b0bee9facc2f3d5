// Folders of image files as data sets: one's own (image_folder), and ImageNet in both layouts it comes in.
//   DIR/train/<class>/…, DIR/val/<class>/… or DIR/test/<class>/…: train and probe are train/; test is test/ or, where
//     there is none with classes, val/. A val/ beside a test/ is the split val; otherwise val is every tenth image of
//     train/, and probe_without_val the others.
//   DIR/<class>/…, or images alone in DIR (no labels): the same without a split test.
//   Other spellings of train, val and test, and folders of parts that were taken for classes:
//   datasets/readers/images/layout.h. imagenet, imagenet100: the first form, or ILSVRC/Data/CLS-LOC/{train,val} with
//   LOC_val_solution.csv beside ILSVRC,
//     as the images are distributed.
// Where DIR is a file, it is a packed copy of one of these (datasets/readers/images/packed.h).
#pragma once

#include <string>
#include <vector>

#include "datasets/dataset.h"
#include "datasets/readers/images/splits.h"

namespace vergence {

/// Lists a split's files and looks at the beginning of each. Images keep their own sizes; mean and deviation are
/// ImageNet's. Throws UsageError for a layout other than these, and, under BadImagePolicy::stop, for a file that is no
/// image: one line that names the first of them and says how many there are.
Dataset open_image_folder(const DatasetSettings& settings, const std::string& split);

/// Whether there are images of the split "test", in the folder or the packed file. Throws as open_image_folder does.
bool has_test_images(const DatasetSettings& settings);

/// Mean and deviation of ImageNet's pixels, and the zoom of its evaluation: 256 to 224.
void set_imagenet_statistics(Dataset& data);

/// All files of such a folder, part after part, whatever split they belong to.
struct FolderParts {
  std::vector<std::string> classes;  // empty: no labels
  std::vector<std::string> paths;
  std::vector<std::int32_t> labels;  // -1: none
  std::vector<Part> parts;
  std::vector<std::string> notices;  // as Dataset::notices
};

/// Throws as open_image_folder does for the layout; looks into no file.
FolderParts list_parts(const DatasetSettings& settings);

}  // namespace vergence
