// Feature extraction: images are prepared by all threads, then encoded, batch by batch.
#include "ssl/evaluation/features.h"

#include <algorithm>

#include "kernels/parallel.h"
#include "kernels/random.h"

namespace vergence {
namespace {

constexpr std::uint32_t view_stream = 2;  // of Purpose::probe; 0 and 1 are the probe's order and weights

/// Writes image `index` of the data set, normalised, to `out`.
using Prepare = std::function<void(std::int64_t index, float* out)>;

Features extract(const Encode& encode, const Dataset& dataset, const ExtractSettings& settings, Backend& backend,
                 const Prepare& prepare) {
  require_usage(dataset.count > 0, dataset.name, " ", dataset.split, ": there are no images");
  require_usage(dataset.classes > 0 && !dataset.labels.empty(), dataset.name, " ", dataset.split,
                ": there are no labels, which this evaluation needs");
  require(settings.batch > 0, "features: batch is ", settings.batch, ", expected at least 1");
  const std::int64_t size = settings.image_size, pixels = size * size * 3;
  Features features{0, dataset.classes, {}, dataset.labels};
  std::vector<float> images;
  for (std::int64_t begin = 0; begin < dataset.count; begin += settings.batch) {
    const std::int64_t count = std::min(settings.batch, dataset.count - begin);
    images.resize(static_cast<std::size_t>(count * pixels));
    parallel_for(count, 8, [&](std::int64_t low, std::int64_t high) {
      for (std::int64_t i = low; i < high; ++i) prepare(begin + i, images.data() + i * pixels);
    });
    const Tensor batch = from_floats(backend, {count, size, size, 3}, images);
    const Tensor output = encode(batch);
    require(output.shape.rank() == 2 && output.shape[0] == count, "features: the encoder made ", output.shape, " of ",
            count, " images");
    const std::vector<float> values = output.floats();
    features.dim = output.shape[1];
    if (begin == 0) features.values.reserve(static_cast<std::size_t>(dataset.count * features.dim));
    features.values.insert(features.values.end(), values.begin(), values.end());
  }
  return features;
}

}  // namespace

Encode encode_with(const ResNet& encoder, Statistics& statistics, DType precision) {
  ResNet frozen = encoder;  // the same weights without their history: no graph is recorded, activations are dropped
  frozen.each([](const std::string&, Tensor& tensor) { tensor = tensor.detached(); });
  return [frozen, &statistics, precision](const Tensor& images) {
    Pass pass;
    pass.training = false;
    pass.running = &statistics;
    pass.activations = precision;
    return frozen(images, pass);
  };
}

Features extract_features(const Encode& encode, const Dataset& dataset, const ExtractSettings& settings,
                          Backend& backend) {
  return extract(encode, dataset, settings, backend, [&](std::int64_t index, float* out) {
    normalize_image(dataset.image(index), dataset.height, dataset.width, settings.image_size, settings.mean,
                    settings.std, out);
  });
}

Features extract_view_features(const Encode& encode, const Dataset& dataset, const ExtractSettings& settings,
                               ViewSettings view, std::uint64_t seed, std::int64_t epoch, Backend& backend) {
  view.size = settings.image_size;
  view.mean = settings.mean;
  view.std = settings.std;
  check_view_settings(view, "probe view");
  return extract(encode, dataset, settings, backend, [&](std::int64_t index, float* out) {
    const Random random(seed, Purpose::probe, static_cast<std::uint32_t>(epoch), static_cast<std::uint64_t>(index),
                        view_stream);
    make_view(dataset.image(index), dataset.height, dataset.width, view, random, out);
  });
}

ViewSettings probe_view() {
  ViewSettings view;
  view.jitter_p = view.grey_p = view.blur_p = view.solarise_p = 0;
  return view;
}

}  // namespace vergence
