#include "ssl/bench/operands.h"

#include <algorithm>
#include <tuple>

#include "kernels/draws.h"

namespace vergence {
namespace {

constexpr std::int64_t tile_values = std::int64_t{1} << 18;

std::vector<float> tile_of(Content content) {
  static const std::vector<float> normal = normal_values(tile_values, 1);
  std::vector<float> tile = normal;
  if (content == Content::rectified)
    for (float& value : tile) value = std::max(value, 0.0f);
  if (content == Content::padded)
    for (std::size_t i = 0; i < tile.size(); ++i)
      if (i % 8 >= 3) tile[i] = 0;
  return tile;
}

/// [size] of `dtype`: repeats the tile's values.
Tensor repeated(const Tensor& tile, std::int64_t size, DType dtype) {
  Backend& backend = tile.backend();
  Tensor all = empty(backend, {size}, dtype);
  const std::int64_t whole = size / tile.size(), rest = size - whole * tile.size();
  const Array to = all.array();
  if (whole > 0)
    backend.map(Map::copy, whole, tile.size(), {tile.array(), Repeat::over_rows}, {}, 1, 0,
                {to.data, size - rest, dtype});
  if (rest > 0)
    backend.map(Map::copy, 1, rest, {{tile.array().data, rest, tile.dtype}}, {}, 1, 0,
                {static_cast<char*>(to.data) + (size - rest) * size_of(dtype), rest, dtype});
  return all;
}

}  // namespace

std::vector<float> normal_values(std::size_t count, std::uint64_t seed) {
  Random random(seed, Purpose::test);
  std::vector<float> values(count);
  for (std::size_t i = 0; i + 1 < count; i += 2) std::tie(values[i], values[i + 1]) = normal_pair(random);
  return values;
}

Tensor random_operand(Backend& backend, std::int64_t size, DType dtype, Content content) {
  return repeated(from_floats(backend, {tile_values}, tile_of(content)), size, dtype);
}

Tensor random_bits(Backend& backend, std::int64_t bytes) {
  Random random(2, Purpose::test);
  std::vector<std::uint8_t> values(static_cast<std::size_t>(tile_values));
  for (std::uint8_t& value : values) value = static_cast<std::uint8_t>(random.below(256));
  const Tensor tile = empty(backend, {tile_values}, DType::u8);
  backend.upload(tile.data->data(), values.data(), tile_values);
  return repeated(tile, bytes, DType::u8);
}

}  // namespace vergence
