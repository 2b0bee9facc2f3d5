// Extracts features batch by batch: all threads prepare the images, then the encoder runs.
#include "ssl/evaluation/features/features.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <future>
#include <numeric>
#include <omp.h>

#include "datasets/loading/image_reader.h"
#include "engine/text/words.h"
#include "kernels/parallel.h"
#include "kernels/random.h"
#include "ssl/evaluation/features/streams.h"

namespace vergence {
namespace {

/// The random generator for the view of image `index`.
using Draw = std::function<Random(std::int64_t index)>;

void check_channels(const Dataset& dataset, const ExtractSettings& settings) {
  require_usage(dataset.channels == settings.channels, dataset.name, " ", dataset.split, ": images of ",
                counted(dataset.channels, "channel"), ", but the encoder takes ", settings.channels);
}

/// Keeps the values of readable images, `each` per image; returns their number. Without values, does nothing.
template <class T>
std::int64_t keep_readable(std::vector<T>& values, const std::vector<char>& readable, std::int64_t each = 1) {
  if (values.empty()) return 0;
  std::int64_t kept = 0;
  for (std::size_t i = 0; i < readable.size(); ++i)
    if (readable[i]) {
      std::copy_n(values.begin() + static_cast<std::int64_t>(i) * each, each, values.begin() + kept * each);
      ++kept;
    }
  values.resize(static_cast<std::size_t>(kept * each));
  return kept;
}

/// Makes views of the images at `indices`, without gaps for unreadable ones; `readable` records which could be read.
/// Returns the number of views.
std::int64_t make_views(const Dataset& dataset, const ViewSettings& view, const Draw& draw,
                        const std::vector<std::int64_t>& indices, std::vector<float>& images,
                        std::vector<char>& readable) {
  const std::int64_t pixels = view.size * view.size * view.channels;
  const auto count = static_cast<std::int64_t>(indices.size());
  images.resize(static_cast<std::size_t>(count * pixels));
  readable.assign(indices.size(), 0);
  parallel_for(count, 8, [&](std::int64_t low, std::int64_t high) {
    ImageReader reader(dataset);
    for (std::int64_t i = low; i < high; ++i) {
      const std::int64_t index = indices[static_cast<std::size_t>(i)];
      const WantedView wanted{&view, draw(index), images.data() + i * pixels};
      readable[static_cast<std::size_t>(i)] = reader.try_views(index, {&wanted, 1}).has_value();
    }
  });
  return keep_readable(images, readable, pixels);
}

/// Normalized views of some consecutive images, without gaps for unreadable ones.
struct ViewBatch {
  std::vector<float> values;
  std::vector<std::int64_t> images;  // their indices in the data set
};

void each_batch(const Encode& encode, const Dataset& dataset, const std::vector<std::int64_t>& indices,
                const ExtractSettings& settings, const ViewSettings& view, Backend& backend, const Draw& draw,
                const std::function<bool(const FeatureBatch& batch)>& take) {
  const auto count = static_cast<std::int64_t>(indices.size());
  require_usage(count > 0, dataset.name, " ", dataset.split, ": there are no images");
  require(settings.batch > 0, "features: batch is ", settings.batch, ", expected at least 1");
  const auto views_from = [&](std::int64_t begin) {
    const std::int64_t end = std::min(begin + settings.batch, count);
    const std::vector<std::int64_t> wanted(indices.begin() + begin, indices.begin() + end);
    ViewBatch made;
    std::vector<char> readable;
    make_views(dataset, view, draw, wanted, made.values, readable);
    for (std::size_t i = 0; i < wanted.size(); ++i)
      if (readable[i]) made.images.push_back(wanted[i]);
    return made;
  };
  std::future<ViewBatch> next;  // waits when it is destroyed
  for (std::int64_t begin = 0; begin < count; begin += settings.batch) {
    const ViewBatch views = next.valid() ? next.get() : views_from(begin);
    FeatureBatch batch{{0, dataset.classes, {}, {}}, views.images, std::min(begin + settings.batch, count)};
    if (settings.workers > 0 && batch.end < count)
      next = std::async(std::launch::async, [&, from = batch.end] {
        omp_set_num_threads(static_cast<int>(settings.workers));  // of this thread's loops
        return views_from(from);
      });
    if (const auto made = static_cast<std::int64_t>(views.images.size()); made > 0) {
      const Tensor output = encode(from_floats(backend, {made, view.size, view.size, view.channels}, views.values));
      require(output.shape.rank() == 2 && output.shape[0] == made, "features: the encoder made ", output.shape, " of ",
              made, " images");
      batch.features.dim = output.shape[1];
      batch.features.values = output.floats();
    }
    if (!dataset.labels.empty())
      for (const std::int64_t index : batch.images) batch.features.labels.push_back(dataset.label(index));
    const bool goes_on = take(batch);
    if (settings.progress) settings.progress(batch.end, count);
    if (!goes_on) return;
  }
}

Features extract(const Encode& encode, const Dataset& dataset, const std::vector<std::int64_t>& indices,
                 const ExtractSettings& settings, const ViewSettings& view, Backend& backend, const Draw& draw) {
  Features features{0, dataset.classes, {}, {}};
  each_batch(encode, dataset, indices, settings, view, backend, draw, [&](const FeatureBatch& batch) {
    const Features& some = batch.features;
    if (some.dim > 0) features.dim = some.dim;
    if (features.values.empty()) features.values.reserve(indices.size() * static_cast<std::size_t>(some.dim));
    features.values.insert(features.values.end(), some.values.begin(), some.values.end());
    features.labels.insert(features.labels.end(), some.labels.begin(), some.labels.end());
    return true;
  });
  require_usage(features.rows() > 0 || settings.may_be_none, dataset.name, " ", dataset.split, ": none of the ",
                indices.size(), " images can be read");
  return features;
}

std::vector<std::int64_t> all_images(const Dataset& dataset) {
  std::vector<std::int64_t> indices(static_cast<std::size_t>(dataset.count));
  std::iota(indices.begin(), indices.end(), std::int64_t{0});
  return indices;
}

/// The view with the size, channels and normalization that the encoder takes.
ViewSettings as_encoder_takes(ViewSettings view, const Dataset& dataset, const ExtractSettings& settings) {
  check_channels(dataset, settings);
  view.size = settings.image_size;
  view.channels = settings.channels;
  view.mean = settings.mean;
  view.std = settings.std;
  check_view_settings(view, "probe view");
  return view;
}

/// Of views that use no randomness.
Random no_draw(std::int64_t) { return Random(0, Purpose::view); }

Draw view_draw(std::uint64_t seed, std::int64_t epoch) {
  return [=](std::int64_t index) {
    return Random(seed, Purpose::probe, static_cast<std::uint32_t>(epoch), static_cast<std::uint64_t>(index),
                  view_stream);
  };
}

ForwardMode eval_pass(Statistics& statistics, DType precision) {
  ForwardMode pass;
  pass.training = false;
  pass.running = &statistics;
  pass.activations = precision;
  return pass;
}

}  // namespace

Encode encode_with(const Encoder& encoder, Statistics& statistics, DType precision) {
  return [frozen = encoder.constant(), pass = eval_pass(statistics, precision)](const Tensor& images) {
    return frozen(images, pass);
  };
}

Encode encode_map_with(const Encoder& encoder, Statistics& statistics, DType precision) {
  return encode_stage_with(encoder, statistics, precision, encoder.stages());
}

Encode encode_stage_with(const Encoder& encoder, Statistics& statistics, DType precision, std::int64_t stage) {
  return [frozen = encoder.constant(), pass = eval_pass(statistics, precision), stage](const Tensor& images) {
    const Tensor map = frozen.stage_map(images, pass, stage);
    return map.dtype == DType::f32 ? map : cast(map, DType::f32);
  };
}

ViewSettings plain_view(const Dataset& dataset, const ExtractSettings& settings) {
  const std::int64_t size = settings.image_size;
  const std::int64_t resize = settings.resize >= 0 ? settings.resize : dataset.evaluation_resize(size);
  check_channels(dataset, settings);
  const ViewSettings view = ViewSettings::plain(size, resize, settings.mean, settings.std, settings.channels);
  check_view_settings(view, "evaluation");
  return view;
}

Dataset in_memory(const Dataset& dataset, const ExtractSettings& settings) {
  return dataset.source ? as_seen(dataset, settings) : dataset;
}

Dataset as_seen(const Dataset& dataset, const ExtractSettings& settings) {
  ExtractSettings raw = settings;
  raw.mean = every_channel(0);
  raw.std = every_channel(1);
  const ViewSettings view = plain_view(dataset, raw);
  const std::int64_t size = settings.image_size, values = size * size * settings.channels;
  const bool same = dataset.height == size && dataset.width == size && (view.resize == 0 || view.resize == size);
  if (!dataset.source && same) return dataset;
  std::vector<char> readable(static_cast<std::size_t>(dataset.count), 0);
  Dataset copy = dataset;
  copy.source = nullptr;
  copy.zoom = 1;
  copy.height = copy.width = size;
  copy.pixels.resize(static_cast<std::size_t>(dataset.count * values));
  parallel_for(dataset.count, 8, [&](std::int64_t begin, std::int64_t end) {
    ImageReader reader(dataset);
    std::vector<float> image(static_cast<std::size_t>(values));
    for (std::int64_t i = begin; i < end; ++i) {
      const WantedView wanted{&view, Random(0, Purpose::view), image.data()};
      readable[static_cast<std::size_t>(i)] = reader.try_views(i, {&wanted, 1}).has_value();
      std::transform(image.begin(), image.end(), copy.pixels.begin() + i * values,
                     [](float x) { return static_cast<std::uint8_t>(std::lround(255 * x)); });
    }
  });
  copy.count = keep_readable(copy.pixels, readable, values);
  keep_readable(copy.labels, readable);
  return copy;
}

Tensor plain_images(const Dataset& dataset, const std::vector<std::int64_t>& indices, const ExtractSettings& settings,
                    Backend& backend) {
  const std::int64_t size = settings.image_size, pixels = size * size * settings.channels;
  const auto count = static_cast<std::int64_t>(indices.size());
  const ViewSettings view = plain_view(dataset, settings);
  std::vector<float> images(static_cast<std::size_t>(count * pixels));
  parallel_for(count, 8, [&](std::int64_t begin, std::int64_t end) {
    ImageReader reader(dataset);
    for (std::int64_t i = begin; i < end; ++i) {
      const WantedView wanted{&view, Random(0, Purpose::view), images.data() + i * pixels};
      reader.make_views_or_next(indices[static_cast<std::size_t>(i)], {&wanted, 1});
    }
  });
  return from_floats(backend, {count, size, size, settings.channels}, images);
}

Features extract_features(const Encode& encode, const Dataset& dataset, const ExtractSettings& settings,
                          Backend& backend) {
  return extract_features(encode, dataset, all_images(dataset), settings, backend);
}

Features extract_features(const Encode& encode, const Dataset& dataset, const std::vector<std::int64_t>& indices,
                          const ExtractSettings& settings, Backend& backend) {
  return extract(encode, dataset, indices, settings, plain_view(dataset, settings), backend, no_draw);
}

void extract_batches(const Encode& encode, const Dataset& dataset, const std::vector<std::int64_t>& indices,
                     const ExtractSettings& settings, Backend& backend,
                     const std::function<bool(const FeatureBatch& batch)>& take) {
  each_batch(encode, dataset, indices, settings, plain_view(dataset, settings), backend, no_draw, take);
}

Features extract_view_features(const Encode& encode, const Dataset& dataset, const ExtractSettings& settings,
                               ViewSettings view, std::uint64_t seed, std::int64_t epoch, Backend& backend) {
  return extract(encode, dataset, all_images(dataset), settings, as_encoder_takes(view, dataset, settings), backend,
                 view_draw(seed, epoch));
}

LabeledViews labeled_views(const Dataset& dataset, const std::vector<std::int64_t>& indices,
                           const ExtractSettings& settings, const ViewSettings& view, std::uint64_t seed,
                           std::int64_t epoch, Backend& backend) {
  LabeledViews views;
  for (const std::int64_t index : indices) views.labels.push_back(dataset.label(index));
  std::vector<float> images;
  std::vector<char> readable;
  const std::int64_t made =
      make_views(dataset, as_encoder_takes(view, dataset, settings), view_draw(seed, epoch), indices, images, readable);
  require_usage(made > 0, dataset.name, " ", dataset.split, ": none of the ", indices.size(),
                " images of a batch can be read");
  keep_readable(views.labels, readable);
  views.images = from_floats(backend, {made, settings.image_size, settings.image_size, settings.channels}, images);
  return views;
}

ViewSettings probe_view() {
  ViewSettings view;
  view.jitter_p = view.gray_p = view.blur_p = view.solarize_p = 0;
  return view;
}

}  // namespace vergence
