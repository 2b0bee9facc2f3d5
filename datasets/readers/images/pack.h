// Makes packed files (datasets/readers/images/packed.h).
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "datasets/dataset.h"

namespace vergence {

struct PackResult {
  std::int64_t images = 0;       // in the file
  std::int64_t bad = 0;          // of those and of the folder: left out because they could not be read
  std::int64_t done_before = 0;  // found in an unfinished file, and right
  std::int64_t bytes = 0;        // of the file
};

/// Told now and then how many of all images are done.
using PackProgress = std::function<void(std::int64_t done, std::int64_t all)>;

/// Told the folder's notices (Dataset::notices) as "notice: ..." before the work, and "skipped ..." of each image that
/// is left out.
using PackNotice = std::function<void(const std::string& line)>;

/// Decodes every image of the folder `settings.directory` (its layouts: datasets/readers/images/folder.h), shrinks it
/// so that its short side is `short_side` (0: not at all; smaller images stay as they are; bilinear, antialiased, the
/// long side rounded down; `settings.decode` says how small JPEG files are decoded before) and writes `path`. Until all
/// is done the file is called `path`.partial; started again, it goes on from there. A symbolic link `path` leads to
/// where the file is made. Throws UsageError before the work where there is a file, or something else than a regular
/// file, or none can be made; for what open_image_folder refuses; and, under BadImagePolicy::stop, for the first image
/// that cannot be read. Error for failed writes. None loses what is done.
PackResult pack_images(const DatasetSettings& settings, const std::string& path, std::int64_t short_side,
                       const PackProgress& progress = {}, const PackNotice& notice = {});

/// Checks every image of a packed file against its checksum. Throws UsageError naming the first that is damaged.
void verify_packed_images(const std::string& path);

}  // namespace vergence
