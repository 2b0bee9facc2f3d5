// JPEG, PNG and BMP: the header, the whole image by both JPEG libraries, and a part of it.
#include <algorithm>

#include "datasets/decoders/image_file.h"
#include "tests/fuzz/fuzz_target.h"
#include "tests/support/image_files.h"

namespace {

using namespace vergence;

/// Larger images are left alone: decoding them is slow, not wrong.
constexpr std::int64_t max_decoded = std::int64_t{1} << 16;

std::int64_t divided(std::int64_t length, std::int64_t by) { return (length + by - 1) / by; }

/// Decodes into a fresh buffer and into a used one, which must make no difference: no byte may be left unwritten.
bool decodes(std::string_view file, JpegLibrary jpeg, const ImageRegion& region, DecodedImage& image) {
  const auto decode = [&](DecodedImage& out) {
    return accepts("image: ", [&] { decode_image(file, "image", jpeg, out, region); });
  };
  image = {};
  DecodedImage used;
  used.pixels.assign(1 << 12, 0x5a);
  const bool good = decode(image);
  must(decode(used) == good, "the same file is read twice or not at all");
  if (!good) return false;
  must(image.pixels == used.pixels && image.height == used.height && image.width == used.width,
       "the same pixels twice");
  must(image.height > 0 && image.width > 0 && image.top >= 0 && image.left >= 0, "an image has a size");
  must(static_cast<std::int64_t>(image.pixels.size()) == 3 * image.height * image.width,
       "a size is that of its pixels");
  must(image.reduction == 1 || image.reduction == region.reduction, "a reduction is the one asked for");
  return true;
}

/// A PNG whose chunks all have the checksums of their bytes: inputs seldom have them by chance.
std::string with_checksums(std::string_view file) {
  std::string mended(file);
  if (!file.starts_with("\x89PNG")) return mended;
  const auto number = [&](std::size_t at) {
    std::size_t value = 0;
    for (std::size_t i = 0; i < 4; ++i) value = value << 8 | static_cast<unsigned char>(mended[at + i]);
    return value;
  };
  for (std::size_t at = 8; at + 12 <= mended.size();) {
    const std::size_t length = number(at);
    if (length > mended.size() - at - 12) break;
    const std::string chunk = png_chunk(mended.substr(at + 4, 4), mended.substr(at + 8, length));
    mended.replace(at, chunk.size(), chunk);
    at += chunk.size();
  }
  return mended;
}

/// `part` must have all pixels of the region, and they must be those of `whole`, which is as much reduced.
void check_part(const DecodedImage& part, const DecodedImage& whole, const ImageRegion& region) {
  const std::int64_t n = part.reduction;
  must(whole.reduction == n, "a part is as much reduced as the whole");
  const std::int64_t bottom = std::min(whole.height, divided(region.top + region.height, n));
  const std::int64_t right = std::min(whole.width, divided(region.left + region.width, n));
  must(part.top <= region.top / n && part.top + part.height >= bottom, "a part has all rows that were asked for");
  must(part.left <= region.left / n && part.left + part.width >= right, "and all columns");
  must(part.top + part.height <= whole.height && part.left + part.width <= whole.width, "and none there are not");
  for (std::int64_t y = region.top / n; y < bottom; ++y) {
    const auto* mine = part.pixels.data() + 3 * ((y - part.top) * part.width + region.left / n - part.left);
    const auto* theirs = whole.pixels.data() + 3 * (y * whole.width + region.left / n);
    must(std::equal(mine, mine + 3 * (right - region.left / n), theirs), "a part's pixels are the whole's");
  }
}

}  // namespace

/// Settings: reduction, and 4 more to mend a PNG's checksums; top, left, height and width of a region, two bytes each.
int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const FuzzInput input(data, size, 9);
  const std::string file = input.setting(0) & 4 ? with_checksums(input.file()) : std::string(input.file());
  ImageHeader header;
  const bool known = accepts("image: ", [&] { header = image_header(file, "image"); });
  if (!known) header = {};  // it is; g++ 12 warns without this
  must(!known || (header.height > 0 && header.width > 0 && header.height <= max_pixels / header.width),
       "a header has a size");
  if (known && header.height * header.width > max_decoded) return 0;
  for (const JpegLibrary jpeg : {JpegLibrary::turbo, JpegLibrary::stb}) {
    DecodedImage whole, part;
    const bool good = decodes(file, jpeg, {}, whole);
    must(known || !good, "what has no good header is not decoded");
    if (!good) continue;
    must(whole.height == header.height && whole.width == header.width, "the header tells the size");
    must(header.format != ImageHeader::Format::bmp ||
             divided(whole.height * whole.width, 8) <= static_cast<std::int64_t>(file.size()),
         "a BMP has at least a bit per pixel");
    ImageRegion region{.reduction = 1 << input.setting(0) % 4};
    must(decodes(file, jpeg, region, whole), "a good image is decoded in any size");
    must(whole.height == divided(header.height, whole.reduction), "a reduced image has its height");
    must(whole.width == divided(header.width, whole.reduction), "a reduced image has its width");
    region.top = input.wide_setting(1) % header.height;
    region.left = input.wide_setting(3) % header.width;
    region.height = 1 + input.wide_setting(5) % (header.height - region.top);
    region.width = 1 + input.wide_setting(7) % (header.width - region.left);
    must(decodes(file, jpeg, region, part), "a part of a good image is decoded");
    check_part(part, whole, region);
  }
  return 0;
}
