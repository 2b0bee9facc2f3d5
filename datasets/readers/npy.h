// Images of any number of channels as NumPy arrays: `numpy.save` of uint8 [N, H, W, C], or [N, H, W] for one channel,
// with labels of any integer type [N].
//   train.npy, or in parts train_0.npy, train_1.npy, ...     train_labels.npy, or train_labels_0.npy, ...
//   test.npy, or in parts test_0.npy, ...                    test_labels.npy, or test_labels_0.npy, ...
// Parts are numbered without gaps from 0 or 1 on, and follow one another in this order. Labels may be missing; images
// of several parts have labels for all or for none.
#pragma once

#include <string>

#include "datasets/dataset.h"

namespace vergence {

/// Classes are the numbers from 0 to a label; a larger one is a mistake in the file.
inline constexpr std::int64_t max_npy_classes = 65536;

/// Reads a split from the files in `directory`. "train" and "probe" are the training images, "val" the last tenth of
/// them, "probe_without_val" the rest. There are as many classes as the largest label of the training images says, or,
/// where these have none, that of the test images. Mean and deviation are those of all training images, exactly; a
/// channel whose values are all the same has deviation 1. Throws UsageError with one line for a file that is damaged or
/// does not fit the others; `limit` > 0 keeps the first images alone. Holds the split in memory, nothing more.
Dataset read_npy(const std::string& directory, const std::string& split, std::int64_t limit = 0);

/// Whether there are test images.
bool has_npy_test(const std::string& directory);

}  // namespace vergence
