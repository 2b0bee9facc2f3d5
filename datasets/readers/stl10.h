// STL-10 (Coates, Lee, Ng, "An analysis of single-layer networks in unsupervised feature learning", AISTATS 2011),
// binary version: 96 x 96 images as red, green and blue planes, each column by column; labels 1 to 10, a byte each.
// Files: train_X.bin, train_y.bin, test_X.bin, test_y.bin and unlabeled_X.bin.
#pragma once

#include <string>

#include "datasets/dataset.h"

namespace vergence {

/// Reads a split (split_names) from `directory`, which has the files itself or in stl10_binary/. Throws UsageError with
/// one line for wrong sizes or labels. `limit` > 0 keeps only the first images. "train" takes 2.9 GB of memory.
Dataset read_stl10(const std::string& directory, const std::string& split, std::int64_t limit = 0);

}  // namespace vergence
