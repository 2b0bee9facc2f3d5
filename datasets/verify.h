// Checks that a data set's files are the published ones.
#pragma once

#include <functional>
#include <string>

#include "datasets/dataset.h"

namespace vergence {

/// Compares the MD5 of each file in `settings.directory` with the published one (packed images with their checksums)
/// and passes a line for each to `report`. Throws UsageError naming the first file that differs or is missing, and for
/// data sets without published sums (image folders, CIFAR-100's binary version).
void verify_dataset(const DatasetSettings& settings, const std::function<void(const std::string& line)>& report);

}  // namespace vergence
