// Image files to pixels: JPEG, PNG and BMP. What a file is, is read from its first bytes, never from its name.
// As torchvision's default loader: three channels (gray is repeated, transparency dropped, CMYK converted), EXIF
// orientation and color profiles ignored; of 16 bits the upper 8.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace vergence {

/// What reads JPEG: libjpeg-turbo, which can leave out what is not wanted, or stb_image.
enum class JpegLibrary { turbo, stb };

/// Whether this build has libjpeg-turbo.
bool has_jpeg_turbo();

struct ImageHeader {
  enum class Format { jpeg, png, bmp };

  Format format = Format::jpeg;
  std::int64_t height = 0, width = 0;
};

/// Most pixels that an image may have: against files of some bytes that ask for all memory.
constexpr std::int64_t max_pixels = std::int64_t{1} << 28;

/// Format and size, from the file's beginning alone. Throws UsageError, one line that begins with `name`, for what is
/// empty, no JPEG, PNG or BMP, damaged in its header, or larger than max_pixels.
ImageHeader image_header(std::string_view bytes, const std::string& name);

/// How small an image that will be resized may be decoded: `fast` leaves at least a sample for each pixel that is
/// made, `exact` so many that the result is that of the whole image.
enum class DecodeRule { fast, exact };

/// The strongest reduction (8, 4, 2 or 1) of `length` samples from which `size` pixels are to be made.
int max_reduced(DecodeRule rule, double length, std::int64_t size);

/// Which part of an image is wanted, in its own pixels, and how many of them may become one.
struct ImageRegion {
  std::int64_t top = 0, left = 0, height = 0, width = 0;  // height 0: the whole image
  int reduction = 1;                                      // 1, 2, 4 or 8
};

/// Rows of RGB bytes, [height, width, 3]: at least what was asked for, less where a decoder cannot leave anything out.
struct DecodedImage {
  std::vector<std::uint8_t> pixels;
  std::int64_t height = 0, width = 0;
  std::int64_t top = 0, left = 0;  // where it begins, counted in pixels of the reduced image
  int reduction = 1;               // image pixels per decoded pixel: what was asked for, or 1
};

/// Decodes into `out`, whose memory is used again. Throws UsageError, one line that begins with `name`, for what
/// image_header refuses and for damaged or truncated data. `turbo` without libjpeg-turbo is stb_image.
void decode_image(std::string_view bytes, const std::string& name, JpegLibrary jpeg, DecodedImage& out,
                  const ImageRegion& region = {});

}  // namespace vergence
