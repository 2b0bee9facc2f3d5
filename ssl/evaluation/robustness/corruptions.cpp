// Applies noise, hue and blur to bytes.
#include "ssl/evaluation/robustness/corruptions.h"

#include <algorithm>
#include <cmath>

#include "kernels/draws.h"
#include "kernels/error.h"
#include "kernels/parallel.h"
#include "kernels/views.h"
#include "ssl/evaluation/features/streams.h"
#include "ssl/evaluation/robustness/changed_bytes.h"

namespace vergence {
namespace {

void add_noise(const std::uint8_t* image, std::int64_t bytes, Random random, std::uint8_t* out) {
  for (std::int64_t i = 0; i < bytes; ++i) {
    const double noisy = image[i] + 255 * noise_deviation * normal(random);
    out[i] = static_cast<std::uint8_t>(std::lround(std::clamp(noisy, 0.0, 255.0)));
  }
}

/// The part of the plan that does not depend on the image.
ViewPlan corruption_plan(Corruption corruption, std::int64_t size) {
  ViewPlan plan;
  plan.jitter = corruption == Corruption::hue;
  plan.blur = corruption == Corruption::blur;
  if (plan.jitter) plan.hue = static_cast<float>(hue_turn);
  if (plan.blur) plan.sigma = static_cast<float>(blur_sigma * static_cast<double>(size));
  return plan;
}

}  // namespace

const char* name_of(Corruption corruption) {
  switch (corruption) {
    case Corruption::noise:
      return "noise";
    case Corruption::hue:
      return "hue";
    case Corruption::blur:
      return "blur";
  }
  return "?";
}

bool has_meaning(Corruption corruption, const Dataset& images) {
  return corruption != Corruption::hue || images.channels == 3;
}

Dataset with_corruption(const Dataset& images, Corruption corruption, std::uint64_t seed) {
  require_usage(images.height == images.width && images.height > 0, images.name,
                ": corruptions need square images, got ", images.height, " x ", images.width);
  require_usage(has_meaning(corruption, images), images.name, ": the corruption ", name_of(corruption),
                " needs images of 3 channels, got ", images.channels);
  const ViewPlan plan = corruption_plan(corruption, images.height);
  const auto split = static_cast<std::uint32_t>(hash_name(images.split));
  Dataset result = images;
  parallel_for(images.count, 16, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      std::uint8_t* out = result.pixels.data() + i * result.image_bytes();
      if (corruption == Corruption::noise)
        add_noise(images.image(i), images.image_bytes(),
                  Random(seed, Purpose::probe, split, static_cast<std::uint64_t>(i), corruption_stream), out);
      else
        apply_to_bytes(plan, images.image(i), images.height, images.channels, out);
    }
  });
  return result;
}

CorruptedFeatures corrupted_features(const Encode& encode, const Dataset& dataset, ExtractSettings extract,
                                     std::uint64_t seed, Backend& backend) {
  const Dataset images = as_seen(dataset, extract);
  extract.resize = -1;  // already done
  CorruptedFeatures features{extract_features(encode, images, extract, backend), {}};
  for (std::size_t i = 0; i < corruptions.size(); ++i)
    if (has_meaning(corruptions[i], images))
      features.changed[i] = extract_features(encode, with_corruption(images, corruptions[i], seed), extract, backend);
  return features;
}

double CorruptionAccuracy::mean_drop() const {
  double drop = 0;
  int measured = 0;
  for (const std::optional<double>& each : changed)
    if (each) drop += clean - *each, ++measured;
  return drop / measured;
}

CorruptionAccuracy corruption_accuracy(const CorruptedFeatures& features,
                                       const std::function<double(const Features&)>& top1) {
  CorruptionAccuracy accuracy{top1(features.clean), {}};
  for (std::size_t i = 0; i < corruptions.size(); ++i)
    if (features.changed[i]) accuracy.changed[i] = top1(*features.changed[i]);
  return accuracy;
}

}  // namespace vergence
