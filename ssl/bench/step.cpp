// Times whole training steps.
#include "ssl/bench/step.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <omp.h>
#include <sys/resource.h>

#include "datasets/loading/device_source.h"
#include "engine/ops/ops.h"
#include "kernels/clock.h"
#include "kernels/conv_tuning.h"
#include "ssl/bench/operands.h"
#include "ssl/options/command_line.h"
#include "ssl/options/table.h"
#include "ssl/steps/runner.h"
#include "ssl/steps/setup.h"

namespace vergence {
namespace {

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t half = values.size() / 2;
  return values.size() % 2 ? values[half] : (values[half - 1] + values[half]) / 2;
}

double rounded(double value, double digits) { return std::round(value * std::pow(10, digits)) / std::pow(10, digits); }

double peak_mebibytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

StepContext context_of(const Options& options, std::int64_t step, std::int64_t steps) {
  return {.lr = options.effective_lr(), .step = step, .steps = steps, .images = options.batch};
}

}  // namespace

Backend& bench_device(const Options& options) {
  require_tunable(options);
  Backend& device = device_of(options);
  if (!options.tune) return device;
  KernelChoices choices = device.choices();
  choices.tuning = std::make_shared<ConvTuning>();
  device.set_choices(choices);
  return device;
}

GivenOptions BenchSettings::of_512_images() {
  GivenOptions given;
  given.values.batch = 512;
  return given;
}

Options bench_options(const BenchSettings& settings) {
  Options options = settings.run.values;
  refuse_other_encoders(settings.run.names, options.encoder);
  options.image_size = settings.image;
  const auto set = [&](const char* name, auto value) { set_option(options, name, join(value)); };
  if (!settings.run.has("stem")) set("stem", settings.image >= 96 ? "imagenet" : "cifar");
  set("simclr.temperature", 0.5);
  set("simclr.hidden", 2048);
  set("simclr.output", 256);
  set("simclr.batch_norm", "off");
  set("barlow_twins.lambda", 5e-3);
  set("barlow_twins.scale", 1);
  set("barlow_twins.hidden", settings.projector);
  set("barlow_twins.output", settings.projector);
  set("barlow_twins.unbiased", "on");
  set("barlow_twins.epsilon", 1e-5);
  set("metamask.redundancy_hidden", settings.projector);
  set("metamask.redundancy_output", settings.projector);
  for (const char* option : {"metamask.second_order", "icl_msr.second_order"})
    set(option, text_of(second_order_words, settings.meta));
  set("metamask.fused", settings.fused ? "on" : "off");
  set("dsa.prior_net", "random");         // costs the same as an encoder from a file
  set("dsa.prior_temperature", "fixed");  // a run calibrates it in its first steps alone
  options.optimizer = OptimizerKind::sgd;
  options.lr = 0.06 * 256 / static_cast<double>(options.batch);
  options.momentum = 0.9;
  options.nesterov = false;
  options.weight_decay = 5e-4;
  options.schedule = ScheduleKind::constant;
  options.warmup_epochs = 0;
  return options;
}

Views random_views(std::int64_t batch, std::int64_t image, std::uint64_t seed, Backend& backend, DType type,
                   std::int64_t channels) {
  const Shape shape{2 * batch, image, image, channels};
  const std::vector<float> values = normal_values(static_cast<std::size_t>(shape.size()), seed);
  if (type == DType::f32) return {from_floats(backend, shape, values)};
  require(type == DType::bf16 && channels == 3, "random views: expected f32, or bf16 of 3 channels, got ",
          name_of(type), " of ", channels);
  const auto all = static_cast<std::size_t>(device_view_channels(type));
  std::vector<bf16> padded(values.size() / 3 * all, bf16(0));
  for (std::size_t i = 0; i < values.size(); ++i) padded[i / 3 * all + i % 3] = bf16(values[i]);
  const Tensor views = empty(backend, shape.with(3, device_view_channels(type)), type);
  backend.upload(views.data->data(), padded.data(), views.size() * size_of(type));
  return {views};
}

Views bench_views(const Options& options, const Objective& objective, Backend& device, std::int64_t channels) {
  const DType type = device.traits().makes_views && channels == 3 ? activations_of(options, device) : DType::f32;
  Views views = random_views(options.batch, options.image_size, 1, device, type, channels);
  if (objective.needs_plain()) views.plain = slice(views.both, 0, 0, options.batch);
  if (objective.fresh_views() != FreshViews::none) views.fresh = views.both;
  return views;
}

BenchResult bench_step(const BenchSettings& settings, const ViewSource& views) {
  if (settings.threads > 0) omp_set_num_threads(settings.threads);
  const Options options = bench_options(settings);
  Backend& device = bench_device(options);
  const auto objective = make_objective(objective_setup(options, settings.image, device));
  const Views fixed = views ? Views{} : bench_views(options, *objective, device);
  BenchResult result;
  const std::int64_t all = settings.warmup + settings.steps;
  std::int64_t reserved = 0;  // the steps before a recording take more than its replays
  // A recorded step repeats one batch, so steps with changing views run one by one.
  StepRunner runner(*objective, device, options.record && !views);
  for (std::int64_t step = 0; step < all; ++step) {
    const Views now = views ? views(step) : fixed;
    const auto begin = Clock::now();
    const Step& done = runner.run([&] { return Views(now); }, context_of(options, step, all));
    result.losses.push_back(done.loss.item());  // waits for the device
    const double ms = 1e3 * seconds_since(begin);
    if (step >= settings.warmup) result.step_ms.push_back(ms);
    reserved = std::max(reserved, device.memory().reserved);
  }
  result.recorded = runner.recorded();
  result.peak_mib = device.traits().own_memory ? static_cast<double>(reserved) / (1 << 20) : peak_mebibytes();
  return result;
}

nlohmann::ordered_json bench_report(const BenchSettings& settings, const BenchResult& result) {
  const Options options = bench_options(settings);
  Backend& device = backend(options.device.c_str());
  const double ms = median(result.step_ms);
  const auto [least, most] = std::minmax_element(result.step_ms.begin(), result.step_ms.end());
  nlohmann::ordered_json report{{"objective", options.objective},
                                {"encoder", options.encoder},
                                {"image", settings.image},
                                {"batch", options.batch},
                                {"projector", settings.projector},
                                {"device", device.name()},
                                {"precision", option_text(options, "precision")},
                                {"tune", options.tune},
                                {"meta", text_of(bench_meta_words, settings.meta)},
                                {"fused", settings.fused},
                                {"micro_batch", options.micro_batch},
                                {"recompute", options.recompute},
                                {"recompute_blocks", options.recompute_blocks},
                                {"steps", settings.steps},
                                {"warmup", settings.warmup},
                                {"threads", omp_get_max_threads()},
                                {"mode", result.recorded ? "recorded" : "eager"}};
  for (const auto& [name, value] : encoder_settings(options, settings.image).described())
    std::visit([&, key = name](const auto& given) { report[key] = given; }, value);
  report.update({{"step_ms", rounded(ms, 3)},
                 {"images_per_s", rounded(static_cast<double>(options.batch) / ms * 1e3, 1)},
                 {"step_ms_min", rounded(*least, 3)},
                 {"step_ms_max", rounded(*most, 3)},
                 {"loss", rounded(result.losses.back(), 5)},
                 {"peak_mib", std::llround(result.peak_mib)}});
  const std::string convolutions = device.convolutions_by(activations_of(options, device));
  if (!convolutions.empty()) report["convolutions"] = convolutions;
  return report;
}

}  // namespace vergence
