// libjpeg reports errors through a callback that must not return: it leaves with longjmp, across C frames only.
#ifdef VERGENCE_JPEG_TURBO
#include "datasets/decoders/jpeg_turbo.h"

#include <algorithm>
#include <csetjmp>
#include <cstdio>
// after cstdio, whose types they use
#include <jerror.h>
#include <jpeglib.h>

#include "kernels/error.h"

namespace vergence {
namespace {

/// libjpeg's error handler, with the jump's target and the message.
struct Failure {
  jpeg_error_mgr manager;  // first: libjpeg hands back a pointer to it
  std::jmp_buf out;
  char message[JMSG_LENGTH_MAX];
};

[[noreturn]] void leave(j_common_ptr info) {
  auto* failure = reinterpret_cast<Failure*>(info->err);
  failure->manager.format_message(info, failure->message);
  std::longjmp(failure->out, 1);
}

/// Whether a warning means lost pixels. Pillow ignores all of them except a file that ends too early.
bool loses_pixels(int code) {
  return code == JWRN_JPEG_EOF || code == JWRN_HIT_MARKER || code == JWRN_HUFF_BAD_CODE || code == JWRN_MUST_RESYNC ||
         code == JWRN_BOGUS_PROGRESSION;
}

void warn(j_common_ptr info, int level) {
  if (level < 0 && loses_pixels(info->err->msg_code)) leave(info);
}

/// CMYK -> RGB. An ink value of 255 is none, as Adobe stores it and as Pillow reads every file.
void cmyk_to_rgb(const std::uint8_t* ink, std::int64_t pixels, std::uint8_t* rgb) {
  for (std::int64_t i = 0; i < pixels; ++i, ink += 4, rgb += 3)
    for (int c = 0; c < 3; ++c) rgb[c] = static_cast<std::uint8_t>((ink[c] * ink[3] + 127) / 255);
}

class Decompressor {
 public:
  explicit Decompressor(std::string_view bytes) {
    info_.err = jpeg_std_error(&failure_.manager);
    failure_.manager.error_exit = leave;
    failure_.manager.emit_message = warn;
    failure_.message[0] = 0;
    if (setjmp(failure_.out)) return;
    jpeg_create_decompress(&info_);
    jpeg_mem_src(&info_, reinterpret_cast<const unsigned char*>(bytes.data()),
                 static_cast<unsigned long>(bytes.size()));
  }
  ~Decompressor() { jpeg_destroy_decompress(&info_); }
  Decompressor(const Decompressor&) = delete;
  Decompressor& operator=(const Decompressor&) = delete;

  /// Reads the header and applies the settings, up to the first row; false: failed.
  bool start(const ImageRegion& region) {
    if (failed() || setjmp(failure_.out)) return false;
    jpeg_read_header(&info_, TRUE);
    info_.scale_num = 1;
    info_.scale_denom = static_cast<unsigned>(region.reduction);
    const bool ink = info_.jpeg_color_space == JCS_CMYK || info_.jpeg_color_space == JCS_YCCK;
    info_.out_color_space = ink ? JCS_CMYK : JCS_RGB;
    jpeg_start_decompress(&info_);
    return true;
  }
  /// Drops whole blocks of columns before `left` and from `left + width` on; `left` becomes the first column kept.
  bool crop(std::int64_t& left, std::int64_t width) {
    if (setjmp(failure_.out)) return false;
    auto offset = static_cast<JDIMENSION>(left), columns = static_cast<JDIMENSION>(width);
    if (width == info_.output_width || !can_crop()) {
      left = 0;
    } else {
      jpeg_crop_scanline(&info_, &offset, &columns);
      left = offset;
    }
    return true;
  }
  bool skip(std::int64_t rows) {
    if (setjmp(failure_.out)) return false;
    if (rows > 0) jpeg_skip_scanlines(&info_, static_cast<JDIMENSION>(rows));
    return true;
  }
  bool read_row(std::uint8_t* row) {
    if (setjmp(failure_.out)) return false;
    jpeg_read_scanlines(&info_, &row, 1);
    return true;
  }

  /// Whether libjpeg found the size that the region was checked against.
  bool is_of(const ImageHeader& header) const {
    return info_.image_height == header.height && info_.image_width == header.width;
  }
  bool failed() const { return failure_.message[0] != 0; }
  const char* message() const { return failure_.message; }
  std::int64_t height() const { return info_.output_height; }
  std::int64_t width() const { return info_.output_width; }
  bool is_ink() const { return info_.out_color_space == JCS_CMYK; }

 private:
  /// libjpeg-turbo crops wrongly if a component is reduced less than the image but still needs its rows or columns
  /// doubled, as in 4:1:0.
  bool can_crop() const {
    for (int i = 0; i < info_.num_components; ++i) {
      const jpeg_component_info& part = info_.comp_info[i];
      const int size = part.DCT_scaled_size, least = info_.min_DCT_scaled_size;
      if (size != least && (part.h_samp_factor * size != info_.max_h_samp_factor * least ||
                            part.v_samp_factor * size != info_.max_v_samp_factor * least))
        return false;
    }
    return true;
  }

  jpeg_decompress_struct info_{};
  Failure failure_{};
};

/// Rows and columns around a region that smoothing between blocks may read.
constexpr std::int64_t margin = 16;

}  // namespace

void decode_jpeg_turbo(std::string_view bytes, const std::string& name, const ImageHeader& header,
                       const ImageRegion& region, DecodedImage& out) {
  Decompressor jpeg(bytes);
  const auto check = [&](bool good) { require_usage(good, name, ": damaged JPEG: ", jpeg.message()); };
  check(jpeg.start(region));
  require_usage(jpeg.is_of(header), name, ": damaged JPEG: two sizes of the image");
  const std::int64_t n = region.reduction, rows = jpeg.height(), columns = jpeg.width();
  const bool whole = region.height == 0;
  out.reduction = region.reduction;
  out.top = whole ? 0 : std::max<std::int64_t>(0, region.top / n - margin);
  out.left = whole ? 0 : std::max<std::int64_t>(0, region.left / n - margin);
  const std::int64_t bottom = whole ? rows : std::min(rows, (region.top + region.height + n - 1) / n + margin);
  const std::int64_t right = whole ? columns : std::min(columns, (region.left + region.width + n - 1) / n + margin);
  check(jpeg.crop(out.left, right - out.left));
  check(jpeg.skip(out.top));
  out.height = bottom - out.top;
  out.width = jpeg.width();
  out.pixels.resize(static_cast<std::size_t>(3 * out.height * out.width));
  std::vector<std::uint8_t> ink(jpeg.is_ink() ? static_cast<std::size_t>(4 * out.width) : 0);
  for (std::int64_t y = 0; y < out.height; ++y) {
    std::uint8_t* row = out.pixels.data() + 3 * y * out.width;
    check(jpeg.read_row(ink.empty() ? row : ink.data()));
    if (!ink.empty()) cmyk_to_rgb(ink.data(), out.width, row);
  }
}

}  // namespace vergence

#endif
