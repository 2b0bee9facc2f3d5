// An ImageSource of image files.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "datasets/image_source.h"

namespace vergence {

/// A file's state when it was checked: a file that changes later is refused.
struct FileState {
  std::int64_t bytes = 0, seconds = 0, nanoseconds = 0;
  bool operator==(const FileState&) const = default;
};

struct KnownImage {
  FileState file;
  ImageSize size;
};

/// The result of checking a file.
struct Inspection {
  KnownImage image;
  std::string complaint;  // empty: the file begins like an image
};

class ImageFiles final : public ImageSource {
 public:
  /// `folder`: the one that names are relative to; empty: names are the paths. `left_out`: files that are no images;
  /// they have names, with indices past the images.
  ImageFiles(std::vector<std::string> paths, std::vector<KnownImage> images, JpegLibrary jpeg, BadImagePolicy policy,
             std::string folder = "", std::vector<std::string> left_out = {});

  std::int64_t count() const override { return static_cast<std::int64_t>(paths_.size()); }
  ImageSize size(std::int64_t index) const override { return images_.at(static_cast<std::size_t>(index)).size; }
  std::string name(std::int64_t index) const override;
  ImageSize open(std::int64_t index, ImageBuffer& buffer) const override;
  Picture read(std::int64_t index, const ImageRegion& region, ImageBuffer& buffer) const override;
  void identify(Xxh128& hash) const override;

 private:
  std::vector<std::string> paths_, left_out_;
  std::vector<KnownImage> images_;
  JpegLibrary jpeg_;
  std::string folder_;
};

/// Checks the beginning of every file, on all threads.
std::vector<Inspection> look_at_files(const std::vector<std::string>& paths);

}  // namespace vergence
