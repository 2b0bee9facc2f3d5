// CIFAR-10 and CIFAR-100 (Krizhevsky, "Learning multiple layers of features from tiny images", 2009), from binary files
// or the Python version's pickles. An image is 32 x 32 red, then green, then blue bytes.
//   binary, cifar-10-batches-bin/{data_batch_1 ... data_batch_5, test_batch}.bin, cifar-100-binary/{train, test}.bin:
//     records of a label byte (CIFAR-100: the coarse label, then the fine one) and 3,072 bytes
//   Python, cifar-10-batches-py/{data_batch_1 ... test_batch}, cifar-100-python/{train, test}: a pickled dict with an
//     array "data" [images, 3072] and a list "labels" (CIFAR-100: "fine_labels")
#pragma once

#include <string>
#include <vector>

#include "datasets/dataset.h"
#include "datasets/registry.h"
#include "engine/text/enum_words.h"

namespace vergence {

/// Reads a split (split_names) of CIFAR-10 from `directory`, which is the files' folder or has it. Checks size and
/// labels of every file it needs; throws UsageError with one line. `limit` > 0 keeps only the first images.
Dataset read_cifar10(const std::string& directory, const std::string& split, std::int64_t limit = 0);

/// Images first ... first + count - 1 of the 50,000 of "train" or the 10,000 of "test". Reads and checks only the files
/// with these images. Throws UsageError as above, and Error for an index out of range.
Dataset read_cifar10_range(const std::string& directory, const std::string& split, std::int64_t first,
                           std::int64_t count);

/// Like read_cifar10, for CIFAR-100's hundred fine classes. A file may have a part of the set, in whole records.
Dataset read_cifar100(const std::string& directory, const std::string& split, std::int64_t limit = 0);

/// The classes in CIFAR-100's split "train": all, or FC100's base part (datasets/readers/fc100.h).
enum class Cifar100Classes { all, fc100_base };
inline constexpr Word<Cifar100Classes> cifar100_classes_words[]{{"all", Cifar100Classes::all},
                                                                {"fc100_base", Cifar100Classes::fc100_base}};

/// CIFAR-100's options.
struct Cifar100Options {
  Cifar100Classes classes = Cifar100Classes::all;
};

/// The images and labels of the split "train" in FC100's base part, in their order.
Dataset read_fc100_base(const std::string& directory, std::int64_t limit = 0);

/// The published files of CIFAR-10.
std::vector<PublishedFiles> cifar10_files();

}  // namespace vergence
