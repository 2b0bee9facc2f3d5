// STL-10 (Coates, Lee, Ng, "An analysis of single-layer networks in unsupervised feature learning", AISTATS 2011),
// binary version: 96 x 96 images as red, green and blue planes, each column by column; labels 1 to 10, a byte each.
// Files: train_X.bin, train_y.bin, test_X.bin, test_y.bin, unlabeled_X.bin and,
// for folds alone, fold_indices.txt.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "datasets/dataset.h"

namespace vergence {

/// Reads a split (split_names) from `directory`, which has the files itself or in stl10_binary/. Throws UsageError with
/// one line for wrong sizes or labels. `limit` > 0 keeps only the first images. "train" takes 2.9 GB of memory.
Dataset read_stl10(const std::string& directory, const std::string& split, std::int64_t limit = 0);

/// Reads a line of fold_indices.txt: the training images of a fold, counted from 0, in ascending order. Published are
/// ten folds of 1,000. Throws UsageError with one line for a missing or damaged file.
std::vector<std::int64_t> read_stl10_fold(const std::string& directory, std::int64_t fold);

}  // namespace vergence
