// Whether a data set's files are those that were published.
#pragma once

#include <functional>
#include <string>

#include "datasets/dataset.h"

namespace vergence {

/// Compares the MD5 of each of the data set's files in `settings.directory` with the published one, and tells `report`
/// a line for each; of packed images, every image with its checksum. Throws UsageError naming the first file that
/// differs or is missing, and for data sets whose sums nobody has published (image folders, CIFAR-100's binary
/// version).
void verify_dataset(const DatasetSettings& settings, const std::function<void(const std::string& line)>& report);

}  // namespace vergence
