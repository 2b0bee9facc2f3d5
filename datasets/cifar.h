// CIFAR-10, binary version (Krizhevsky, "Learning multiple layers of features from tiny images", 2009).
// A file is 10,000 records of 3,073 bytes: the label, then 32 x 32 red, green and blue planes.
#pragma once

#include <string>

#include "datasets/dataset.h"

namespace vergence {

/// Reads a split (see split_names) from `directory`, which holds data_batch_1.bin … data_batch_5.bin and test_batch.bin
/// itself or in a folder cifar-10-batches-bin. Every file that the split needs is checked for its size and its labels;
/// a violation throws UsageError with one line. `limit` > 0 keeps the first images alone.
Dataset read_cifar10(const std::string& directory, const std::string& split, std::int64_t limit = 0);

}  // namespace vergence
