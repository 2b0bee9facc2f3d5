// Applies the nuisances rotation, hue and crop to bytes.
#include "ssl/evaluation/robustness/nuisance.h"

#include <algorithm>
#include <vector>

#include "kernels/error.h"
#include "kernels/parallel.h"
#include "kernels/random.h"
#include "kernels/views.h"
#include "ssl/evaluation/features/streams.h"
#include "ssl/evaluation/robustness/changed_bytes.h"

namespace vergence {
namespace {

/// `image` and `out`: size x size x channels bytes.
void rotate(const std::uint8_t* image, std::int64_t size, std::int64_t channels, std::int32_t quarters,
            std::uint8_t* out) {
  const std::int64_t last = size - 1;
  for (std::int64_t y = 0; y < size; ++y)
    for (std::int64_t x = 0; x < size; ++x) {
      const std::int64_t from_y = quarters == 0 ? y : quarters == 1 ? x : quarters == 2 ? last - y : last - x;
      const std::int64_t from_x = quarters == 0 ? x : quarters == 1 ? last - y : quarters == 2 ? last - x : y;
      std::copy_n(image + (from_y * size + from_x) * channels, channels, out + (y * size + x) * channels);
    }
}

/// Requires images in color.
void shift_hue(const std::uint8_t* image, std::int64_t size, std::int32_t quarters, std::uint8_t* out) {
  ViewPlan plan;
  plan.jitter = true;
  plan.hue = 0.25f * static_cast<float>(quarters);
  if (plan.hue > 0.5f) plan.hue -= 1;
  apply_to_bytes(plan, image, size, 3, out);
}

/// `out`: (size / 2) x (size / 2) x channels bytes.
void take_quarter(const std::uint8_t* image, std::int64_t size, std::int64_t channels, std::int32_t which,
                  std::uint8_t* out) {
  const std::int64_t side = size / 2, top = which / 2 == 0 ? 0 : size - side, left = which % 2 == 0 ? 0 : size - side;
  for (std::int64_t y = 0; y < side; ++y)
    std::copy_n(image + ((top + y) * size + left) * channels, side * channels, out + y * side * channels);
}

}  // namespace

const char* name_of(Nuisance nuisance) {
  switch (nuisance) {
    case Nuisance::rotation:
      return "rotation";
    case Nuisance::hue:
      return "hue";
    case Nuisance::crop:
      return "crop";
  }
  return "?";
}

bool has_meaning(Nuisance nuisance, const Dataset& images) { return nuisance != Nuisance::hue || images.channels == 3; }

Dataset with_nuisance(const Dataset& images, Nuisance nuisance, std::uint64_t seed) {
  require_usage(images.height == images.width && images.height >= 2, images.name,
                ": nuisance probes need square images of at least 2 x 2, got ", images.height, " x ", images.width);
  require_usage(has_meaning(nuisance, images), images.name, ": the nuisance ", name_of(nuisance),
                " needs images of 3 channels, got ", images.channels);
  const std::int64_t size = images.height;
  Dataset result = images;
  result.zoom = 1;
  result.classes = nuisance_classes;
  result.height = result.width = nuisance == Nuisance::crop ? size / 2 : size;
  result.labels.resize(static_cast<std::size_t>(images.count));
  result.pixels.resize(static_cast<std::size_t>(images.count * result.image_bytes()));
  const auto split = static_cast<std::uint32_t>(hash_name(images.split));
  parallel_for(images.count, 16, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      Random random(seed, Purpose::probe, split, static_cast<std::uint64_t>(i), nuisance_stream);
      const auto which = static_cast<std::int32_t>(random.below(nuisance_classes));
      result.labels[static_cast<std::size_t>(i)] = which;
      std::uint8_t* out = result.pixels.data() + i * result.image_bytes();
      if (nuisance == Nuisance::rotation) rotate(images.image(i), size, images.channels, which, out);
      if (nuisance == Nuisance::hue) shift_hue(images.image(i), size, which, out);
      if (nuisance == Nuisance::crop) take_quarter(images.image(i), size, images.channels, which, out);
    }
  });
  return result;
}

double nuisance_accuracy(const Encode& encode, const Dataset& train, const Dataset& test, Nuisance nuisance,
                         const ExtractSettings& extract, const ProbeSettings& probe, Backend& backend) {
  const auto features = [&](const Dataset& images) {
    return extract_features(encode, with_nuisance(images, nuisance, probe.seed), extract, backend);
  };
  return probe_accuracy(train_probe(features(train), probe, backend), features(test), backend).top1;
}

}  // namespace vergence
