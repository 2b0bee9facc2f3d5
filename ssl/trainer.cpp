// The training loop. Everything that a step depends on is a function of the options and the step's number, so a run
// resumed from a checkpoint repeats exactly what an uninterrupted one does.
#include "ssl/trainer.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <omp.h>
#include <optional>
#include <sstream>

#include "engine/files.h"
#include "engine/json_text.h"
#include "engine/ops.h"
#include "engine/shown.h"
#include "kernels/clock.h"
#include "kernels/conv_record.h"
#include "kernels/conv_rules.h"
#include "kernels/conv_tuning.h"
#include "kernels/cuda_rules.h"
#include "models/encoder_file.h"
#include "ssl/checkpoint.h"
#include "ssl/evaluation/feature_mask.h"
#include "ssl/evaluation/features.h"
#include "ssl/evaluation/knn.h"
#include "ssl/finishing.h"
#include "ssl/progress.h"
#include "ssl/sha256.h"
#include "ssl/signals.h"
#include "ssl/step_runner.h"

namespace vergence {
namespace {

constexpr double seconds_between_checkpoints = 60;

/// The values of the first channels, with commas between them.
std::string channels_text(const ChannelValues& values, std::int64_t channels) {
  std::ostringstream out;
  out.precision(9);
  for (std::int64_t c = 0; c < channels; ++c) out << (c > 0 ? "," : "") << values[static_cast<std::size_t>(c)];
  return out.str();
}

class Trainer {
 public:
  Trainer(const Options& options, std::unique_ptr<RunFolder> folder);
  TrainingResult run();

 private:
  void start();
  void resume();
  void begin_again();
  void make_lost_encoder();
  /// One step with all that follows it. Returns false when the run is to stop.
  bool advance();
  void log(const Step& done, double lr, std::int64_t epoch_now, bool epoch_ends, bool writes);
  void evaluate(nlohmann::ordered_json& line);
  void recalibrate(nlohmann::ordered_json& line);
  ExtractSettings image_settings() const;
  std::pair<Features, Features> bank_and_queries(const Encode& encode);
  void log_knn(nlohmann::ordered_json& line, const KnnAccuracy& accuracy, const char* suffix, const char* note);
  void start_tuning();
  void save_tuning();
  void tell_bad_images(const Dataset& dataset);
  void save(bool with_encoder);
  void save_encoders();
  void save_encoder_file(const std::string& path, const Statistics& statistics);
  std::int64_t epoch() const { return step_ / steps_per_epoch_; }

  const Options& options_;
  Backend& backend_;
  Dataset dataset_;
  std::vector<ViewSettings> views_;
  std::int64_t steps_per_epoch_;
  Schedule schedule_;
  std::unique_ptr<Objective> objective_;
  std::string convolutions_by_;
  std::unique_ptr<RunFolder> opened_;
  RunFolder& folder_;
  std::string config_;
  std::int64_t step_ = 0, last_;
  double loss_ = std::numeric_limits<double>::quiet_NaN(), step_seconds_ = 0;
  std::unique_ptr<Batches> batches_;
  StepRunner runner_;
  bool eager_told_ = false, convolutions_told_ = false, warned_ = false;
  std::map<std::string, std::optional<Dataset>> judged_;  // splits of files, so that they are looked through once
  std::optional<Statistics> recalibrated_;                // after the last step
  std::optional<Progress> progress_;
  Clock::time_point saved_at_ = Clock::now();
};

Trainer::Trainer(const Options& options, std::unique_ptr<RunFolder> folder)
    : options_(options),
      backend_(backend(options.device.c_str())),
      dataset_(open_dataset(dataset_settings(options), "train")),
      views_(view_settings(options, dataset_)),
      steps_per_epoch_(steps_per_epoch(options, dataset_)),
      schedule_(make_schedule(options, steps_per_epoch_)),
      objective_(make_objective(options, views_[0].size, backend_, views_[0].channels)),
      convolutions_by_(backend_.convolutions_by(activations_of(options, backend_))),
      opened_(folder ? std::move(folder) : std::make_unique<RunFolder>(options.run_folder(), options.resume)),
      folder_(*opened_),
      config_(options_to_toml(options)),
      last_(options.max_steps ? std::min(options.max_steps, schedule_.steps()) : schedule_.steps()),
      runner_(*objective_, backend_, options.capture) {}

/// Before the first step: what applies, and where the run stands.
void Trainer::start() {
  for (const std::string& line : options_.applied) std::printf("%s\n", printable(line).c_str());
  const Plan plan = make_plan(options_, dataset_, *objective_, backend_);
  std::fputs(plan_text(options_, plan).c_str(), stdout);
  std::printf("device            %s, %s, %d threads (%s)\nrun folder        %s\n", backend_.name(),
              options_.precision.c_str(), omp_get_max_threads(), devices_text().c_str(),
              printable(folder_.path()).c_str());
  if (!convolutions_by_.empty()) std::printf("convolutions      %s\n", printable(convolutions_by_).c_str());
  if (!schedule_.notice().empty()) std::printf("%s\n", schedule_.notice().c_str());
  if (options_.precision == "bf16" && &backend_ == &cpu_backend() && !cpu_multiplies_bf16())
    std::printf("notice: this processor has no instructions for bf16; fp32 will be faster\n");
  if (options_.weight_gradients == "bf16" && !backend_.can_record())
    std::printf("notice: --weight-gradients bf16 is for GPUs: they stay f32 on %s\n", backend_.name());
  require_trainable(options_);
  if (folder_.resuming())
    resume();
  else if (options_.resume)
    begin_again();
  start_tuning();
  folder_.write_config(config_);
  folder_.open_metrics(step_);
  std::fflush(stdout);
  batches_ = make_batches(dataset_, loader_settings(options_, dataset_, *objective_, step_),
                          activations_of(options_, backend_), backend_, plan.reserve());
  std::printf("views             %s\n", batches_->origin().c_str());
  std::fflush(stdout);
  progress_.emplace(last_, step_, options_.batch);
}

void Trainer::resume() {
  const Checkpoint checkpoint(folder_.checkpoint());
  const RunPosition& position = checkpoint.position();
  require_resumable(options_from_toml(position.config, folder_.checkpoint()), options_, folder_.checkpoint());
  checkpoint.restore(objective_->state());
  step_ = position.step;
  if (position.threads != omp_get_max_threads())
    std::fprintf(stderr, "warning: the run began with %lld threads and goes on with %d: its bits may differ\n",
                 static_cast<long long>(position.threads), omp_get_max_threads());
  if (position.images > 0 && position.images != dataset_.count)
    std::fprintf(stderr, "warning: the run began with %lld images and goes on with %lld: its epochs are others\n",
                 static_cast<long long>(position.images), static_cast<long long>(dataset_.count));
  std::printf("resumed at step %lld\n", static_cast<long long>(step_));
}

/// --resume without a checkpoint: a run that was killed before its first one, or none at all.
void Trainer::begin_again() {
  require_own_run(folder_, options_);
  std::printf("no checkpoint in %s: starts at step 0\n", printable(folder_.path()).c_str());
}

bool Trainer::advance() {
  const auto begin = Clock::now();
  batches_->prepare(step_);
  const double lr = schedule_.at(step_), full = options_.effective_lr();
  const StepContext context{.lr = lr,
                            .step = step_,
                            .steps = schedule_.steps(),
                            .lr_share = full > 0 ? lr / full : 0,
                            .epoch = batches_->epoch(),
                            .images = options_.batch,
                            .indices = batches_->indices()};
  tell_bad_images(dataset_);
  const Step& done = runner_.run([this] { return batches_->make(); }, context);
  if (!runner_.refusal().empty() && !eager_told_) {
    progress_->note("steps run one by one: " + runner_.refusal());
    eager_told_ = true;
  }
  if (!convolutions_told_ && !convs_in_short().empty())
    progress_->note("convolutions by shape and pass: " + convs_in_short());
  convolutions_told_ = true;
  const std::int64_t epoch_now = epoch() + 1;
  ++step_;
  const bool epoch_ends = step_ % steps_per_epoch_ == 0, ends = step_ == last_;
  const bool stops = ends || stop_requested();
  const bool due = (options_.checkpoint_every > 0 && step_ % options_.checkpoint_every == 0) ||
                   seconds_since(saved_at_) > seconds_between_checkpoints;
  const bool logs = step_ % options_.log_every == 0 || epoch_ends || ends;
  // Nothing is read in between: a device may run ahead of the host.
  const bool reads = logs || stops || due;
  if (reads) loss_ = done.loss.item();
  step_seconds_ += seconds_since(begin);
  progress_->update(step_, epoch_now, options_.epochs, loss_);
  if (reads) log(done, context.lr, epoch_now, epoch_ends, logs);
  if (stops || epoch_ends || due) save(stops || epoch_ends);
  return !stops;
}

/// A line of metrics.jsonl where `writes`, with an evaluation where one is due. Throws, after the line, when the loss
/// or a part of it is not finite.
void Trainer::log(const Step& done, double lr, std::int64_t epoch_now, bool epoch_ends, bool writes) {
  nlohmann::ordered_json line = {{"step", step_}, {"epoch", epoch_now}, {"loss", loss_}};
  std::string not_finite = std::isfinite(loss_) ? "" : "loss";
  PartValues parts;
  for (const auto& [name, tensor] : done.parts) {
    const double value = tensor.item();
    line[name] = value;
    parts.emplace_back(name, value);
    if (!std::isfinite(value) && (not_finite.empty() || not_finite == "loss")) not_finite = name;
  }
  if (const std::string warning = objective_->warning(parts, step_); !warning.empty() && !warned_) {
    progress_->note("warning: " + warning);
    warned_ = true;
  }
  line["lr"] = lr;
  line["images_per_s"] = progress_->images_per_s();
  if (not_finite.empty() && epoch_ends && options_.eval_every > 0 && epoch() % options_.eval_every == 0) evaluate(line);
  if (not_finite.empty() && step_ == last_ && objective_->recalibration_batches() > 0) recalibrate(line);
  if (writes || !not_finite.empty()) folder_.log(line);
  require(not_finite.empty(), "step ", step_, ": ", options_.objective, "'s ", not_finite,
          " is not finite; a lower --lr may help. The last checkpoint is kept in ", folder_.path());
}

/// Un-augmented images as the encoder is evaluated on them.
ExtractSettings Trainer::image_settings() const {
  ExtractSettings settings;
  settings.image_size = views_[0].size;
  settings.channels = views_[0].channels;
  settings.mean = views_[0].mean;
  settings.std = views_[0].std;
  settings.resize = options_.eval_resize;
  return settings;
}

std::pair<Features, Features> Trainer::bank_and_queries(const Encode& encode) {
  DatasetSettings settings = dataset_settings(options_);
  settings.limit = options_.eval_limit;
  const auto features = [&](const char* split) {
    std::optional<Dataset>& kept = judged_[split];
    const Dataset dataset = kept ? *kept : open_dataset(settings, split);
    if (dataset.source) kept = dataset;
    Features all = extract_features(encode, dataset, image_settings(), backend_);
    tell_bad_images(dataset);
    return all;
  };
  return {features("probe"), features("test")};
}

void Trainer::log_knn(nlohmann::ordered_json& line, const KnnAccuracy& accuracy, const char* suffix, const char* note) {
  line[std::string("knn_cosine_200") + suffix] = accuracy.cosine_200.top1;
  line[std::string("knn_euclidean_5") + suffix] = accuracy.euclidean_5.top1;
  char text[160];
  std::snprintf(text, sizeof text, "epoch %lld: kNN top1 %.2f (k=200, cosine), %.2f (k=5, Euclidean)%s",
                static_cast<long long>(epoch()), accuracy.cosine_200.top1, accuracy.euclidean_5.top1, note);
  progress_->note(text);
}

void Trainer::evaluate(nlohmann::ordered_json& line) {
  progress_->pause_clock();
  const auto [bank, queries] = bank_and_queries([this](const Tensor& images) { return objective_->features(images); });
  log_knn(line, knn_accuracy(bank, queries, backend_), "", "");
  if (const Tensor mask = objective_->feature_mask()) {
    const std::vector<float> factors = cast(mask, DType::f32).floats();
    log_knn(line, knn_accuracy(masked(bank, factors), masked(queries, factors), backend_), "_masked",
            ", features times the mask");
  }
  DatasetSettings settings = dataset_settings(options_);
  settings.limit = pictured_images;
  save_pictures(*objective_, open_dataset(settings, "probe"), image_settings(), folder_.pictures(), epoch(), backend_);
  progress_->resume_clock();
}

/// After the last step: the running statistics that the saved encoder gets.
void Trainer::recalibrate(nlohmann::ordered_json& line) {
  if (options_.eval_every > 0 && !line.contains("knn_cosine_200")) evaluate(line);
  progress_->pause_clock();
  ExtractSettings settings = image_settings();
  settings.batch = options_.batch;
  const DType activations = activations_of(options_, backend_);
  recalibrated_ = recalibrated_statistics(objective_->encoder(), dataset_, settings,
                                          {.batches = objective_->recalibration_batches(),
                                           .seed = static_cast<std::uint64_t>(options_.seed),
                                           .epoch = options_.epochs,
                                           .activations = activations},
                                          backend_);
  if (options_.eval_every > 0) {
    const auto [bank, queries] = bank_and_queries(encode_with(objective_->encoder(), *recalibrated_, activations));
    log_knn(line, knn_accuracy(bank, queries, backend_), "_recalibrated", ", running statistics estimated anew");
  }
  progress_->resume_clock();
}

/// The choices that --tune made in this run before its checkpoint are part of what a resumed run must repeat.
void Trainer::start_tuning() {
  stop_conv_tuning();
  if (!options_.tune) return;
  ConvChoices known;
  if (step_ > 0) {
    const nlohmann::json saved = parse_json(read_file(folder_.tuning()));
    require_usage(saved.is_object() && std::all_of(saved.begin(), saved.end(), [](auto& v) { return v.is_string(); }),
                  folder_.tuning(), ": expected an object of algorithm names by convolution");
    known = saved.get<ConvChoices>();
  }
  start_conv_tuning(known);
}

void Trainer::save_tuning() {
  if (options_.tune) write_atomically(folder_.tuning(), json_text(conv_choices(), 1) + "\n");
}

/// Names the images that have been left out since the last time.
void Trainer::tell_bad_images(const Dataset& dataset) {
  if (!dataset.source) return;
  for (const std::string& message : dataset.source->bad_images().take_messages()) progress_->note("skipped " + message);
}

/// Encoders before the checkpoint: a run that stops in between makes them again when it goes on. Only the first
/// checkpoint comes before any encoder, since an encoder without one is that of a run that has lost it.
void Trainer::save(bool with_encoder) {
  progress_->pause_clock();
  save_tuning();
  folder_.sync_metrics();
  const bool first = !RunFolder::has(folder_.checkpoint());
  if (with_encoder && !first) save_encoders();
  save_checkpoint(folder_.checkpoint(), objective_->state(),
                  {step_, epoch(), omp_get_max_threads(), dataset_.count, config_});
  if (with_encoder && first) save_encoders();
  saved_at_ = Clock::now();
  progress_->resume_clock();
}

/// The encoder that is used comes last: where it is, what goes with it is too.
void Trainer::save_encoders() {
  if (recalibrated_) save_encoder_file(folder_.encoder_as_trained(), objective_->statistics());
  if (const Tensor mask = objective_->feature_mask())
    write_feature_mask(folder_.mask(), cast(mask, DType::f32).floats());
  save_encoder_file(folder_.encoder(), recalibrated_ ? *recalibrated_ : objective_->statistics());
}

/// A run of one save alone that was killed between its checkpoint and its encoder.
void Trainer::make_lost_encoder() {
  if (step_ < last_ || RunFolder::has(folder_.encoder())) return;
  nlohmann::ordered_json logged_already;
  if (step_ == last_ && objective_->recalibration_batches() > 0) recalibrate(logged_already);
  save_encoders();
  std::printf("%s was not there and has been made again\n", printable(folder_.encoder()).c_str());
}

void Trainer::save_encoder_file(const std::string& path, const Statistics& statistics) {
  save_encoder(path, objective_->encoder(), statistics,
               {{"mean", channels_text(views_[0].mean, views_[0].channels)},
                {"std", channels_text(views_[0].std, views_[0].channels)},
                {"objective", options_.objective},
                {"dataset", options_.dataset},
                {"epoch", std::to_string(epoch())},
                {"step", std::to_string(step_)},
                {"config_sha256", config_digest(options_)}});
}

TrainingResult Trainer::run() {
  start();
  TrainingResult result;
  result.started_at = step_;
  make_lost_encoder();
  // Not before: until now there is nothing to save, and what opens a data set may take long.
  catch_stop_signals();
  while (step_ < last_ && advance()) {
  }
  progress_->finish();
  result.exit_status = stop_exit_status();
  result.steps = step_;
  result.loss = loss_;
  result.data_wait = step_seconds_ > 0 ? batches_->seconds_waited() / step_seconds_ : 0;
  if (result.exit_status) {
    std::printf("stopped by a signal at step %lld; go on with --resume\n", static_cast<long long>(step_));
  } else if (step_ > result.started_at) {
    std::printf("done: %lld steps, loss %.4f, data wait %.1f %%\n%s\n", static_cast<long long>(step_), loss_,
                100 * result.data_wait, printable(folder_.encoder()).c_str());
  } else {
    std::printf("nothing left to do at step %lld\n", static_cast<long long>(step_));
  }
  return result;
}

}  // namespace

TrainingResult train_run(const Options& options, std::unique_ptr<RunFolder> folder) {
  apply_kernel_choices(options);
  forget_convs();
  return Trainer(options, std::move(folder)).run();
}

PlannedRun plan_run(const Options& options) {
  const Dataset dataset = open_dataset(dataset_settings(options), "train");
  const std::int64_t size = view_settings(options, dataset)[0].size;
  Backend& device = backend(options.device.c_str());
  const auto objective = make_objective(options, size, device, dataset.channels);
  const Schedule schedule = make_schedule(options, steps_per_epoch(options, dataset));
  PlannedRun run;
  run.plan = make_plan(options, dataset, *objective, device);
  run.text = plan_text(options, run.plan);
  if (!schedule.notice().empty()) run.text += schedule.notice() + "\n";
  return run;
}

void require_trainable(const Options& options) {
  if (options.eval_every > 0)  // a missing file is better noticed now than after the first epoch
    for (const char* split : {"probe", "test"}) {
      DatasetSettings first = dataset_settings(options);
      first.limit = 1;
      require_usage(open_dataset(first, split).classes > 0, "--eval-every: ", options.dataset, " has no labels");
    }
  require_usage(!options.tune || (options.cpu_conv == "auto" && options.conv == "auto"),
                "--tune: goes with --cpu-conv auto and --conv auto alone");
  require_usage(!options.tune || !options.deterministic,
                "--tune: not with --deterministic: which algorithm is fastest may change from run to run");
}

void require_own_run(const RunFolder& folder, const Options& options) {
  const auto require_same = [&](const std::string& saved, const std::string& path) {
    require_resumable(options_from_toml(saved, path), options, path);
  };
  if (folder.resuming())
    require_same(Checkpoint(folder.checkpoint()).position().config, folder.checkpoint());
  else if (RunFolder::has(folder.config()))
    require_same(read_file(folder.config()), folder.config());
}

LoaderSettings loader_settings(const Options& options, const Dataset& dataset, const Objective& objective,
                               std::int64_t step) {
  const std::int64_t steps = steps_per_epoch(options, dataset);
  LoaderSettings settings;
  settings.batch = options.batch;
  settings.views = view_settings(options, dataset);
  settings.plain = objective.needs_plain();
  settings.plain_resize =
      options.eval_resize >= 0 ? options.eval_resize : dataset.evaluation_resize(settings.views[0].size);
  settings.fresh = objective.fresh_views();
  settings.seed = static_cast<std::uint64_t>(options.seed);
  settings.workers = static_cast<int>(options.workers);
  settings.first_epoch = step / steps;
  settings.first_step = step % steps;
  return settings;
}

DType activations_of(const Options& options, const Backend& backend) {
  if (options.precision == "bf16") return DType::bf16;
  require_usage(options.precision == "fp32" || (options.precision == "tf32" && backend.can_record()), "--precision: '",
                options.precision, "' is not there on ", backend.name(), "; expected fp32 or bf16");
  return DType::f32;
}

std::unique_ptr<Objective> make_objective(const Options& options, std::int64_t image_size, Backend& backend,
                                          std::int64_t channels) {
  return make_objective(
      {options, encoder_settings(options, image_size, channels), backend, activations_of(options, backend)});
}

void apply_kernel_choices(const Options& options) {
  const std::string &cpu = options.cpu_conv, &gpu = options.conv;
  require_usage(cpu == "auto" || cpu == "direct" || cpu == "winograd", "--cpu-conv: there is no '", cpu,
                "'; expected auto, direct or winograd");
  require_usage(gpu == "auto" || gpu == "cuda" || gpu == "cudnn", "--conv: there is no '", gpu,
                "'; expected auto, cuda or cudnn");
  require_usage(options.weight_gradients != "bf16" || options.precision == "bf16",
                "--weight-gradients bf16: goes with --precision bf16 alone, not with ", options.precision);
  set_cpu_conv(cpu == "auto" ? CpuConv::automatic : cpu == "direct" ? CpuConv::direct : CpuConv::winograd);
  set_cuda_conv(gpu == "auto" ? CudaConv::automatic : gpu == "cuda" ? CudaConv::cuda : CudaConv::cudnn);
  const std::string& precision = options.precision;
  set_cuda_math(precision == "tf32" ? CudaMath::tf32
                : precision == "bf16"
                    ? CudaMath::tf32_products  // heads and losses are more exact still than the encoder
                    : CudaMath::fp32);
  set_cuda_weight_gradients(options.weight_gradients != "fp32" && options.precision == "bf16" ? DType::bf16
                                                                                              : DType::f32);
  set_cuda_deterministic(options.deterministic);
}

std::string config_digest(const Options& options) { return sha256(options_to_toml(without_changeable(options))); }

}  // namespace vergence
