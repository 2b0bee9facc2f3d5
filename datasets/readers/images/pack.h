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

/// Called now and then with the number of finished images and of all.
using PackProgress = std::function<void(std::int64_t done, std::int64_t all)>;

/// Called with the folder's notices (Dataset::notices) as "notice: ..." before the work, and with "skipped ..." for
/// each skipped image.
using PackNotice = std::function<void(const std::string& line)>;

/// Decodes every image of the folder `settings.directory` (layouts: datasets/readers/images/folder.h), shrinks it to
/// the short side `short_side` (0: never; keeps smaller images; bilinear, antialiased, long side rounded down;
/// `settings.decode` limits the reduction of JPEG files before) and writes `path`, following a symbolic link. Until the
/// end the file is `path`.partial, and another call continues it. Throws UsageError before the work if `path` exists or
/// cannot be created, for folders that open_image_folder refuses and, under BadImagePolicy::stop, for the first
/// unreadable image; Error for failed writes. No failure loses finished work.
PackResult pack_images(const DatasetSettings& settings, const std::string& path, std::int64_t short_side,
                       const PackProgress& progress = {}, const PackNotice& notice = {});

/// Checks every image of a packed file against its checksum. Throws UsageError naming the first that is damaged.
void verify_packed_images(const std::string& path);

}  // namespace vergence
