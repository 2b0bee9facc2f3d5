// Pictures as PNG, in a file or in memory.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ssl/objective.h"

namespace vergence {

/// Colors, row by row, three bytes per pixel.
struct Raster {
  std::int64_t width = 0, height = 0;
  std::vector<std::uint8_t> bytes;
};

/// Normalized images [M, H, W, C], one tensor per column -> pictures with M rows.
Pictures side_by_side(const Tensors& columns);

/// How pictures lie in a grid: the white pixels between them, and the height up to which small ones are enlarged.
struct GridForm {
  std::int64_t gap = 2, smallest = 96;
};

/// The pictures on white: colors are value * std + mean, clamped to [0, 1]; small images are enlarged by a whole
/// number. One channel is gray; otherwise the first three are red, green and blue.
Raster picture_grid(const Pictures& pictures, const ChannelValues& mean, const ChannelValues& std,
                    const GridForm& form = {});

/// A picture in PNG's format.
struct Png {
  std::int64_t width = 0, height = 0;
  std::string bytes;
};
Png png_of(const Raster& raster);

/// Replaces the file at `path`. Throws Error naming it.
void write_png(const std::string& path, const Png& png);
void write_png(const std::string& path, const Raster& raster);

}  // namespace vergence
