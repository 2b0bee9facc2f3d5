// The names of the classes of published data sets, by label.
#pragma once

#include <string>
#include <vector>

namespace vergence {

/// The 10 classes of CIFAR-10, as in batches.meta.txt.
const std::vector<std::string>& cifar10_class_names();

/// The 100 classes (fine labels) of CIFAR-100, as in fine_label_names.txt.
const std::vector<std::string>& cifar100_class_names();

/// The 10 classes of STL-10, as in class_names.txt; label 1 of its files is the first one.
const std::vector<std::string>& stl10_class_names();

}  // namespace vergence
