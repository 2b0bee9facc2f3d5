// STL-10 (Coates, Lee, Ng, "An analysis of single-layer networks in unsupervised feature learning", AISTATS 2011),
// binary version: 96 x 96 images as red, green and blue planes, each column by column; labels 1 to 10, a byte each.
#pragma once

#include <string>

#include "datasets/dataset.h"

namespace vergence {

/// Reads a split from `directory`, which has train_X.bin, train_y.bin, test_X.bin, test_y.bin and unlabeled_X.bin
/// itself or in a folder stl10_binary. "train": the training images and the unlabeled ones, without labels; "probe":
/// the training images, "val" their last tenth. Checks sizes and labels; throws UsageError with one line. `limit` > 0
/// keeps only the first images. Keeps only the split in memory: 2.9 GB for "train".
Dataset read_stl10(const std::string& directory, const std::string& split, std::int64_t limit = 0);

}  // namespace vergence
