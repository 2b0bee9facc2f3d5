#include "ssl/steps/setup.h"

#include <algorithm>

#include "ssl/options/table.h"
#include "ssl/steps/processors.h"

namespace vergence {

void settle_batch(Options& options, const Dataset& dataset) {
  if (options.batch_chosen) return;
  options.batch_chosen = true;
  const std::int64_t before = options.batch;
  options.batch = std::min(options.batch, std::max<std::int64_t>(2, dataset.count / 2));
  if (options.batch == before) return;
  options.applied.push_back(join("batch of ", options.batch, ", not ", before, ", since ", dataset.name, " ",
                                 dataset.split, " has ", dataset.count, " images: learning rate ",
                                 options.effective_lr(), " (--batch chooses another)"));
}

std::int64_t steps_per_epoch(const Options& options, const Dataset& dataset) {
  require_usage(options.batch <= dataset.count, "--batch: ", options.batch, " is larger than ", dataset.name, " ",
                dataset.split, " with its ", dataset.count, " images");
  return dataset.count / options.batch;
}

int loader_workers(const Options& options, bool computed_here, int processors) {
  if (options.workers > 0) return static_cast<int>(options.workers);
  constexpr int most = 16;
  if (processors == 0) processors = static_cast<int>(own_processors().size());
  return std::clamp(computed_here ? processors / 2 : processors - 1, 1, most);
}

LoaderSettings loader_settings(const Options& options, const Dataset& dataset, const Objective& objective,
                               std::int64_t step, const Sharing& sharing) {
  const std::int64_t steps = steps_per_epoch(options, dataset);
  LoaderSettings settings;
  settings.batch = options.batch;
  settings.rank = sharing.rank;
  settings.ranks = sharing.ranks;
  settings.views = view_settings(options, dataset);
  settings.plain = objective.needs_plain();
  settings.plain_resize =
      options.eval_resize >= 0 ? options.eval_resize : dataset.evaluation_resize(settings.views[0].size);
  settings.fresh = objective.fresh_views();
  settings.seed = static_cast<std::uint64_t>(options.seed);
  settings.workers = loader_workers(options, !backend(options.device.c_str()).traits().beside_host, sharing.processors);
  settings.first_epoch = step / steps;
  settings.first_step = step % steps;
  return settings;
}

DType activations_of(const Options& options, const Backend& backend) {
  if (options.precision == Precision::bf16) return DType::bf16;
  require_usage(options.precision != Precision::tf32 || backend.traits().tf32, "--precision: 'tf32' is not there on ",
                backend.name(), "; expected fp32 or bf16");
  return DType::f32;
}

ObjectiveSetup objective_setup(const Options& options, std::int64_t image_size, Backend& backend, std::int64_t channels,
                               const Ranks& ranks) {
  return {.options = options,
          .encoder = encoder_settings(options, image_size, channels),
          .backend = backend,
          .activations = activations_of(options, backend),
          .ranks = ranks};
}

void require_tunable(const Options& options) {
  require_usage(!options.tune || (options.cpu_conv == CpuConv::automatic && options.conv == CudaConv::automatic),
                "--tune: goes with --cpu-conv auto and --conv auto alone");
  require_usage(!options.tune || !options.deterministic,
                "--tune: not with --deterministic: which algorithm is fastest may change from run to run");
}

KernelChoices kernel_choices(const Options& options) {
  const Precision precision = options.precision;
  require_usage(options.weight_gradients != DType::bf16 || precision == Precision::bf16,
                "--weight-gradients bf16: goes with --precision bf16 alone, not with ",
                option_text(options, "precision"));
  KernelChoices choices;
  choices.cpu_conv = options.cpu_conv;
  choices.cuda_conv = options.conv;
  choices.math = precision == Precision::tf32 ? CudaMath::tf32
                 : precision == Precision::bf16
                     ? CudaMath::tf32_products  // heads and losses: more precise than the encoder
                     : CudaMath::fp32;
  choices.weight_gradients = precision == Precision::bf16 ? options.weight_gradients.value_or(DType::bf16) : DType::f32;
  choices.deterministic = options.deterministic;
  return choices;
}

Backend& device_of(const Options& options) {
  const KernelChoices choices = kernel_choices(options);
  Backend& device = backend(options.device.c_str());
  device.set_choices(choices);
  return device;
}

Backend& device_of(const Options& options, World& world) {
  Backend* device = nullptr;
  world.together([&] { device = &device_of(options); });
  return *device;
}

}  // namespace vergence
