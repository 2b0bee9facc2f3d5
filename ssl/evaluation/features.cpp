// Feature extraction: images are prepared by all threads, then encoded, batch by batch.
#include "ssl/evaluation/features.h"

#include <algorithm>

#include "kernels/parallel.h"
#include "kernels/random.h"
#include "ssl/evaluation/streams.h"

namespace vergence {
namespace {

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

/// The same weights as constants: no graph is recorded, activations are dropped.
ResNet as_constants(ResNet encoder) {
  encoder.each([](const std::string&, Tensor& tensor) { tensor = tensor.detached(); });
  return encoder;
}

Pass eval_pass(Statistics& statistics, DType precision) {
  Pass pass;
  pass.training = false;
  pass.running = &statistics;
  pass.activations = precision;
  return pass;
}

}  // namespace

Encode encode_with(const ResNet& encoder, Statistics& statistics, DType precision) {
  return [frozen = as_constants(encoder), pass = eval_pass(statistics, precision)](const Tensor& images) {
    return frozen(images, pass);
  };
}

Encode encode_map_with(const ResNet& encoder, Statistics& statistics, DType precision) {
  return [frozen = as_constants(encoder), pass = eval_pass(statistics, precision)](const Tensor& images) {
    const Tensor map = frozen.feature_map(images, pass);
    return map.dtype == DType::f32 ? map : cast(map, DType::f32);
  };
}

Tensor plain_images(const Dataset& dataset, const std::vector<std::int64_t>& indices, const ExtractSettings& settings,
                    Backend& backend) {
  const std::int64_t size = settings.image_size, pixels = size * size * 3;
  const auto count = static_cast<std::int64_t>(indices.size());
  std::vector<float> images(static_cast<std::size_t>(count * pixels));
  parallel_for(count, 8, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i)
      normalize_image(dataset.image(indices[static_cast<std::size_t>(i)]), dataset.height, dataset.width, size,
                      settings.mean, settings.std, images.data() + i * pixels);
  });
  return from_floats(backend, {count, size, size, 3}, images);
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
