// Which folders of a data set of image files hold which part of it (datasets/readers/images/folder.h names the
// layouts).
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "datasets/dataset.h"
#include "datasets/readers/images/list.h"

namespace vergence {

/// The folders of a data set; empty: there is none.
struct Folders {
  std::filesystem::path train, test, val;
  std::filesystem::path solution;    // a table that says which class each image of `test` is
  bool has_parts = false;            // no: `train` is the folder that was given
  std::vector<std::string> notices;  // folders that are called otherwise than train, val and test
};

/// Train/, Training/, Val/, valid/, validation/, Testing/ and the like are taken for train/, val/ and test/; a notice
/// says so. A folder of such a name but train/ that has images and no folders, beside others, is a class. Throws
/// UsageError where no images are named, there is no folder, one has train/ beside others than val/ and test/, or
/// imagenet has no train/.
Folders folders_of(const DatasetSettings& settings);

/// Looks for splits among what was taken for classes, and adds a notice to `list` for a class of such a name.
/// `within_split`: the folder is train/ itself. Throws UsageError that names the right folder.
void refuse_splits_as_classes(ImageList& list, bool within_split);

}  // namespace vergence
