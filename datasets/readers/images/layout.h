// Finds the parts of a data set of image files in its folders (datasets/readers/images/folder.h lists the layouts).
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "datasets/dataset.h"
#include "datasets/readers/images/list.h"

namespace vergence {

/// The folders of a data set; empty: missing.
struct Folders {
  std::filesystem::path train, test, val;
  std::filesystem::path solution;    // a table with the class of each image of `test`
  bool has_parts = false;            // false: `train` is the given folder
  std::vector<std::string> notices;  // about folders with other names than train, val and test
};

/// Takes spellings such as Training/, valid/ and Testing/ for train/, val/ and test/, with a notice. Beside other
/// folders, such a folder (except train/) without folders in it is a class. Throws UsageError if the folder is missing
/// or not given, train/ is beside other folders but neither val/ nor test/, or imagenet has no train/.
Folders folders_of(const DatasetSettings& settings);

/// Throws UsageError naming the right folder if supposed classes are splits; adds a notice to `list` for a class with a
/// split's name. `within_split`: the folder is train/ itself.
void refuse_splits_as_classes(ImageList& list, bool within_split);

}  // namespace vergence
