// The training loop. Everything that a step depends on is a function of the options and the step's number, so a run
// resumed from a checkpoint repeats exactly what an uninterrupted one does.
#include "ssl/training/trainer.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <limits>
#include <nlohmann/json.hpp>
#include <omp.h>
#include <optional>

#include "engine/io/files.h"
#include "engine/io/xxh.h"
#include "engine/ops/ops.h"
#include "engine/text/json_text.h"
#include "engine/text/shown.h"
#include "kernels/clock.h"
#include "kernels/conv_record.h"
#include "kernels/conv_tuning.h"
#include "models/encoder_file.h"
#include "ssl/evaluation/features/mask.h"
#include "ssl/steps/runner.h"
#include "ssl/steps/setup.h"
#include "ssl/training/checkpoint.h"
#include "ssl/training/progress.h"
#include "ssl/training/saving.h"
#include "ssl/training/signals.h"
#include "ssl/training/validation.h"

namespace vergence {
namespace {

constexpr double seconds_between_checkpoints = 60;

/// The values of the first channels as a JSON list, each as the shortest text that reads back as the same float.
std::string channels_text(const ChannelValues& values, std::int64_t channels) {
  std::string text;
  for (std::int64_t c = 0; c < channels; ++c) {
    std::array<char, 32> digits{};
    std::to_chars(digits.data(), digits.data() + digits.size(), values[static_cast<std::size_t>(c)]);
    text += c > 0 ? ", " : "[";
    text += digits.data();
  }
  return text += "]";
}

class Trainer {
 public:
  Trainer(const Options& options, std::unique_ptr<RunFolder> folder, RunNotes& notes, std::optional<Dataset> dataset);
  TrainingResult run();

 private:
  void start();
  void resume();
  std::string other_data(const RunPosition& began) const;
  void begin_again();
  void start_progress();
  void make_lost_encoder();
  void train();
  /// One step with all that follows it. Returns false when the run is to stop.
  bool advance();
  void log(const Step& done, double lr, std::int64_t epoch_now, bool epoch_ends, bool writes);
  void evaluate(nlohmann::ordered_json& line);
  void recalibrate(nlohmann::ordered_json& line);
  void start_tuning();
  void save_tuning();
  void save(bool with_encoder);
  void save_checkpoint();
  void save_encoders();
  void save_encoder_file(const std::string& path, const Statistics& statistics);
  std::int64_t epoch() const { return step_ / steps_per_epoch_; }

  const Options& options_;
  RunNotes& notes_;
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
  Fingerprint data_;
  std::int64_t step_ = 0, last_;
  double spent_before_ = 0;  // seconds, before the step that was resumed from
  double loss_ = std::numeric_limits<double>::quiet_NaN(), step_seconds_ = 0;
  std::unique_ptr<BatchSource> batches_;
  StepRunner runner_;
  bool eager_told_ = false, convolutions_told_ = false, warned_ = false;
  TrainingEvaluation evaluation_;
  std::optional<Statistics> recalibrated_;  // after the last step
  std::optional<Progress> progress_;
  Clock::time_point saved_at_ = Clock::now();
  Saving saving_;
};

Trainer::Trainer(const Options& options, std::unique_ptr<RunFolder> folder, RunNotes& notes,
                 std::optional<Dataset> dataset)
    : options_(options),
      notes_(notes),
      backend_(backend(options.device.c_str())),
      dataset_(dataset ? std::move(*dataset) : open_dataset(dataset_settings(options), "train")),
      views_(view_settings(options, dataset_)),
      steps_per_epoch_(steps_per_epoch(options, dataset_)),
      schedule_(make_schedule(options, steps_per_epoch_)),
      objective_(make_objective(objective_setup(options, views_[0].size, backend_, views_[0].channels))),
      convolutions_by_(backend_.convolutions_by(activations_of(options, backend_))),
      opened_(folder ? std::move(folder) : std::make_unique<RunFolder>(options.run_folder(), options.resume)),
      folder_(*opened_),
      config_(options_to_toml(options)),
      last_(options.max_steps ? std::min(options.max_steps, schedule_.steps()) : schedule_.steps()),
      runner_(*objective_, backend_, options.capture),
      evaluation_(options, views_[0], *objective_, backend_,
                  {.note = [this](const std::string& line) { progress_->note(line); },
                   .progress = [this](std::int64_t done, std::int64_t all) { progress_->evaluating(done, all); }}),
      saving_(&backend_ != &cpu_backend()) {}

/// Before the first step: what applies, and where the run stands.
void Trainer::start() {
  const auto say = [this](const auto&... parts) { notes_.log.say(join(parts...)); };
  for (const std::string& line : options_.applied) say(line);
  for (const std::string& notice : new_notices(dataset_)) say("notice: ", printable(notice));
  const Plan plan = make_plan(options_, dataset_, *objective_, backend_);
  say(plan_text(options_, plan));
  say("device            ", device_text(options_), "\nrun folder        ", printable(folder_.path()));
  if (!convolutions_by_.empty()) say("convolutions      ", convolutions_by_);
  if (!schedule_.notice().empty()) say(schedule_.notice());
  if (options_.precision == "bf16" && &backend_ == &cpu_backend() && !cpu_multiplies_bf16())
    say("notice: this processor has no instructions for bf16; fp32 will be faster");
  if (options_.weight_gradients == "bf16" && !backend_.can_record())
    say("notice: --weight-gradients bf16 is for GPUs: they stay f32 on ", backend_.name());
  require_trainable(options_);
  data_ = fingerprint_of(dataset_);
  if (folder_.resuming())
    resume();
  else if (options_.resume)
    begin_again();
  start_tuning();
  notes_.begin(folder_, options_, step_);
  folder_.write_config(config_);
  folder_.open_metrics(step_);
  batches_ = make_batch_source({dataset_, loader_settings(options_, dataset_, *objective_, step_), backend_,
                                activations_of(options_, backend_), plan.reserve()});
  say("views             ", batches_->origin());
  start_progress();
}

void Trainer::start_progress() {
  ProgressSettings settings;
  settings.total = last_;
  settings.start = step_;
  settings.epochs = options_.epochs;
  settings.images = options_.batch;
  settings.spent_before = spent_before_;
  settings.evaluate_every = options_.eval_every * steps_per_epoch_;
  if (settings.evaluate_every > 0 && objective_->recalibration_batches() > 0)
    settings.last_evaluations = last_ % settings.evaluate_every == 0 ? 1 : 2;
  progress_.emplace(settings, notes_.log);
}

void Trainer::resume() {
  const Checkpoint checkpoint(folder_.checkpoint());
  const RunPosition& position = checkpoint.position();
  require_resumable(options_from_toml(position.config, folder_.checkpoint()), options_, folder_.checkpoint());
  checkpoint.restore(objective_->state());
  step_ = position.step;
  spent_before_ = position.seconds;
  if (position.threads != omp_get_max_threads())
    notes_.log.warn(join("warning: the run began with ", position.threads, " threads and goes on with ",
                         omp_get_max_threads(), ": its bits may differ"));
  if (const std::string warning = other_data(position); !warning.empty()) notes_.log.warn(warning);
  notes_.log.say(join("resumed at step ", step_));
}

/// A warning where the images are not those the run began with.
std::string Trainer::other_data(const RunPosition& began) const {
  if (began.images > 0 && began.images != dataset_.count)
    return join("warning: the run began with ", began.images, " images and goes on with ", dataset_.count,
                ": its epochs are others");
  const bool images = !began.data.images.empty() && began.data.images != data_.images;
  const bool labels = !began.data.labels.empty() && began.data.labels != data_.labels;
  if (!images && !labels) return "";
  return join("warning: the run goes on with other ", images ? "images" : "labels",
              " than it began with: as many, but ",
              !images           ? "their classes differ"
              : dataset_.source ? "names or sizes of their files differ"
                                : "their pixels differ");
}

/// --resume without a checkpoint: a run that was killed before its first one, or none at all.
void Trainer::begin_again() {
  require_own_run(folder_, options_);
  notes_.log.say(join("no checkpoint in ", folder_.path(), ": starts at step 0"));
}

/// Whatever ends the steps, the save under way comes to its end before. Where it failed, it failed first.
void Trainer::train() {
  try {
    while (step_ < last_ && advance()) {
    }
  } catch (...) {
    saving_.wait();
    throw;
  }
  progress_->turn_to(Progress::Work::saving);
  saving_.wait();
}

bool Trainer::advance() {
  saving_.collect();
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
  for (const std::string& line : new_skipped(dataset_)) progress_->note(printable(line));
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
  progress_->update(step_, epoch_now, loss_);
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

void Trainer::evaluate(nlohmann::ordered_json& line) {
  progress_->turn_to(Progress::Work::evaluating);
  evaluation_.evaluate(line, epoch(), folder_.pictures());
  progress_->turn_to(Progress::Work::steps);
}

/// After the last step: the running statistics that the saved encoder gets.
void Trainer::recalibrate(nlohmann::ordered_json& line) {
  if (options_.eval_every > 0 && !line.contains("knn_cosine_200")) evaluate(line);
  progress_->turn_to(Progress::Work::evaluating);
  recalibrated_ = evaluation_.recalibrate(line, epoch(), dataset_);
  progress_->turn_to(Progress::Work::steps);
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

/// Encoders before the checkpoint: a run that stops in between makes them again when it goes on. Only the first
/// checkpoint comes before any encoder, since an encoder without one is that of a run that has lost it. Where weights
/// lie on a device of their own, their copies on the host are checked and written while the steps go on.
void Trainer::save(bool with_encoder) {
  progress_->turn_to(Progress::Work::saving);
  saving_.wait();
  save_tuning();
  folder_.sync_metrics();
  const bool first = !RunFolder::has(folder_.checkpoint());
  if (with_encoder && !first) save_encoders();
  save_checkpoint();
  if (with_encoder && first) save_encoders();
  saving_.start();
  saved_at_ = Clock::now();
  progress_->turn_to(Progress::Work::steps);
}

void Trainer::save_checkpoint() {
  const RunPosition position{.step = step_,
                             .epoch = epoch(),
                             .threads = omp_get_max_threads(),
                             .images = dataset_.count,
                             .data = data_,
                             .seconds = progress_->spent(),
                             .config = config_};
  const auto snapshot = std::make_shared<const CheckpointSnapshot>(objective_->state(), position);
  saving_.add([snapshot, path = folder_.checkpoint()] { snapshot->write(path); },
              [this, step = step_] { notes_.reached(step); });
}

/// The encoder that is used comes last: where it is, what goes with it is too.
void Trainer::save_encoders() {
  if (recalibrated_) save_encoder_file(folder_.encoder_as_trained(), objective_->statistics());
  if (const Tensor mask = objective_->feature_mask())
    saving_.add(
        [path = folder_.mask(), factors = cast(mask, DType::f32).floats()] { write_feature_mask(path, factors); });
  save_encoder_file(folder_.encoder(), recalibrated_ ? *recalibrated_ : objective_->statistics());
}

/// A run of one save alone that was killed between its checkpoint and its encoder.
void Trainer::make_lost_encoder() {
  if (step_ < last_ || RunFolder::has(folder_.encoder())) return;
  nlohmann::ordered_json logged_already;
  if (step_ == last_ && objective_->recalibration_batches() > 0) recalibrate(logged_already);
  save_encoders();
  saving_.start();
  saving_.wait();
  notes_.log.say(join(folder_.encoder(), " was not there and has been made again"));
}

void Trainer::save_encoder_file(const std::string& path, const Statistics& statistics) {
  Metadata about{{"mean", channels_text(views_[0].mean, views_[0].channels)},
                 {"std", channels_text(views_[0].std, views_[0].channels)},
                 {"objective", options_.objective},
                 {"dataset", options_.dataset},
                 {"epoch", std::to_string(epoch())},
                 {"step", std::to_string(step_)},
                 {"config_xxh128", config_digest(options_)}};
  if (options_.dataset == "cifar100") about["cifar100_classes"] = options_.cifar100_classes;
  const auto snapshot = std::make_shared<const EncoderSnapshot>(objective_->encoder(), statistics, about);
  saving_.add([snapshot, path] { snapshot->write(path); });
}

TrainingResult Trainer::run() {
  start();
  TrainingResult result;
  result.started_at = step_;
  make_lost_encoder();
  // Not before: until now there is nothing to save, and what opens a data set may take long.
  catch_stop_signals();
  train();
  progress_->finish();
  result.exit_status = stop_exit_status();
  result.steps = step_;
  result.loss = loss_;
  result.data_wait = step_seconds_ > 0 ? batches_->seconds_waited() / step_seconds_ : 0;
  if (result.exit_status) {
    notes_.log.say(join("stopped by a signal at step ", step_, "; go on with --resume"));
  } else if (step_ > result.started_at) {
    char text[120];
    std::snprintf(text, sizeof text, "done: %lld steps, loss %.4f, data wait %.1f %%\n", static_cast<long long>(step_),
                  loss_, 100 * result.data_wait);
    notes_.log.say(text + folder_.encoder());
  } else {
    notes_.log.say(join("nothing left to do at step ", step_));
  }
  return result;
}

}  // namespace

TrainingResult train_run(const Options& options, std::unique_ptr<RunFolder> folder, RunNotes* notes,
                         std::optional<Dataset> dataset) {
  apply_kernel_choices(options);
  forget_convs();
  RunNotes own;
  RunNotes& all = notes ? *notes : own;
  TrainingResult result;
  all.around([&] {
    result = Trainer(options, std::move(folder), all, std::move(dataset)).run();
    return result.exit_status;
  });
  return result;
}

PlannedRun plan_run(const Options& options) {
  const Dataset dataset = open_dataset(dataset_settings(options), "train");
  const std::int64_t size = view_settings(options, dataset)[0].size;
  Backend& device = backend(options.device.c_str());
  const auto objective = make_objective(objective_setup(options, size, device, dataset.channels));
  const Schedule schedule = make_schedule(options, steps_per_epoch(options, dataset));
  PlannedRun run;
  run.plan = make_plan(options, dataset, *objective, device);
  run.text = plan_text(options, run.plan);
  if (!schedule.notice().empty()) run.text += schedule.notice() + "\n";
  for (const std::string& notice : dataset.notices) run.text += "notice: " + printable(notice) + "\n";
  return run;
}

void require_trainable(const Options& options) {
  if (options.eval_every > 0)  // a missing file is better noticed now than after the first epoch
    for (const char* split : {"probe", "test"}) {
      DatasetSettings first = dataset_settings(options);
      // Of images that may be left out, the first may be one of those.
      first.limit = first.bad_images == BadImagePolicy::skip ? options.eval_limit : 1;
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

std::string config_digest(const Options& options) { return xxh128(options_to_toml(without_changeable(options))); }

}  // namespace vergence
