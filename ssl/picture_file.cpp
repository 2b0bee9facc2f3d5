#include "ssl/picture_file.h"

#include <algorithm>
#include <cmath>

#include "engine/io/files.h"
#include "engine/ops/ops.h"

#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STB_IMAGE_WRITE_STATIC
#define STBI_WRITE_NO_STDIO
#include <stb_image_write.h>

namespace vergence {

Pictures side_by_side(const Tensors& columns) {
  const Shape& shape = columns.front().shape;
  const std::int64_t rows = shape[0], count = static_cast<std::int64_t>(columns.size());
  Tensors parts;
  for (const Tensor& column : columns) parts.push_back(reshape(column, {rows, 1, shape.size() / rows}));
  return {reshape(concat(parts, 1), shape.with(0, count * rows)), count};
}

Raster picture_grid(const Pictures& pictures, const ChannelValues& mean, const ChannelValues& std,
                    const GridForm& form) {
  const std::int64_t gap = form.gap;
  const Shape& s = pictures.images.shape;
  require(s.rank() == 4 && s[3] >= 1 && s[3] <= max_channels && s[0] % pictures.columns == 0,
          "pictures: expected images [rows x ", pictures.columns, ", H, W, C], got ", s);
  const std::int64_t scale = std::max<std::int64_t>(1, form.smallest / s[1]);
  const std::int64_t high = s[1] * scale, wide = s[2] * scale, columns = pictures.columns, rows = s[0] / columns;
  Raster raster{columns * (wide + gap) + gap, rows * (high + gap) + gap, {}};
  raster.bytes.assign(static_cast<std::size_t>(raster.width * raster.height * 3), 255);
  const std::vector<float> values = pictures.images.floats();
  for (std::int64_t image = 0; image < s[0]; ++image) {
    const std::int64_t top = gap + image / columns * (high + gap), left = gap + image % columns * (wide + gap);
    for (std::int64_t i = 0; i < high * wide * 3; ++i) {
      const std::int64_t c = i % 3, x = i / 3 % wide, y = i / 3 / wide;
      const std::int64_t pixel = ((image * s[1] + y / scale) * s[2] + x / scale) * s[3];
      const std::int64_t shown = s[3] == 1 ? 0 : c;
      const auto channel = static_cast<std::size_t>(shown);
      const float color =
          shown < s[3] ? values[static_cast<std::size_t>(pixel + shown)] * std[channel] + mean[channel] : 0;
      raster.bytes[static_cast<std::size_t>(((top + y) * raster.width + left + x) * 3 + c)] =
          static_cast<std::uint8_t>(std::lround(255 * std::clamp(color, 0.0f, 1.0f)));
    }
  }
  return raster;
}

Png png_of(const Raster& raster) {
  Png png{raster.width, raster.height, {}};
  const auto append = [](void* to, void* bytes, int size) {
    static_cast<std::string*>(to)->append(static_cast<const char*>(bytes), static_cast<std::size_t>(size));
  };
  const int width = static_cast<int>(raster.width), height = static_cast<int>(raster.height);
  require(stbi_write_png_to_func(append, &png.bytes, width, height, 3, raster.bytes.data(), 3 * width) != 0,
          "a picture of ", raster.width, " x ", raster.height, " pixels cannot be encoded");
  return png;
}

void write_png(const std::string& path, const Png& png) { write_atomically(path, png.bytes); }

void write_png(const std::string& path, const Raster& raster) { write_png(path, png_of(raster)); }

}  // namespace vergence
