// The dense probe. Upsampling commutes with a 1x1 convolution, so it upsamples the logits, not the maps.
#include "ssl/evaluation/probes/dense.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "engine/ops/ops.h"
#include "engine/tensor.h"
#include "kernels/error.h"
#include "ssl/evaluation/features/streams.h"
#include "ssl/evaluation/probes/fit.h"
#include "ssl/evaluation/probes/standardize.h"

namespace vergence {
namespace {

/// [size * size, height * width]: the weight of every map cell in every pixel of the image.
Tensor enlargement(const LabeledMaps& maps, Backend& backend) {
  const std::vector<double> rows = bilinear_weights(maps.height, maps.size),
                            cols = bilinear_weights(maps.width, maps.size);
  std::vector<float> weights;
  for (std::int64_t y = 0; y < maps.size; ++y)
    for (std::int64_t x = 0; x < maps.size; ++x)
      for (std::int64_t h = 0; h < maps.height; ++h)
        for (std::int64_t w = 0; w < maps.width; ++w)
          weights.push_back(static_cast<float>(rows[static_cast<std::size_t>(y * maps.height + h)] *
                                               cols[static_cast<std::size_t>(x * maps.width + w)]));
  return from_floats(backend, {maps.size * maps.size, maps.height * maps.width}, weights);
}

/// Maps [count, cells, dim] -> logits per pixel [count * pixels, classes].
Tensor pixel_logits(const Tensor& maps, const Tensor& weight, const Tensor& bias, const Tensor& enlargement) {
  const std::int64_t count = maps.shape[0], cells = maps.shape[1], classes = weight.shape[0];
  const std::int64_t pixels = enlargement.shape[0];
  const Tensor coarse = linear(reshape(maps, {count * cells, maps.shape[2]}), weight, bias);
  const Tensor planes = reshape(transpose(reshape(coarse, {count, cells, classes})), {count * classes, cells});
  const Tensor fine = matmul(planes, enlargement, false, true);
  return reshape(transpose(reshape(fine, {count, classes, pixels})), {count * pixels, classes});
}

void check_maps(const LabeledMaps& maps) {
  require(maps.images > 0 && maps.classes > 1 && maps.size > 0 &&
              static_cast<std::int64_t>(maps.values.size()) == maps.images * maps.height * maps.width * maps.dim &&
              static_cast<std::int64_t>(maps.labels.size()) == maps.images * maps.size * maps.size,
          "dense probe: ", maps.images, " maps of ", maps.height, " x ", maps.width, " x ", maps.dim, " have ",
          maps.values.size(), " values and ", maps.labels.size(), " labeled pixels");
  require_usage(std::all_of(maps.values.begin(), maps.values.end(), [](float v) { return std::isfinite(v); }),
                "dense probe: the encoder's feature maps are not all finite numbers");
}

/// The maps and masks of images begin ... begin + count - 1.
LabeledMaps maps_of(const Encode& encode_map, const Dataset& images, const std::vector<std::uint8_t>& masks,
                    std::int64_t begin, std::int64_t count, const ExtractSettings& extract, Backend& backend) {
  LabeledMaps maps;
  maps.images = count;
  maps.size = images.height;
  maps.classes = 2;
  for (std::int64_t done = 0; done < count; done += extract.batch) {
    std::vector<std::int64_t> indices(static_cast<std::size_t>(std::min(extract.batch, count - done)));
    std::iota(indices.begin(), indices.end(), begin + done);
    const Tensor map = encode_map(plain_images(images, indices, extract, backend));
    require(map.shape.rank() == 4, "dense probe: the encoder made ", map.shape, ", expected feature maps");
    maps.height = map.shape[1], maps.width = map.shape[2], maps.dim = map.shape[3];
    const std::vector<float> values = map.floats();
    maps.values.insert(maps.values.end(), values.begin(), values.end());
  }
  const std::int64_t pixels = maps.size * maps.size;
  for (std::int64_t i = begin * pixels; i < (begin + count) * pixels; ++i)
    maps.labels.push_back(masks[static_cast<std::size_t>(i)] >= 128);
  return maps;
}

/// Requires that the encoder sees whole images, since a mask covers the whole image.
void expect_whole_images(const Dataset& images, const ExtractSettings& extract) {
  const ViewSettings view = plain_view(images, extract);
  require_usage(view.resize == 0 || view.resize == view.size, "dense probe: images are resized to ", view.resize,
                " and cut to ", view.size, ", but masks are of whole ones: expected --eval-resize 0");
}

}  // namespace

std::vector<double> bilinear_weights(std::int64_t from, std::int64_t to) {
  require(from > 0 && to > 0, "bilinear weights: from ", from, " to ", to, " values, expected at least one of each");
  std::vector<double> weights(static_cast<std::size_t>(to * from));
  for (std::int64_t i = 0; i < to; ++i) {
    const double place = (static_cast<double>(i) + 0.5) * static_cast<double>(from) / static_cast<double>(to) - 0.5;
    const double inside = std::clamp(place, 0.0, static_cast<double>(from - 1));
    const auto left = static_cast<std::int64_t>(inside);
    const std::int64_t right = std::min(left + 1, from - 1);
    const double share = inside - static_cast<double>(left);
    weights[static_cast<std::size_t>(i * from + left)] += 1 - share;
    weights[static_cast<std::size_t>(i * from + right)] += share;
  }
  return weights;
}

LinearClassifier train_dense(const LabeledMaps& train, const DenseSettings& settings, Backend& backend) {
  check_maps(train);
  const std::int64_t cells = train.height * train.width, pixels = train.size * train.size;
  const Standardization scale(train.values, train.dim);
  const Tensor maps = from_floats(backend, {train.images, cells, train.dim}, scale.apply(train.values));
  const Tensor fine = enlargement(train, backend);
  Tensor weight = zeros(backend, {train.classes, train.dim}), bias = zeros(backend, {train.classes});
  const ParameterSet parameters({{"weight", &weight}, {"bias", &bias}});
  FitSettings fitting = adam_fit(settings.epochs, settings.lr, settings.final_lr);
  fitting.batch = settings.batch;
  fitting.seed = settings.seed;
  fitting.stream = dense_stream;
  Fit fit(parameters, fitting);
  const auto loss = [&](const std::vector<std::int32_t>& chosen) {
    std::vector<std::int32_t> targets;
    for (std::int32_t i : chosen)
      targets.insert(targets.end(), train.labels.begin() + i * pixels, train.labels.begin() + (i + 1) * pixels);
    const Tensor logits = pixel_logits(gather_rows(maps, from_indices(backend, chosen)), weight, bias, fine);
    return cross_entropy(logits, from_indices(backend, targets));
  };
  for (std::int64_t epoch = 0; epoch < settings.epochs; ++epoch) fit.epoch(epoch, train.images, loss);
  std::vector<double> point = weight.detached().values();
  const std::vector<double> biases = bias.detached().values();
  point.insert(point.end(), biases.begin(), biases.end());
  return scale.unapply(point, train.classes);
}

std::vector<std::int32_t> predict_pixels(const LinearClassifier& classifier, const LabeledMaps& maps,
                                         Backend& backend) {
  check_maps(maps);
  require(maps.dim == classifier.dim && maps.classes == classifier.classes, "dense probe: maps of ", maps.dim,
          " channels and ", maps.classes, " classes, the probe has ", classifier.dim, " and ", classifier.classes);
  const std::int64_t classes = classifier.classes;
  const Tensor values =
      from_floats(backend, {maps.images, maps.height * maps.width, maps.dim}, classifier.centered(maps.values));
  const Tensor weight = from_floats(backend, {classes, classifier.dim}, classifier.weight);
  const Tensor bias = from_floats(backend, {classes}, classifier.bias);
  const std::vector<float> logits = pixel_logits(values, weight, bias, enlargement(maps, backend)).floats();
  std::vector<std::int32_t> predicted;
  for (auto row = logits.begin(); row != logits.end(); row += classes)
    predicted.push_back(static_cast<std::int32_t>(std::max_element(row, row + classes) - row));
  return predicted;
}

void Confusion::add(const std::vector<std::int32_t>& predicted, const std::vector<std::int32_t>& truth) {
  require(predicted.size() == truth.size(), "confusion: ", predicted.size(), " predictions for ", truth.size(),
          " pixels");
  for (std::size_t i = 0; i < truth.size(); ++i) {
    require(truth[i] >= 0 && truth[i] < classes_ && predicted[i] >= 0 && predicted[i] < classes_, "confusion: class ",
            truth[i], " and prediction ", predicted[i], ", expected 0 to ", classes_ - 1);
    ++counts_[static_cast<std::size_t>(truth[i] * classes_ + predicted[i])];
  }
}

double Confusion::intersection_over_union(std::int64_t which) const {
  std::int64_t any = -count(which, which);
  for (std::int64_t other = 0; other < classes_; ++other) any += count(which, other) + count(other, which);
  if (any == 0) return std::numeric_limits<double>::quiet_NaN();
  return 100 * static_cast<double>(count(which, which)) / static_cast<double>(any);
}

double Confusion::mean_intersection_over_union() const {
  double total = 0, counted = 0;
  for (std::int64_t c = 0; c < classes_; ++c)
    if (const double value = intersection_over_union(c); !std::isnan(value)) total += value, ++counted;
  return counted > 0 ? total / counted : std::numeric_limits<double>::quiet_NaN();
}

Confusion dense_probe(const Encode& encode_map, const LayeredSplit& train, const LayeredSplit& test,
                      std::int64_t train_limit, std::int64_t test_limit, const ExtractSettings& extract,
                      const DenseSettings& settings, Backend& backend) {
  const Dataset fitted = train.render(ImageVersion::full, train_limit);
  const Dataset judged = test.render(ImageVersion::full, test_limit);
  expect_whole_images(judged, extract);
  const LinearClassifier classifier = train_dense(
      maps_of(encode_map, fitted, train.masks(train_limit), 0, fitted.count, extract, backend), settings, backend);
  const std::vector<std::uint8_t> masks = test.masks(test_limit);
  Confusion confusion(2);
  for (std::int64_t begin = 0; begin < judged.count; begin += extract.batch) {
    const std::int64_t count = std::min(extract.batch, judged.count - begin);
    const LabeledMaps maps = maps_of(encode_map, judged, masks, begin, count, extract, backend);
    confusion.add(predict_pixels(classifier, maps, backend), maps.labels);
  }
  return confusion;
}

}  // namespace vergence
