// Tells the images of a data set from others of the same number.
#pragma once

#include <string>

#include "datasets/dataset.h"

namespace vergence {

/// XXH128 as digits.
struct Fingerprint {
  std::string images;  // of pixels in memory with their shape; of files: names below their common folder, and sizes
  std::string labels;  // with the number of classes

  bool operator==(const Fingerprint&) const = default;
};

/// No file is read: one that was edited in place at the same number of bytes goes unnoticed, but not in a packed file,
/// which has checksums.
Fingerprint fingerprint_of(const Dataset& dataset);

}  // namespace vergence
