#include "ssl/evaluation/finetune/finetune.h"

#include <algorithm>
#include <cmath>

#include "engine/ops/ops.h"
#include "kernels/error.h"
#include "ssl/evaluation/features/streams.h"
#include "ssl/evaluation/sampling/subset.h"

namespace vergence {
namespace {

/// A copy in its own memory: training writes into the statistics' tensors.
Statistics own_copy(const Statistics& statistics) {
  Statistics copy = statistics;
  for (auto& [name, layer] : copy.layers) layer.mean = clone(layer.mean), layer.variance = clone(layer.variance);
  return copy;
}

OptimizerSettings sgd_of(const FinetuneSettings& settings) {
  return {.kind = OptimizerKind::sgd, .momentum = settings.momentum, .weight_decay = settings.weight_decay};
}

ScheduleSettings half_cosine(double rate, const FinetuneSettings& settings, std::int64_t steps_per_epoch) {
  return {.kind = ScheduleKind::cosine, .base = rate, .epochs = settings.epochs, .steps_per_epoch = steps_per_epoch};
}

/// The batches of an epoch over this many images, without a last one that is too small.
std::int64_t batches_of(std::int64_t images, std::int64_t batch) {
  return images / batch + (images % batch >= least_finetune_batch ? 1 : 0);
}

}  // namespace

FinetuneSettings default_finetune(std::int64_t percent) {
  FinetuneSettings settings;
  if (percent <= 1) {
    settings.epochs = 60;
    settings.lr = 0.01;
  } else if (percent < 100) {
    settings.lr = 0.03;
  }
  return settings;
}

void check_finetune(const FinetuneSettings& settings) {
  const auto require_above_zero = [](double value, const char* name) {
    require_usage(std::isfinite(value) && value > 0, "--", name, ": ", value, ", expected a number above 0");
  };
  require_above_zero(static_cast<double>(settings.epochs), "epochs");
  require_above_zero(static_cast<double>(settings.batch), "batch");
  require_above_zero(settings.head_lr, "head-lr");
  require_usage(std::isfinite(settings.lr) && settings.lr >= 0, "--lr: ", settings.lr, ", expected 0 or more");
  require_usage(settings.momentum >= 0 && settings.momentum < 1, "--momentum: ", settings.momentum,
                ", expected 0 or more, below 1");
  require_usage(std::isfinite(settings.weight_decay) && settings.weight_decay >= 0,
                "--weight-decay: ", settings.weight_decay, ", expected 0 or more");
}

FinetuneSteps::FinetuneSteps(const Pretrained& start, const LinearClassifier& head, const FinetuneSettings& settings,
                             std::int64_t steps_per_epoch, Backend& backend)
    : settings_(settings),
      precision_(start.precision),
      encoder_(start.encoder),
      statistics_(own_copy(start.statistics)),
      dim_(head.dim),
      classes_(head.classes),
      weight_(from_floats(backend, {classes_, dim_}, head.weight)),
      bias_(from_floats(backend, {classes_}, head.bias)),
      fit_(ParameterSet(parameters_of(encoder_), Role::trainable, precision_),
           {.optimizer = sgd_of(settings),
            .rate = half_cosine(settings.lr, settings, steps_per_epoch),
            .batch = settings.batch,
            .min_rows = std::min(settings.batch, least_finetune_batch),
            .seed = settings.seed,
            .stream = order_stream}) {
  fit_.also(ParameterSet({{"weight", &weight_}, {"bias", &bias_}}), sgd_of(settings),
            half_cosine(settings.head_lr, settings, steps_per_epoch));
}

double FinetuneSteps::epoch(std::int64_t number, std::int64_t rows, const Batch& batch) {
  ForwardMode pass;
  pass.running = &statistics_;
  pass.activations = precision_;
  const double loss = fit_.epoch(number, rows, [&](const std::vector<std::int32_t>& chosen) {
    const LabeledViews views = batch(chosen);
    const Tensor logits = linear(encoder_(views.images, pass), weight_, bias_);
    return cross_entropy(logits, from_indices(weight_.backend(), views.labels));
  });
  if (!std::isfinite(loss))
    throw NotFinite(
        join("fine-tuning: the loss is not finite in epoch ", number + 1, "; smaller learning rates may help"));
  return loss;
}

Finetuned FinetuneSteps::result() const {
  return {encoder_, statistics_, {dim_, classes_, weight_.floats(), bias_.floats(), {}}};
}

Finetuned finetune(const Pretrained& start, const Dataset& train, const std::vector<std::int64_t>& images,
                   const ExtractSettings& extract, const FinetuneSettings& settings, Backend& backend,
                   const ProbeProgress& progress) {
  check_finetune(settings);
  require(!images.empty(), "fine-tuning: there are no images");
  const auto count = static_cast<std::int64_t>(images.size());
  FinetuneSettings own = settings;
  own.batch = std::min(own.batch, count);
  const LinearClassifier head = initial_classifier(start.encoder.settings().dim(), train.classes, own.seed);
  FinetuneSteps steps(start, head, own, batches_of(count, own.batch), backend);
  for (std::int64_t epoch = 0; epoch < own.epochs; ++epoch) {
    const double loss = steps.epoch(epoch, count, [&](const std::vector<std::int32_t>& rows) {
      return labeled_views(train, values_at(images, {rows.begin(), rows.end()}), extract, probe_view(), own.seed, epoch,
                           backend);
    });
    if (progress) progress(epoch + 1, loss);
  }
  return steps.result();
}

std::vector<Trial> finetune_trials(std::optional<double> head_lr) {
  std::vector<Trial> trials;
  const std::vector<double> heads = head_lr ? std::vector<double>{*head_lr} : std::vector<double>{0.03, 0.3};
  for (const double lr : {0.003, 0.01, 0.03, 0.1, 0.3})
    for (const double head : heads) trials.push_back({{"lr", lr}, {"head_lr", head}});
  return trials;
}

FinetuneSettings with_rates(FinetuneSettings settings, const Trial& trial) {
  for (const auto& [name, value] : trial) (name == "lr" ? settings.lr : settings.head_lr) = value;
  return settings;
}

Sweep sweep_finetune(const Pretrained& start, const Dataset& train, const std::vector<std::int64_t>& images,
                     const ExtractSettings& extract, const FinetuneSettings& settings, const std::vector<Trial>& trials,
                     Backend& backend, const TrialShown& show) {
  const HeldOutTenth split = hold_out_tenth(values_at(train.labels, images));
  const std::vector<std::int64_t> kept = values_at(images, split.kept), held_out = values_at(images, split.held_out);
  return try_all(
      trials, static_cast<std::int64_t>(held_out.size()),
      [&](const Trial& trial) {
        Finetuned tuned = finetune(start, train, kept, extract, with_rates(settings, trial), backend);
        const Encode encode = encode_with(tuned.encoder, tuned.statistics, start.precision);
        const Features features = extract_features(encode, train, held_out, extract, backend);
        return probe_accuracy(tuned.head, features, backend).top1;
      },
      show);
}

}  // namespace vergence
