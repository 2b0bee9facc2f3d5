#include "ssl/training/finishing.h"

#include <algorithm>
#include <cstdio>

#include "datasets/loading/batch.h"
#include "engine/io/files.h"
#include "engine/io/safetensors.h"
#include "engine/ops/ops.h"

namespace vergence {

std::optional<Png> save_pictures(const RunSetup& run, const std::string& folder, std::int64_t epoch) {
  const Dataset dataset = run.data.pictured(pictured_images);
  std::vector<std::int64_t> indices;
  const std::int64_t count = std::min(pictured_images, dataset.count);
  for (std::int64_t i = 0; i < count; ++i) indices.push_back(i * dataset.count / count);
  const Pictures pictures = run.objective->pictures(plain_images(dataset, indices, run.judged_images(), run.backend));
  if (!pictures.images) return {};
  create_folders(folder);
  char name[40];
  std::snprintf(name, sizeof name, "/epoch_%04lld.png", static_cast<long long>(epoch));
  Png png = png_of(picture_grid(pictures, run.view.mean, run.view.std));
  write_png(folder + name, png);
  return png;
}

Png picture_of_views(const RunSetup& run, const Views& views) {
  const std::int64_t shown = std::min(pictured_images, views.images());
  const Shape shape = views.both.shape.with(0, shown);
  const auto from_row = [&](std::int64_t row) {
    return cast(part_of(views.both, row * shape.size() / shown, shape), DType::f32);
  };
  const Pictures pairs = side_by_side({from_row(0), from_row(views.images())});
  return png_of(picture_grid(pairs, run.view.mean, run.view.std));
}

Distributions distributions_after(const Step& step, const Objective& objective) {
  Distributions all;
  for (const auto& [name, values] : step.distributions) all.emplace_back(name, values.floats());
  if (const Tensor mask = objective.feature_mask()) all.emplace_back("mask", mask.floats());
  return all;
}

void save_distributions(const std::string& path, const Distributions& distributions) {
  std::vector<TensorEntry> tensors;
  for (const auto& [name, values] : distributions) {
    const auto size = static_cast<std::int64_t>(values.size());
    tensors.push_back({name, "F32", {size}, reinterpret_cast<const std::byte*>(values.data()), 4 * size});
  }
  write_safetensors(path, tensors);
}

namespace {

/// Makes statistics of a rank's own images the plain average over ranks, which have as many each.
void average_over_ranks(Statistics& statistics, const Ranks& ranks) {
  for (auto& [name, running] : statistics.layers) {
    assign(running.mean, ranks.mean(running.mean));
    assign(running.variance, ranks.mean(running.variance));
    running.batches *= ranks.count();
  }
}

}  // namespace

Statistics recalibrated_statistics(const Encoder& encoder, const Dataset& dataset, const ExtractSettings& settings,
                                   const Recalibration& recalibration, Backend& backend, const Sharing& sharing) {
  const Encoder constant = encoder.constant();
  const std::vector<std::int64_t> order = epoch_order(dataset.count, recalibration.seed, recalibration.epoch);
  const std::int64_t batches = std::min(recalibration.batches, dataset.count / settings.batch);
  const std::int64_t own = settings.batch / sharing.ranks, most = recalibration.micro_batch;
  const bool in_parts = most > 0 && settings.batch > most;
  const std::int64_t parts = in_parts ? (own + most - 1) / most : 1;
  Statistics statistics;
  for (std::int64_t i = 0; i < batches * parts; ++i) {
    const auto first = order.begin() + i / parts * settings.batch + sharing.rank * own;
    const std::int64_t part = i % parts;
    const std::vector<std::int64_t> indices(first + own * part / parts, first + own * (part + 1) / parts);
    ForwardMode pass{.running = &statistics,
                     .activations = recalibration.activations,
                     .ranks = in_parts ? nullptr : sharing.tensors.communicator};
    pass.statistics_momentum = 1 / static_cast<double>(i + 1);
    constant.feature_map(plain_images(dataset, indices, settings, backend), pass);
  }
  if (in_parts) average_over_ranks(statistics, sharing.tensors);
  return statistics;
}

Statistics recalibrated_statistics(const RunSetup& run) {
  ExtractSettings settings = run.judged_images();
  settings.batch = run.options.batch;
  return recalibrated_statistics(run.objective->encoder(), run.data.train(), settings,
                                 {.batches = run.objective->recalibration_batches(),
                                  .micro_batch = run.options.micro_batch,
                                  .seed = static_cast<std::uint64_t>(run.options.seed),
                                  .epoch = run.options.epochs,
                                  .activations = run.activations},
                                 run.backend, run.sharing);
}

}  // namespace vergence
