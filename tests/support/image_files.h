// Image files made by hand: JPEG by libjpeg with any sampling, PNG of any kind without compression.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>
#ifdef VERGENCE_JPEG_TURBO
#include <cstdio>
#include <cstdlib>
#include <jpeglib.h>
#endif

namespace vergence {

/// A smooth picture, [height, width, channels].
inline std::vector<std::uint8_t> gradient_picture(int height, int width, int channels) {
  std::vector<std::uint8_t> pixels;
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x)
      for (int c = 0; c < channels; ++c)
        pixels.push_back(static_cast<std::uint8_t>(40 + 170 * (c % 2 == 0 ? x : y) / (c % 2 == 0 ? width : height)));
  return pixels;
}

#ifdef VERGENCE_JPEG_TURBO
struct JpegForm {
  int channels = 3;                  // 1: gray, 3: RGB, 4: CMYK, stored inverted as Adobe does
  int horizontal = 1, vertical = 1;  // sampling of the first component relative to the others
  bool progressive = false;
  bool plain = false;                             // stores RGB or CMYK itself, not YCbCr or YCCK
  int marker = 1;                                 // Adobe's: 0 never, 1 if the format needs it, 2 always
  std::vector<std::array<int, 2>> sampling = {};  // of each component, instead of the above
  int restart = 0;                                // blocks between restarts
};

/// `pixels`: [height, width, channels].
inline std::string jpeg_file(const std::vector<std::uint8_t>& pixels, int height, int width, const JpegForm& form) {
  jpeg_compress_struct info{};
  jpeg_error_mgr errors{};
  info.err = jpeg_std_error(&errors);
  jpeg_create_compress(&info);
  unsigned char* bytes = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&info, &bytes, &size);
  info.image_height = static_cast<JDIMENSION>(height);
  info.image_width = static_cast<JDIMENSION>(width);
  info.input_components = form.channels;
  info.in_color_space = form.channels == 1 ? JCS_GRAYSCALE : form.channels == 3 ? JCS_RGB : JCS_CMYK;
  jpeg_set_defaults(&info);
  if (form.channels == 3 && form.plain) jpeg_set_colorspace(&info, JCS_RGB);
  if (form.channels == 4 && !form.plain && form.marker > 0) jpeg_set_colorspace(&info, JCS_YCCK);
  jpeg_set_quality(&info, 98, TRUE);
  if (form.channels == 3) {
    info.comp_info[0].h_samp_factor = form.horizontal;
    info.comp_info[0].v_samp_factor = form.vertical;
  }
  for (std::size_t i = 0; i < form.sampling.size(); ++i)
    info.comp_info[i].h_samp_factor = form.sampling[i][0], info.comp_info[i].v_samp_factor = form.sampling[i][1];
  info.restart_interval = static_cast<unsigned>(form.restart);
  if (form.progressive) jpeg_simple_progression(&info);
  if (form.marker == 0) info.write_Adobe_marker = FALSE;
  if (form.marker == 2) info.write_Adobe_marker = TRUE;
  jpeg_start_compress(&info, TRUE);
  for (int y = 0; y < height; ++y) {
    std::vector<std::uint8_t> row(pixels.begin() + y * width * form.channels,
                                  pixels.begin() + (y + 1) * width * form.channels);
    JSAMPROW rows = row.data();
    jpeg_write_scanlines(&info, &rows, 1);
  }
  jpeg_finish_compress(&info);
  std::string file(reinterpret_cast<char*>(bytes), size);
  jpeg_destroy_compress(&info);
  std::free(bytes);
  return file;
}
#endif

inline std::string big_endian(std::uint32_t value) {
  std::string text;
  for (int shift = 24; shift >= 0; shift -= 8) text += static_cast<char>(value >> shift & 255);
  return text;
}

inline std::string png_chunk(const std::string& type, const std::string& data) {
  const std::string body = type + data;
  std::uint32_t crc = ~0u;
  for (const char byte : body) {
    crc ^= static_cast<unsigned char>(byte);
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0u);
  }
  return big_endian(static_cast<std::uint32_t>(data.size())) + body + big_endian(~crc);
}

inline std::string little_endian(std::int64_t value, int bytes) {
  std::string text;
  for (int i = 0; i < bytes; ++i) text += static_cast<char>(value >> 8 * i & 255);
  return text;
}

/// `rows`: each padded to four bytes, from the bottom up, or from the top down if `height` is negative. `palette`: four
/// bytes a color.
inline std::string bmp_file(const std::string& rows, int height, int width, int bits, const std::string& palette) {
  std::string rest = little_endian(40, 4) + little_endian(width, 4) + little_endian(height, 4) + little_endian(1, 2) +
                     little_endian(bits, 2) + std::string(24, '\0') + palette;
  const auto start = static_cast<std::int64_t>(14 + rest.size());
  return "BM" + little_endian(start + static_cast<std::int64_t>(rows.size()), 4) + std::string(4, '\0') +
         little_endian(start, 4) + rest + rows;
}

struct PngForm {
  int bits = 8;
  int color = 2;        // as in the format: 0 gray, 2 RGB, 3 palette, 4 gray and alpha, 6 RGB and alpha
  std::string palette;  // color 3: RGB bytes
};

/// `rows`: the bytes of each row as in the format.
inline std::string png_file(const std::vector<std::string>& rows, int width, const PngForm& form) {
  std::string raw;
  for (const std::string& row : rows) raw += '\0' + row;
  std::uint32_t a = 1, b = 0;
  for (const char byte : raw) a = (a + static_cast<unsigned char>(byte)) % 65521, b = (b + a) % 65521;
  std::string stream("\x78\x01", 2);
  for (std::size_t at = 0; at < raw.size(); at += 65535) {  // stored blocks
    const std::string part = raw.substr(at, 65535);
    const auto size = static_cast<std::uint32_t>(part.size());
    stream += static_cast<char>(at + 65535 >= raw.size());
    for (const std::uint32_t value : {size, ~size})
      stream += std::string{static_cast<char>(value), static_cast<char>(value >> 8)};
    stream += part;
  }
  stream += big_endian(b << 16 | a);
  std::string header =
      big_endian(static_cast<std::uint32_t>(width)) + big_endian(static_cast<std::uint32_t>(rows.size()));
  header += static_cast<char>(form.bits);
  header += static_cast<char>(form.color);
  header += std::string(3, '\0');
  std::string file = "\x89PNG\r\n\x1a\n" + png_chunk("IHDR", header);
  if (!form.palette.empty()) file += png_chunk("PLTE", form.palette);
  return file + png_chunk("IDAT", stream) + png_chunk("IEND", "");
}

}  // namespace vergence
