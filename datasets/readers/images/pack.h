// Makes packed files (datasets/readers/images/packed.h). Each image is decoded and, if its short side is larger than
// the requested one, shrunk to it: bilinear, antialiased, the long side rounded down. Until the end the file is
// PATH.partial, which cannot be opened as packed images; after a failure or a kill, another call continues it.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "datasets/dataset.h"

namespace vergence {

struct PackResult {
  std::int64_t images = 0;       // in the file
  std::int64_t bad = 0;          // left out because they could not be read
  std::int64_t done_before = 0;  // found intact in an unfinished file
  std::int64_t bytes = 0;        // of the file
};

/// Called now and then with the number of finished images and of all.
using PackProgress = std::function<void(std::int64_t done, std::int64_t all)>;

/// Called with the folder's notices (Dataset::notices) as "notice: ..." before the work, and with "skipped ..." for
/// each skipped image.
using PackNotice = std::function<void(const std::string& line)>;

/// Packs the folder `settings.directory` (layouts: datasets/readers/images/folder.h) into `path`, following a symbolic
/// link. `short_side` 0 shrinks nothing; `settings.decode` limits how far JPEG files are reduced before shrinking.
/// Throws UsageError, before any work, if `path` exists or cannot be created and for folders that open_image_folder
/// refuses; during it, under BadImagePolicy::stop, for an unreadable image. Throws Error for failed writes.
PackResult pack_images(const DatasetSettings& settings, const std::string& path, std::int64_t short_side,
                       const PackProgress& progress = {}, const PackNotice& notice = {});

/// Checks every image of a packed file against its checksum. Throws UsageError naming the first that is damaged. Says
/// that every image has its checksum, or how many have none, which could not be read when the file was made.
std::string verify_packed_images(const std::string& path);

}  // namespace vergence
