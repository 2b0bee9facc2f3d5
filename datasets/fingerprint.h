// Hashes that identify a data set's images and labels.
#pragma once

#include <string>

#include "datasets/dataset.h"

namespace vergence {

/// XXH128 in hexadecimal digits.
struct Fingerprint {
  std::string images;  // of pixels in memory and their shape; for files, of names below their common folder and sizes
  std::string labels;  // with the number of classes

  bool operator==(const Fingerprint&) const = default;
};

/// The fingerprint of a data set. Reads no file, so it misses an edit that keeps a file's size, except in a packed
/// file, which has checksums.
Fingerprint fingerprint_of(const Dataset& dataset);

}  // namespace vergence
