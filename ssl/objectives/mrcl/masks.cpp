#include "ssl/objectives/mrcl/masks.h"

#include <algorithm>
#include <numeric>

#include "engine/ops/ops.h"
#include "kernels/draws.h"
#include "kernels/parallel.h"
#include "ssl/losses.h"

namespace vergence {
namespace {

constexpr std::uint32_t noise_stream = 128;  // added to the view number: the noise of a view's erased patches

/// Makes `target` a tensor of that shape; allocates a new one only if the shape differs.
void ensure(Tensor& target, Backend& backend, const Shape& shape, DType dtype) {
  if (!target || target.shape != shape) target = empty(backend, shape, dtype);
}

template <class T>
void upload_values(const Tensor& target, const std::vector<T>& values) {
  target.backend().upload(target.data->data(), values.data(), static_cast<std::int64_t>(values.size() * sizeof(T)));
}

/// Converts any type to a floating-point one.
Tensor converted(const Tensor& x, DType dtype) {
  Tensor y = empty(x.backend(), x.shape, dtype);
  x.backend().map(Map::copy, x.rows(), x.cols(), {x.array()}, {}, 1, 0, y.array());
  return y;
}

}  // namespace

std::int64_t PatchGrid::count(double share) const {
  return static_cast<std::int64_t>(std::round(share * static_cast<double>(patches())));
}

PatchGrid patch_grid(std::int64_t image_size, std::int64_t patch, const char* option) {
  if (patch == 0) patch = image_size >= 224 ? 32 : std::max<std::int64_t>(1, image_size / 8);
  require_usage(patch > 0 && image_size % patch == 0, option, ": patches of ", patch, " pixels do not fill images of ",
                image_size, "; expected a divisor of that");
  return {image_size, patch};
}

std::vector<std::uint8_t> draw_patches(const PatchGrid& grid, std::int64_t count, Random random) {
  const std::int64_t patches = grid.patches();
  require(count >= 0 && count <= patches, "patches: ", count, " of ", patches);
  std::vector<std::int64_t> order(static_cast<std::size_t>(patches));
  std::iota(order.begin(), order.end(), 0);
  std::vector<std::uint8_t> map(order.size(), 0);
  draw_to_front(order, count, random);
  for (std::int64_t i = 0; i < count; ++i) map[static_cast<std::size_t>(order[static_cast<std::size_t>(i)])] = 1;
  return map;
}

Tensor patch_lines(const Tensor& images, const PatchGrid& grid) {
  const Shape& s = images.shape;
  require(s.rank() == 4 && s[1] == grid.size && s[2] == grid.size, "patches: expected images of ", grid.size,
          " pixels, got ", s);
  return reshape(images, {s[0] * s[1] * grid.side(), grid.patch * s[3]});
}

Tensor per_line(const Tensor& per_patch, const PatchGrid& grid) {
  require(per_patch.shape.rank() == 2 && per_patch.cols() == grid.side(), "patches: expected rows of ", grid.side(),
          " patches, got ", per_patch.shape);
  const Tensor repeated = concat(Tensors(static_cast<std::size_t>(grid.patch), per_patch), 1);
  return reshape(repeated, {repeated.size(), 1});
}

Tensor sum_of_lines(const Tensor& lines, const PatchGrid& grid) {
  const std::int64_t side = grid.side(), rows = lines.size() / (grid.patch * side);
  const Tensor sums = sum_cols(transpose(reshape(lines, {rows, grid.patch, side})));
  return reshape(sums, {rows, side});
}

Tensor erase(const Tensor& images, const Tensor& erased, const Tensor& fill, const PatchGrid& grid) {
  const Tensor lines = patch_lines(images, grid);
  Tensor masked = lines * (1 - erased);
  if (fill && fill.shape.rank() == 1) {
    const std::int64_t channels = images.shape[3];
    const Tensor row = reshape(broadcast(fill, {grid.patch, channels}), {grid.patch * channels});
    masked = masked + broadcast(row, lines.shape) * erased;
  } else if (fill) {
    masked = masked + patch_lines(fill, grid);
  }
  return reshape(masked, images.shape);
}

Tensor halves(const Tensor& first, const Tensor& second) { return concat({view(first, 0), view(second, 1)}, 0); }

PatchMasks::PatchMasks(const PatchGrid& grid, std::int64_t erased, bool noise, Backend& backend, std::int64_t channels)
    : grid_(grid), erased_(erased), noise_(noise), backend_(backend), channels_(channels) {}

void PatchMasks::prepare(std::uint64_t seed, const StepContext& context) {
  require(context.images > 0, "patch masks: the step does not say how many images it has");
  std::vector<Key> keys;
  for (std::uint32_t view = 0; view < 2; ++view)
    for (std::int64_t image = 0; image < context.images; ++image)
      keys.push_back(
          {static_cast<std::uint32_t>(context.epoch), static_cast<std::uint64_t>(context.index(image)), view});
  prepare(seed, keys);
}

void PatchMasks::prepare_fixed(std::uint64_t seed, std::int64_t images, std::uint32_t view) {
  std::vector<Key> keys;
  for (std::int64_t image = 0; image < images; ++image) keys.push_back({0, static_cast<std::uint64_t>(image), view});
  prepare(seed, keys);
}

void PatchMasks::prepare(std::uint64_t seed, const std::vector<Key>& keys) {
  const auto images = static_cast<std::int64_t>(keys.size());
  const std::int64_t lines = images * erased_ * grid_.patch, width = channels_ * grid_.patch;
  map_host_.resize(static_cast<std::size_t>(images * grid_.patches()));
  if (noise_) {
    noise_host_.resize(static_cast<std::size_t>((lines + 1) * width));
    std::fill_n(noise_host_.begin() + lines * width, width, 0.0f);
    rows_host_.assign(static_cast<std::size_t>(images * grid_.size * grid_.side()), static_cast<std::int32_t>(lines));
  }
  parallel_for(images, 8, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t image = begin; image < end; ++image) {
      const Key& key = keys[static_cast<std::size_t>(image)];
      const std::vector<std::uint8_t> map =
          draw_patches(grid_, erased_, {seed, Purpose::mask, key.epoch, key.sample, key.view});
      std::copy(map.begin(), map.end(), map_host_.begin() + image * grid_.patches());
      if (noise_) draw_noise(seed, key, image);
    }
  });
  ensure(map_, backend_, {images * grid_.side(), grid_.side()}, DType::u8);
  upload_values(map_, map_host_);
  if (!noise_) return;
  ensure(values_, backend_, {lines + 1, width}, DType::f32);
  ensure(rows_, backend_, {images * grid_.size * grid_.side()}, DType::i32);
  upload_values(values_, noise_host_);
  upload_values(rows_, rows_host_);
}

/// Draws normal values for the erased patches of one image, and sets the rows of their lines.
void PatchMasks::draw_noise(std::uint64_t seed, const Key& key, std::int64_t image) {
  const std::int64_t side = grid_.side(), patch = grid_.patch;
  std::int64_t line = image * erased_ * patch;
  const std::int64_t first = line;
  for (std::int64_t cell = 0; cell < grid_.patches(); ++cell) {
    if (!map_host_[static_cast<std::size_t>(image * grid_.patches() + cell)]) continue;
    for (std::int64_t y = cell / side * patch; y < (cell / side + 1) * patch; ++y)
      rows_host_[static_cast<std::size_t>((image * grid_.size + y) * side + cell % side)] =
          static_cast<std::int32_t>(line++);
  }
  Random random(seed, Purpose::mask, key.epoch, key.sample, key.view + noise_stream);
  const std::int64_t width = channels_ * patch;
  for (std::int64_t i = first * width; i < line * width; i += 2) {
    const auto [one, other] = normal_pair(random);
    noise_host_[static_cast<std::size_t>(i)] = one;
    if (i + 1 < line * width) noise_host_[static_cast<std::size_t>(i + 1)] = other;
  }
}

Tensor PatchMasks::lines(DType dtype) const {
  require(bool(map_), "patch masks: not prepared");
  return per_line(converted(map_, dtype), grid_);
}

Tensor PatchMasks::noise(DType dtype) const {
  if (!noise_) return {};
  const std::int64_t images = map_.rows() / grid_.side();
  const Tensor all = gather_rows(converted(values_, dtype), rows_);
  return reshape(all, {images, grid_.size, grid_.size, channels_});
}

}  // namespace vergence
