// The packed form of a data set of image files: one file of decoded images that a run reads like the folder, without
// decoding. `tools/pack` makes it.
//
// It is a safetensors file. Tensors: offsets [N] I64 (into pixels, ascending), checksums [N] I64 (XXH3 of the image's
// bytes; 0: it could not be read), sizes [N, 2] I32 (height, width), labels [N] I32 (-1: none), parts [N] U8 (0 train,
// 1 test, 2 val), names U8 (N lines, bytes as they are) and pixels U8 (RGB, rows from the top). Metadata: format,
// short_side (0: as the files are), classes (lines, each as engine/text/stored_text.h says), source, which changes with
// the folder's files, and finished (1; 0 while images are missing; earlier versions wrote none).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "datasets/dataset.h"
#include "datasets/readers/images/splits.h"
#include "engine/io/safetensors.h"

namespace vergence {

constexpr const char* packed_format = "vergence packed images 1";
constexpr const char* packed_finished = "finished";  // the key in the metadata

/// XXH3 of an image's bytes; never 0.
std::int64_t checksum_of(const std::uint8_t* bytes, std::int64_t count);

/// A packed file. Each read checks the image's checksum.
class PackedImages {
 public:
  /// Maps the file. Throws UsageError naming it unless it is a finished packed file with consistent tables.
  explicit PackedImages(const std::string& path);

  std::int64_t count() const { return static_cast<std::int64_t>(sizes_.size()); }
  const std::vector<std::string>& classes() const { return classes_; }
  std::int64_t short_side() const { return short_side_; }
  ImageSize size(std::int64_t i) const;
  std::int32_t label(std::int64_t i) const;
  Part part(std::int64_t i) const;
  std::string name(std::int64_t i) const;
  /// Whether it was readable when the file was made.
  bool is_good(std::int64_t i) const { return checksum(i) != 0; }
  /// checksum_of its bytes; 0 if it is not good.
  std::int64_t checksum(std::int64_t i) const;
  /// Its RGB bytes, in `buffer`. Throws UsageError naming file and image if the file has changed since it was opened or
  /// the bytes are not those that were written.
  const std::uint8_t* pixels(std::int64_t i, std::string& buffer) const;

 private:
  /// Throws UsageError if the tables contradict each other.
  void check_tables(std::int64_t pixel_bytes) const;

  // Copies of the tables: if the file is truncated during a run, access to mapped pages ends the program.
  std::shared_ptr<const MappedFile> mapped_;
  std::size_t first_pixel_ = 0;  // where in the file
  std::int64_t short_side_ = 0;
  std::vector<std::int64_t> offsets_, checksums_;
  std::vector<ImageSize> sizes_;
  std::vector<std::int32_t> labels_;
  std::vector<std::uint8_t> parts_;
  std::vector<std::string> classes_, names_;
};

/// A split of the packed file `settings.directory`, by the rules of datasets/readers/images/folder.h for the images
/// that were readable when it was made. The folder's tenths and limits count the unreadable ones too.
/// `settings.classes` chooses among the file's classes, as among a folder's.
Dataset open_packed_images(const DatasetSettings& settings, const std::string& split);

/// Whether that file has images of the split "test". Throws like open_packed_images.
bool has_packed_test_images(const DatasetSettings& settings);

}  // namespace vergence
