// Which decoder reads what, and what none of them may be asked to read.
#include "datasets/image_file.h"

#include <algorithm>
#include <limits>
#include <memory>

#include "datasets/jpeg_turbo.h"
#include "kernels/error.h"

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

/// Where a JPEG's first scan begins, or nothing: headers are segments with a length, pictures within them included.
std::size_t first_scan(std::string_view bytes) {
  std::size_t at = 2;
  while (at + 4 <= bytes.size()) {
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(bytes[at + i]); };
    if (byte(0) != 0xff) return std::string_view::npos;
    if (byte(1) == 0xff) {  // padding
      ++at;
      continue;
    }
    if (byte(1) == 0xda) return at;
    at += 2 + (static_cast<std::size_t>(byte(2)) << 8 | byte(3));
  }
  return std::string_view::npos;
}

/// stb_image fills what is missing of a JPEG with grey.
void check_end_of_jpeg(std::string_view bytes, const std::string& name) {
  const std::size_t scan = first_scan(bytes), end = bytes.rfind("\xff\xd9");
  require_usage(scan != std::string_view::npos && end != std::string_view::npos && end > scan, name,
                ": damaged JPEG: the file ends too early");
}

void decode_stb(std::string_view bytes, const std::string& name, DecodedImage& out) {
  int width = 0, height = 0, channels = 0;
  const std::unique_ptr<stbi_uc, void (*)(void*)> pixels(
      stbi_load_from_memory(data_of(bytes), length_of(bytes, name), &width, &height, &channels, 3), stbi_image_free);
  require_usage(pixels != nullptr, name, ": damaged image: ", stbi_failure_reason());
  out.height = height;
  out.width = width;
  out.top = out.left = 0;
  out.reduction = 1;
  out.pixels.assign(pixels.get(), pixels.get() + 3 * out.height * out.width);
}

/// Four bytes of a PNG. stb_image does not say why it refuses a size.
std::int64_t png_number(std::string_view bytes, std::size_t at) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < 4; ++i) value = value << 8 | static_cast<unsigned char>(bytes[at + i]);
  return value;
}

void check_size(std::int64_t height, std::int64_t width, const std::string& name) {
  require_usage(height > 0 && width > 0 && height <= most_pixels / width, name, ": has ", height, " x ", width,
                " pixels, expected at least 1 and at most ", most_pixels);
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

ImageHeader image_header(std::string_view bytes, const std::string& name) {
  ImageHeader header{.format = format_of(bytes, name)};
  if (header.format == Format::png && bytes.size() >= 24)
    check_size(png_number(bytes, 20), png_number(bytes, 16), name);
  int width = 0, height = 0, channels = 0;
  const bool good = stbi_info_from_memory(data_of(bytes), length_of(bytes, name), &width, &height, &channels) != 0;
  require_usage(good, name, ": damaged image header");
  check_size(height, width, name);
  header.height = height;
  header.width = width;
  return header;
}

void decode_image(std::string_view bytes, const std::string& name, JpegLibrary jpeg, DecodedImage& out,
                  const ImageRegion& region) {
  const ImageHeader header = image_header(bytes, name);
  check_region(region, header);
  if (header.format == Format::jpeg) {
#ifdef VERGENCE_JPEG_TURBO
    if (jpeg == JpegLibrary::turbo) return decode_jpeg_turbo(bytes, name, region, out);
#else
    static_cast<void>(jpeg);
#endif
    check_end_of_jpeg(bytes, name);
  }
  decode_stb(bytes, name, out);
}

}  // namespace vergence
