// Chooses the decoder by a file's format, and refuses files that no decoder should be given.
#include "datasets/decoders/image_file.h"

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <memory>

#include "datasets/decoders/bitmap.h"
#include "datasets/decoders/jpeg_segments.h"
#include "datasets/decoders/jpeg_turbo.h"
#include "datasets/decoders/png_chunks.h"
#include "engine/text/printable.h"
#include "kernels/error.h"

// Zeroed memory: stb_image reads tables that a damaged file does not define.
#define STBI_MALLOC(size) std::calloc(1, size)
#define STBI_REALLOC(memory, size) std::realloc(memory, size)
#define STBI_FREE(memory) std::free(memory)
#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_ONLY_JPEG
#define STBI_ONLY_PNG
#define STBI_ONLY_BMP
#define STBI_NO_STDIO
#define STBI_NO_HDR
#define STBI_NO_LINEAR
#include <stb_image.h>

namespace vergence {
namespace {

using Format = ImageHeader::Format;

Format format_of(std::string_view bytes, const std::string& name) {
  require_usage(!bytes.empty(), name, ": the file is empty, expected a JPEG, PNG or BMP image");
  if (bytes.starts_with("\xff\xd8\xff")) return Format::jpeg;
  if (bytes.starts_with("\x89PNG\r\n\x1a\n")) return Format::png;
  if (bytes.starts_with("BM")) return Format::bmp;
  throw UsageError(join(name, ": not a JPEG, PNG or BMP image"));
}

int length_of(std::string_view bytes, const std::string& name) {
  require_usage(bytes.size() <= static_cast<std::size_t>(std::numeric_limits<int>::max()), name, ": has ", bytes.size(),
                " bytes, expected less than 2 GiB");
  return static_cast<int>(bytes.size());
}

const stbi_uc* data_of(std::string_view bytes) { return reinterpret_cast<const stbi_uc*>(bytes.data()); }

/// Refuses small files that would take all memory, or hours to decode: the decoders notice too late.
void check_effort(std::string_view bytes, const std::string& name, const ImageHeader& header) {
  // A PNG packs at most 8 pixels into a byte, and 1,032 bytes into a compressed one; a JPEG has a bit per 1,024 pixels
  // or more.
  constexpr std::int64_t max_in_a_byte = 8 * 1032;
  const std::int64_t pixels = header.height * header.width, size = static_cast<std::int64_t>(bytes.size());
  require_usage(pixels / max_in_a_byte <= size, name, ": damaged image: ", header.height, " x ", header.width,
                " pixels in ", size, " bytes");
  if (header.format != Format::jpeg) return;
  const std::int64_t scans = jpeg_scans(bytes);  // usually ten or fewer
  require_usage(scans * pixels <= 16 * max_pixels, name, ": has ", scans, " scans of ", header.height, " x ",
                header.width, " pixels, expected less");
}

void decode_stb(std::string_view bytes, const std::string& name, const ImageHeader& header, DecodedImage& out) {
  int width = 0, height = 0, channels = 0;
  const std::unique_ptr<stbi_uc, void (*)(void*)> pixels(
      stbi_load_from_memory(data_of(bytes), length_of(bytes, name), &width, &height, &channels, 3), stbi_image_free);
  require_usage(pixels != nullptr, name, ": damaged image: ", shortened(stbi_failure_reason()));
  require_usage(height == header.height && width == header.width, name, ": damaged image: two sizes of it");
  out.height = height;
  out.width = width;
  out.top = out.left = 0;
  out.reduction = 1;
  out.pixels.assign(pixels.get(), pixels.get() + 3 * out.height * out.width);
}

/// A big-endian number of a PNG.
std::int64_t png_number(std::string_view bytes, std::size_t at) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < 4; ++i) value = value << 8 | static_cast<unsigned char>(bytes[at + i]);
  return value;
}

void check_size(std::int64_t height, std::int64_t width, const std::string& name) {
  require_usage(height > 0 && width > 0 && height <= max_pixels / width, name, ": has ", height, " x ", width,
                " pixels, expected at least 1 and at most ", max_pixels);
}

void check_region(const ImageRegion& region, const ImageHeader& header) {
  require(region.reduction == 1 || region.reduction == 2 || region.reduction == 4 || region.reduction == 8,
          "decode_image: a reduction of ", region.reduction, ", expected 1, 2, 4 or 8");
  require(
      region.height == 0 || (region.top >= 0 && region.left >= 0 && region.height > 0 && region.width > 0 &&
                             region.top + region.height <= header.height && region.left + region.width <= header.width),
      "decode_image: a region outside the image");
}

}  // namespace

bool has_jpeg_turbo() {
#ifdef VERGENCE_JPEG_TURBO
  return true;
#else
  return false;
#endif
}

int max_reduced(DecodeRule rule, double length, std::int64_t size) {
  const double least = rule == DecodeRule::exact ? 3 : 1;  // samples per output pixel; 2 change the result measurably
  for (const int reduction : {8, 4, 2})
    if (length >= least * static_cast<double>(reduction * size)) return reduction;
  return 1;
}

ImageHeader image_header(std::string_view bytes, const std::string& name) {
  ImageHeader header{.format = format_of(bytes, name)};
  if (header.format == Format::jpeg) {
    header = jpeg_header(bytes, name);
    check_size(header.height, header.width, name);
    return header;
  }
  // stb_image does not say why it refuses a size, so check a PNG's first.
  if (header.format == Format::png && bytes.size() >= 24)
    check_size(png_number(bytes, 20), png_number(bytes, 16), name);
  int width = 0, height = 0, channels = 0;
  const bool good = stbi_info_from_memory(data_of(bytes), length_of(bytes, name), &width, &height, &channels) != 0;
  require_usage(good || header.format != Format::bmp || !is_unread_bitmap(bytes), name,
                ": a BMP of a kind that is not read (run-length coded, or another header)");
  require_usage(good, name, ": damaged image header");
  // A BMP with a negative height stores its rows from the top down.
  header.height = header.format == Format::bmp ? std::abs(std::int64_t{height}) : height;
  header.width = width;
  check_size(header.height, header.width, name);
  return header;
}

void decode_image(std::string_view bytes, const std::string& name, JpegLibrary jpeg, DecodedImage& out,
                  const ImageRegion& region) {
  const ImageHeader header = image_header(bytes, name);
  check_region(region, header);
  check_effort(bytes, name, header);
  std::string mended;  // a repaired copy that stb_image reads correctly
  if (header.format == Format::jpeg) {
#ifdef VERGENCE_JPEG_TURBO
    if (jpeg == JpegLibrary::turbo) return decode_jpeg_turbo(bytes, name, header, region, out);
#else
    static_cast<void>(jpeg);
#endif
    check_for_stb(bytes, name);
    mended = with_adobe_marker(bytes);
  } else if (header.format == Format::bmp) {
    mended = with_usual_header(bytes);
    check_bitmap(mended.empty() ? bytes : mended, name, header);
  } else {
    check_chunks(bytes, name);
    mended = with_whole_chunks(bytes);
  }
  decode_stb(mended.empty() ? bytes : mended, name, header, out);
}

}  // namespace vergence
