// CIFAR-10 and CIFAR-100 (Krizhevsky, "Learning multiple layers of features from tiny images", 2009), as binary files
// and as the pickles of the Python version. An image is 32 x 32 red, then green, then blue bytes.
//   binary: records of a label byte (CIFAR-100: the coarse label, then the fine one) and 3,072 bytes
//   Python: a pickled dict with an array "data" [images, 3072] and a list "labels" (CIFAR-100: "fine_labels")
#pragma once

#include <string>
#include <vector>

#include "datasets/dataset.h"
#include "datasets/registry.h"
#include "engine/text/enum_words.h"

namespace vergence {

/// Reads a split (see split_names) of CIFAR-10 from `directory`, which holds the files itself or in the folder that the
/// archive unpacks to: cifar-10-batches-bin (data_batch_1.bin ... data_batch_5.bin, test_batch.bin) or
/// cifar-10-batches-py (data_batch_1 ... test_batch). Every file that the split needs is checked for its size and its
/// labels; a violation throws UsageError with one line. `limit` > 0 keeps the first images alone.
Dataset read_cifar10(const std::string& directory, const std::string& split, std::int64_t limit = 0);

/// Images first ... first + count - 1 of the 50,000 of "train" or the 10,000 of "test". Only the files that hold them
/// are read, and checked. Throws UsageError as above, and Error for images that there are not.
Dataset read_cifar10_range(const std::string& directory, const std::string& split, std::int64_t first,
                           std::int64_t count);

/// As read_cifar10, for CIFAR-100's hundred fine classes: cifar-100-binary (train.bin, test.bin) or cifar-100-python
/// (train, test). A file may hold a part of the set, in whole records.
Dataset read_cifar100(const std::string& directory, const std::string& split, std::int64_t limit = 0);

/// Which classes of CIFAR-100's split "train" there are: all, or those of datasets/readers/fc100.h's base part.
enum class Cifar100Classes { all, fc100_base };
inline constexpr Word<Cifar100Classes> cifar100_classes_words[]{{"all", Cifar100Classes::all},
                                                                {"fc100_base", Cifar100Classes::fc100_base}};

/// Its options.
struct Cifar100Options {
  Cifar100Classes classes = Cifar100Classes::all;
};

/// The images of the split "train" that FC100's base part has, in their order, with their labels.
Dataset read_fc100_base(const std::string& directory, std::int64_t limit = 0);

/// The published files of CIFAR-10.
std::vector<PublishedFiles> cifar10_files();

}  // namespace vergence
