// Costs and schedule of a run, from its options and the size of its data set.
#include "ssl/steps/plan.h"

#include <algorithm>
#include <iomanip>
#include <sstream>

#include "datasets/loading/device_images.h"
#include "datasets/loading/loader.h"

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

Schedule make_schedule(const Options& options, std::int64_t steps_per_epoch) {
  ScheduleSettings settings;
  settings.kind = schedule_kind(options.schedule);
  settings.base = options.effective_lr();
  settings.epochs = options.epochs;
  settings.steps_per_epoch = steps_per_epoch;
  settings.warmup_epochs = options.warmup_epochs;
  settings.start = options.warmup_start;
  settings.milestones = options.step_epochs;
  settings.factor = options.step_factor;
  return Schedule(settings);
}

Plan make_plan(const Options& options, const Dataset& dataset, const Objective& objective, const Backend& backend) {
  Plan plan;
  plan.step = objective.cost(options.batch);
  plan.images = dataset.count;
  plan.steps_per_epoch = steps_per_epoch(options, dataset);
  plan.steps = plan.steps_per_epoch * options.epochs;
  plan.effective_lr = options.effective_lr();
  const std::int64_t size = options.image_size ? options.image_size : dataset.view_size();
  const std::int64_t sets =
      2 + (objective.needs_plain() ? 1 : 0) + (objective.fresh_views() == FreshViews::none ? 0 : 2);
  const std::int64_t batch_bytes =
      sets * options.batch * size * size * dataset.channels * static_cast<std::int64_t>(sizeof(float));
  plan.on_device = backend.can_record() && why_not_on(backend, dataset, plan.reserve()).empty();
  plan.loader_bytes = plan.on_device ? 0 : Loader::places * batch_bytes;
  plan.data_bytes = plan.on_device ? image_bytes(dataset) : static_cast<std::int64_t>(dataset.pixels.size());
  plan.image_size = size;
  plan.channels = dataset.channels;
  plan.bytes = plan.step.bytes + plan.data_bytes + plan.loader_bytes + batch_bytes;  // one batch is on the device
  return plan;
}

std::string plan_text(const Options& options, const Plan& plan) {
  std::ostringstream out;
  out << std::fixed;
  const auto mebibytes = [](std::int64_t bytes) { return static_cast<double>(bytes) / (1 << 20); };
  const auto millions = [](auto value) { return static_cast<double>(value) / 1e6; };
  out << "encoder           " << options.encoder;
  for (const auto& [name, value] : encoder_settings(options, plan.image_size, plan.channels).described())
    std::visit([&](const auto& given) { out << ", " << name << " " << given; }, value);
  out << ": " << std::setprecision(2) << millions(plan.step.encoder_parameters) << " M parameters\n";
  out << "with its heads    " << millions(plan.step.parameters) << " M parameters (" << options.objective << ")\n";
  out << "a step            " << std::setprecision(1) << plan.step.flops / 1e9 << " GFLOP for " << options.batch
      << " images, two views each\n";
  out << "memory            about " << std::setprecision(0) << mebibytes(plan.bytes) << " MiB (images "
      << mebibytes(plan.data_bytes);
  if (plan.on_device)
    out << " on the device)\n";
  else
    out << ", the loader's " << Loader::places << " batches " << mebibytes(plan.loader_bytes) << ")\n";
  out << "steps             " << plan.steps << " (" << options.epochs << " epochs of " << plan.steps_per_epoch << "; "
      << plan.images << " images, " << plan.images - plan.steps_per_epoch * options.batch << " dropped in each)\n";
  out << "whole run         " << std::setprecision(2) << plan.step.flops * static_cast<double>(plan.steps) / 1e15
      << " PFLOP\n";
  out << "learning rate     " << std::defaultfloat << std::setprecision(6) << plan.effective_lr << " (" << options.lr
      << " per 256 images)\n";
  return out.str();
}

}  // namespace vergence
