// Writes an encoder's rows for all images of a split to a file. Rows are added as they are made and not kept, so memory
// does not grow with the images. An unfinished file is continued.
//   F.npy.partial        rows so far
//   F.npy.partial.json   what makes them (description.h) and how many rows are on the disk, replaced after the first
//   batch and every second
// A kill at any moment loses at most the rows since the last second. The finished file takes its name in one step,
// after labels, names and description have theirs.
#pragma once

#include <cstdint>
#include <functional>

#include "datasets/dataset.h"
#include "ssl/evaluation/embedding/description.h"
#include "ssl/evaluation/subject.h"

namespace vergence {

struct EmbeddingHooks {
  std::function<void(std::int64_t done, std::int64_t rows)> begin = {};  // what an unfinished file has; 0: new
  std::function<void(std::int64_t done)> progress = {};                  // images, after each batch
  std::function<bool()> stop = {};                                       // asked after each batch
};

struct EmbeddingResult {
  bool finished = false;    // false: stopped; the rows so far are kept
  std::int64_t images = 0;  // done, with the unreadable ones
  std::int64_t rows = 0, dim = 0;
  std::int64_t rows_before = 0;  // of an unfinished file
  std::int64_t bad = 0;          // images found unreadable on the way
  bool has_labels = false;
};

/// Writes the files of `settings` (EmbeddingFiles). The bytes depend neither on threads nor on interruptions. Throws
/// UsageError, before any work, if a file cannot be written or is there and not embed's, or if an unfinished file was
/// made by another encoder, other images or other settings; during it for an unreadable image under
/// BadImagePolicy::stop, keeping the rows so far.
EmbeddingResult write_embedding(Subject& subject, const Dataset& data, const EmbeddingSettings& settings,
                                const EmbeddingHooks& hooks = {});

}  // namespace vergence
