// Decodes image files: JPEG, PNG and BMP. A file's first bytes decide its format, never its name.
// Like torchvision's default loader: three channels (repeats gray, drops transparency, converts CMYK), ignores EXIF
// orientation and color profiles, and takes the upper 8 of 16 bits. (Of gray 16-bit PNG files, Pillow clips the values
// to 255 instead.)
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace vergence {

/// The JPEG decoder: libjpeg-turbo, which can skip unneeded parts, or stb_image.
enum class JpegLibrary { turbo, stb };

/// Whether this build has libjpeg-turbo.
bool has_jpeg_turbo();

struct ImageHeader {
  enum class Format { jpeg, png, bmp };

  Format format = Format::jpeg;
  std::int64_t height = 0, width = 0;
};

/// The most pixels an image may have: stops tiny files that request all memory.
constexpr std::int64_t max_pixels = std::int64_t{1} << 28;

/// Format and size, from only the file's beginning. Throws UsageError, one line that begins with `name`, if the file is
/// empty, not JPEG, PNG or BMP, has a damaged header, or has more than max_pixels.
ImageHeader image_header(std::string_view bytes, const std::string& name);

/// How far decoding may reduce an image that will be resized: `fast` keeps at least one sample per output pixel,
/// `exact` enough for the result that the full resolution gives.
enum class DecodeRule { fast, exact };

/// The strongest allowed reduction (8, 4, 2 or 1) of `length` samples for `size` output pixels.
int max_reduced(DecodeRule rule, double length, std::int64_t size);

/// The requested part of an image, in its own pixels, and the allowed reduction.
struct ImageRegion {
  std::int64_t top = 0, left = 0, height = 0, width = 0;  // height 0: the whole image
  int reduction = 1;                                      // 1, 2, 4 or 8
};

/// Rows of RGB bytes, [height, width, 3], of at least the requested part.
struct DecodedImage {
  std::vector<std::uint8_t> pixels;
  std::int64_t height = 0, width = 0;
  std::int64_t top = 0, left = 0;  // where it begins, in pixels of the reduced image
  int reduction = 1;               // image pixels per decoded pixel: the requested reduction, or 1
};

/// Decodes into `out` and reuses its memory. Throws UsageError, one line that begins with `name`, for files that
/// image_header refuses and for damaged or truncated data. `turbo` without libjpeg-turbo means stb_image.
void decode_image(std::string_view bytes, const std::string& name, JpegLibrary jpeg, DecodedImage& out,
                  const ImageRegion& region = {});

}  // namespace vergence
