// Images that do not lie in memory: files, or parts of one. What they are is known; their pixels are read when needed.
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

/// What happens when an image cannot be read: it ends the run, or is left out, counted and named.
enum class BadImagePolicy { stop, skip };

/// The images that could not be read. Threads may report at the same time.
class BadImages {
 public:
  explicit BadImages(BadImagePolicy policy) : policy_(policy) {}

  BadImagePolicy policy() const { return policy_; }
  /// Takes note of an image, once. `message` begins with its name.
  void add(std::int64_t index, const std::string& message);
  bool contains(std::int64_t index) const;
  std::int64_t count() const;
  /// The messages since the last call.
  std::vector<std::string> take_messages();

 private:
  const BadImagePolicy policy_;
  mutable std::mutex mutex_;
  std::unordered_set<std::int64_t> indices_;
  std::vector<std::string> messages_;
};

/// What one thread keeps of the image it reads: memory that is used again.
struct ImageBuffer {
  std::string bytes;     // of the file
  DecodedImage decoded;  // of those
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
  /// As it was when the source was opened. Nothing is read.
  virtual ImageSize size(std::int64_t index) const = 0;
  /// Goes to an image; nothing is decoded yet. Throws UsageError, a line that begins with the file's name, for an image
  /// that cannot be read, or that has changed since the source was opened.
  virtual ImageSize open(std::int64_t index, ImageBuffer& buffer) const = 0;
  /// The region's pixels of the image that `buffer` was opened with, valid as long as the buffer. Throws as `open`.
  virtual Picture read(std::int64_t index, const ImageRegion& region, ImageBuffer& buffer) const = 0;
  /// Adds what tells these images from others, wherever they lie: their names, and what is known of their contents.
  virtual void identify(Xxh128& hash) const = 0;

  BadImages& bad_images() const { return bad_; }

 private:
  mutable BadImages bad_;
};

}  // namespace vergence
