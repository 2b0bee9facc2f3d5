// Images that are not in memory: files, or parts of one file. Sizes are known; pixels are read when needed.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>
#include <unordered_set>
#include <vector>

#include "datasets/decoders/image_file.h"
#include "kernels/views.h"

namespace vergence {

class Xxh128;

/// For unreadable images: stop the run, or skip, count and name them.
enum class BadImagePolicy { stop, skip };

/// The unreadable images. Threads may add some at the same time.
class BadImages {
 public:
  explicit BadImages(BadImagePolicy policy) : policy_(policy) {}

  BadImagePolicy policy() const { return policy_; }
  /// Names an image, once: some of its views cannot be read. `message` begins with its name.
  void name(std::int64_t index, const std::string& message);
  /// Names it, and leaves it out of whatever is judged.
  void add(std::int64_t index, const std::string& message);
  /// Whether it was added.
  bool contains(std::int64_t index) const;
  /// How many were named.
  std::int64_t count() const;
  /// The messages added since the last call.
  std::vector<std::string> take_messages();

 private:
  const BadImagePolicy policy_;
  mutable std::mutex mutex_;
  std::unordered_set<std::int64_t> named_, added_;
  std::vector<std::string> messages_;
};

/// One thread's memory for the image it reads, reused for the next.
struct ImageBuffer {
  std::string bytes;     // the file's
  DecodedImage decoded;  // from these bytes
};

struct ImageSize {
  std::int64_t height = 0, width = 0;
};

/// Threads may read at the same time, each with its own buffer.
class ImageSource {
 public:
  explicit ImageSource(BadImagePolicy policy) : bad_(policy) {}
  virtual ~ImageSource() = default;
  ImageSource(const ImageSource&) = delete;
  ImageSource& operator=(const ImageSource&) = delete;

  virtual std::int64_t count() const = 0;
  /// The size when the source was opened. Reads nothing.
  virtual ImageSize size(std::int64_t index) const = 0;
  /// The file's name in its data set's folder: "val/cat/1.jpg". Bytes, as the file system has them.
  virtual std::string name(std::int64_t index) const = 0;
  /// Loads an image without decoding it. Throws UsageError, a line that begins with the file's name, if the image
  /// cannot be read or has changed since the source was opened.
  virtual ImageSize open(std::int64_t index, ImageBuffer& buffer) const = 0;
  /// The region's pixels of the image last opened in `buffer`, valid while the buffer is. Throws like `open`.
  virtual Picture read(std::int64_t index, const ImageRegion& region, ImageBuffer& buffer) const = 0;
  /// Hashes what identifies these images in any folder: their names, and what is known of their contents.
  virtual void identify(Xxh128& hash) const = 0;

  BadImages& bad_images() const { return bad_; }

 private:
  mutable BadImages bad_;
};

}  // namespace vergence
