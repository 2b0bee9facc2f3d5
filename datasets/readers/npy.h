// Images of any number of channels as NumPy arrays: `numpy.save` of uint8 [N, H, W, C], or [N, H, W] for one channel,
// with labels of any integer type [N].
//   train.npy, or in parts train_0.npy, train_1.npy, ...     train_labels.npy, or train_labels_0.npy, ...
//   test.npy, or in parts test_0.npy, ...                    test_labels.npy, or test_labels_0.npy, ...
// Part numbers start at 0 or 1, have no gaps and give the order. Labels may be missing, but then for all parts. The
// largest training label, or without any the largest test label, sets the number of classes.
#pragma once

#include <string>

#include "datasets/dataset.h"

namespace vergence {

/// The most classes: labels count from 0, and a larger one is an error in the file.
inline constexpr std::int64_t max_npy_classes = 65536;

/// Reads a split (split_names) from the files in `directory`, and keeps only it in memory. Mean and standard deviation
/// are exact over all training images (1 for a constant channel). Throws UsageError with one line for a file that is
/// damaged or does not fit the others. `limit` > 0 keeps only the first images.
Dataset read_npy(const std::string& directory, const std::string& split, std::int64_t limit = 0);

/// Whether there are test images.
bool has_npy_test(const std::string& directory);

}  // namespace vergence
