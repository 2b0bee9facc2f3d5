// CIFAR-100's super-classes, and FC100's split of its classes by them for few-shot learning (Oreshkin, Rodriguez Lopez,
// Lacoste, "TADAM: task dependent adaptive metric for improved few-shot learning", NeurIPS 2018).
#pragma once

#include <cstdint>
#include <vector>

namespace vergence {

/// The super-class (coarse label, 0 to 19) of a class of CIFAR-100 (fine label, 0 to 99). Throws Error for any other.
std::int32_t cifar100_superclass(std::int32_t fine);

/// FC100's parts; they share no super-class.
enum class Fc100 {
  base,        // 60 classes to train on
  validation,  // 20 classes to select by
  test         // 20 classes to report
};

/// The classes (fine labels) of a part, ascending.
std::vector<std::int32_t> fc100_classes(Fc100 part);

}  // namespace vergence
