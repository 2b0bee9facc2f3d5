#include "ssl/steps/plan.h"

#include <iomanip>
#include <sstream>
#include <utility>

#include "datasets/loading/loader.h"
#include "engine/text/words.h"
#include "ssl/options/extension.h"
#include "ssl/steps/setup.h"

namespace vergence {

namespace {

/// Throws UsageError unless the ranks divide the batch, and --micro-batch divides a rank's part of it.
void require_shared(const Options& options, int ranks) {
  const std::int64_t own = options.batch / ranks, micro = options.micro_batch;
  require_usage(options.batch % ranks == 0, "--batch: ", options.batch, " images cannot be shared equally by ", ranks,
                " ranks: expected a multiple of ", ranks);
  require_usage(micro == 0 || micro >= options.batch || own % micro == 0, "--micro-batch: ", micro,
                ", but each of the ", ranks, " ranks has ", own, " images of a batch: expected a divisor of ", own);
}

}  // namespace

TrainingPlan make_plan(const Options& options, const Dataset& dataset, const Objective& objective, Backend& backend,
                       const Sharing& sharing) {
  if (sharing.ranks > 1) require_shared(options, sharing.ranks);
  TrainingPlan plan;
  plan.step = objective.cost(options.batch);
  const StepCost own = objective.cost(options.batch / sharing.ranks);
  plan.step.bytes = own.bytes - own.shared_bytes + plan.step.shared_bytes;
  plan.ranks = sharing.ranks;
  plan.images = dataset.count;
  plan.steps_per_epoch = steps_per_epoch(options, dataset);
  plan.steps = plan.steps_per_epoch * options.epochs;
  plan.effective_lr = options.effective_lr();
  const SourceSetup source{.dataset = dataset,
                           .settings = loader_settings(options, dataset, objective, 0, sharing),
                           .backend = backend,
                           .activations = activations_of(options, backend),
                           .reserve = plan.reserve()};
  plan.source = cost_of_source(source);
  plan.image_size = source.settings.views[0].size;
  plan.channels = source.settings.views[0].channels;
  const DType activations = source.activations;
  plan.figures =
      plan_figures(options, {.run_flops = plan.flops(),
                             .image_flops = cost_of(objective.encoder().settings(), 1, activations).forward_flops,
                             .dim = objective.encoder().settings().dim(),
                             .images = plan.images,
                             .beside_device = backend.traits().own_memory});
  plan.bytes = plan.step.bytes + plan.source.batch;
  const bool beside = backend.traits().own_memory && !plan.source.on_device;
  (beside ? plan.host_bytes : plan.bytes) += plan.source.images + plan.source.ahead;
  return plan;
}

std::string plan_text(const Options& options, const TrainingPlan& plan) {
  std::ostringstream out;
  out << std::fixed;
  const auto mebibytes = [](std::int64_t bytes) { return static_cast<double>(bytes) / (1 << 20); };
  const auto millions = [](auto value) { return static_cast<double>(value) / 1e6; };
  out << "encoder           " << options.encoder;
  for (const auto& [name, value] : encoder_settings(options, plan.image_size, plan.channels).described())
    std::visit([&, key = name](const auto& given) { out << ", " << key << " " << join(given); }, value);
  out << ": " << std::setprecision(2) << millions(plan.step.encoder_parameters) << " M parameters\n";
  out << "with its heads    " << millions(plan.step.parameters) << " M parameters (" << options.objective << ")\n";
  out << "a step            " << std::setprecision(1) << plan.step.flops / 1e9 << " GFLOP for " << options.batch
      << " images, two views each\n";
  out << "memory            about " << std::setprecision(0) << mebibytes(plan.bytes) << " MiB";
  if (plan.host_bytes > 0) out << " on the device, and " << mebibytes(plan.host_bytes) << " MiB on the host,";
  if (plan.ranks > 1) out << " on each of " << plan.ranks << " ranks";
  out << " (images " << mebibytes(plan.source.images);
  if (plan.source.on_device)
    out << " on the device)\n";
  else
    out << ", the loader's " << Loader::places << " batches " << mebibytes(plan.source.ahead) << ")\n";
  out << "steps             " << plan.steps << " (" << counted(options.epochs, "epoch") << " of "
      << plan.steps_per_epoch << "; " << plan.images << " images, "
      << plan.images - plan.steps_per_epoch * options.batch << " dropped in each)\n";
  if (const std::string extensions = extensions_text(options); !extensions.empty())
    out << "extended          " << extensions << ": not the result of a run of " << options.epochs
        << " epochs (docs/running.md)\n";
  out << "whole run         " << flops_text(plan.flops()) << "\n";
  out << plan.figures.text(plan.flops());
  out << "learning rate     " << std::defaultfloat << std::setprecision(6) << plan.effective_lr << " (" << options.lr
      << " per 256 images)\n";
  return out.str();
}

std::string flops_text(double flops) {
  const auto [unit, name] = flops < 1e11   ? std::pair(1e9, " GFLOP")
                            : flops < 1e14 ? std::pair(1e12, " TFLOP")
                                           : std::pair(1e15, " PFLOP");
  std::ostringstream out;
  out << std::fixed << std::setprecision(2) << flops / unit << name;
  return out.str();
}

}  // namespace vergence
