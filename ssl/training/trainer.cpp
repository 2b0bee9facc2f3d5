// The training loop. A step depends only on the options and its number, so a resumed run repeats exactly the steps of
// an uninterrupted one.
#include "ssl/training/trainer.h"

#include <cmath>
#include <cstdio>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <sstream>

#include "engine/text/printable.h"
#include "engine/text/words.h"
#include "kernels/clock.h"
#include "kernels/conv_record.h"
#include "ssl/steps/runner.h"
#include "ssl/steps/setup.h"
#include "ssl/training/checkpoint.h"
#include "ssl/training/finishing.h"
#include "ssl/training/progress.h"
#include "ssl/training/resume.h"
#include "ssl/training/run_saver.h"
#include "ssl/training/signals.h"
#include "ssl/training/tensorboard/run_events.h"
#include "ssl/training/time_shares.h"
#include "ssl/training/tuning.h"
#include "ssl/training/validation.h"

namespace vergence {
namespace {

/// The work of all evaluations after `start` steps. An objective that re-estimates its statistics adds kNN with them.
double evaluation_work(const RunSetup& run, std::int64_t start) {
  const FigurePlan& figures = run.plan.figures;
  const std::int64_t last = run.last_step / run.steps_per_epoch;
  const double work = figures.work_until(last) - figures.work_until(start / run.steps_per_epoch);
  if (run.objective->recalibration_batches() == 0) return work;
  const bool ends_with_knn = run.last_step % run.steps_per_epoch == 0 && figures.has_knn(last);
  return work + (ends_with_knn ? 1 : figures.knn_every > 0 ? 2 : 0) * figures.knn_work;
}

ProgressSettings progress_settings(const RunSetup& run, const StartPoint& start) {
  ProgressSettings settings;
  settings.total = run.last_step;
  settings.start = start.step;
  settings.epochs = run.options.epochs;
  settings.images = run.options.batch;
  settings.spent_before = start.seconds;
  settings.evaluation_work = evaluation_work(run, start.step);
  return settings;
}

/// What a rank tells the others after each step.
struct RankFlags {
  int signal = 0;  // to stop; 0: none
  bool checkpoint_is_old = false, has_skipped = false;

  int packed() const { return 4 * signal + 2 * checkpoint_is_old + has_skipped; }
  static RankFlags unpacked(int packed) { return {packed / 4, packed / 2 % 2 == 1, packed % 2 == 1}; }
};

class Trainer {
 public:
  /// All must outlive this. The objective is at `start`, and the folder's metrics are open.
  Trainer(const RunSetup& run, const StartPoint& start, RunFolder& folder, RunNotes& notes, World& world,
          double checkpoint_seconds);
  TrainingResult run();

 private:
  void restore_missing_encoder();
  void train();
  /// One step and everything after it. Returns false if the run must stop.
  bool advance();
  StepContext context() const;
  void exchange_flags();
  void log(const Step& done, double lr, std::int64_t epoch_now, bool epoch_ends, bool writes);
  bool judge(nlohmann::ordered_json& line);
  void judge_knn(nlohmann::ordered_json& line);
  void recalibrate(nlohmann::ordered_json& line);
  void save(bool with_encoder);
  void keep_distributions(const Step& done);
  void note_once(const char* topic, const std::string& line);
  std::int64_t epoch() const { return step_ / run_.steps_per_epoch; }

  const RunSetup& run_;
  const Options& options_;
  const StartPoint start_;
  RunFolder& folder_;
  RunNotes& notes_;
  World& world_;
  const double checkpoint_seconds_;
  std::int64_t step_;
  int signal_ = 0;  // to stop, received by any rank
  double loss_ = std::numeric_limits<double>::quiet_NaN(), step_seconds_ = 0;
  std::unique_ptr<BatchSource> batches_;
  StepRunner runner_;
  Progress progress_;
  TimeShares shares_;
  Validation validation_;
  RunSaver saver_;
  RunEvents events_;
  Clock::time_point saved_at_ = Clock::now();
  bool checkpoint_is_old_ = false;  // by the leader's clock, so that all ranks read the loss in the same steps
  std::set<std::string> noted_;     // topics of note_once
};

Trainer::Trainer(const RunSetup& run, const StartPoint& start, RunFolder& folder, RunNotes& notes, World& world,
                 double checkpoint_seconds)
    : run_(run),
      options_(run.options),
      start_(start),
      folder_(folder),
      notes_(notes),
      world_(world),
      checkpoint_seconds_(checkpoint_seconds),
      step_(start.step),
      batches_(run.batches(start.step)),
      runner_(*run.objective, run.backend, run.options.record),
      progress_(progress_settings(run, start), notes.log),
      shares_(progress_, *batches_),
      validation_(run, progress_, world, folder.checkpoint()),
      saver_(run, folder, notes),
      events_(run.options, folder.path(), start.step, [&notes](const std::string& line) { notes.log.warn(line); }) {
  notes_.log.say("views             " + batches_->origin());
}

/// However the steps end, the current save finishes first; its failure takes precedence.
void Trainer::train() {
  try {
    while (step_ < run_.last_step && advance()) {
    }
  } catch (...) {
    saver_.wait();
    throw;
  }
  progress_.turn_to(Progress::Work::saving);
  saver_.wait();
}

StepContext Trainer::context() const {
  const double lr = run_.schedule.at(step_), full = options_.effective_lr();
  const RunSchedule::Span span = run_.schedule.span(step_);
  return {.lr = lr,
          .step = step_,
          .steps = span.steps,
          .first_step = span.first,
          .lr_share = full > 0 ? lr / full : 0,
          .epoch = batches_->epoch(),
          .images = options_.batch / world_.ranks(),
          .indices = batches_->indices()};
}

/// Exchanges between the ranks whether one received a signal to stop and whether the leader's last checkpoint is old,
/// and notes all ranks' skipped images.
void Trainer::exchange_flags() {
  std::string skipped;
  for (const std::string& line : new_skipped(run_.data.train())) skipped += line + "\n";
  const RankFlags own{stop_signal(), seconds_since(saved_at_) > checkpoint_seconds_, !skipped.empty()};
  const std::vector<int> all = world_.gather(own.packed());
  checkpoint_is_old_ = RankFlags::unpacked(all[0]).checkpoint_is_old;
  bool any_skipped = false;
  for (const int each : all) {
    const RankFlags flags = RankFlags::unpacked(each);
    if (signal_ == 0) signal_ = flags.signal;
    any_skipped |= flags.has_skipped;
  }
  if (!any_skipped) return;
  for (const std::string& lines : world_.gather(skipped)) {
    std::istringstream each(lines);
    for (std::string line; std::getline(each, line);) note_once(line.c_str(), printable(line));  // several may meet it
  }
}

bool Trainer::advance() {
  saver_.collect();
  const auto begin = Clock::now();
  batches_->prepare(step_);
  const StepContext context = this->context();
  Views first;  // views to show: those of the first step
  const auto make_views = [&] {
    Views views = batches_->make();
    if (step_ == 0) first = views;
    return views;
  };
  const Step& done = runner_.run(make_views, context);
  if (first.both && events_.on()) events_.picture("views", 0, picture_of_views(run_, first));
  if (!runner_.refusal().empty()) note_once("eager", "steps run one by one: " + runner_.refusal());
  if (step_ == start_.step && !convs_in_short().empty())
    progress_.note("convolutions by shape and pass: " + convs_in_short());
  const std::int64_t epoch_now = epoch() + 1;
  ++step_;
  const bool epoch_ends = step_ % run_.steps_per_epoch == 0, ends = step_ == run_.last_step;
  exchange_flags();
  const bool stops = ends || signal_ != 0;
  const bool due = (options_.checkpoint_every > 0 && step_ % options_.checkpoint_every == 0) || checkpoint_is_old_;
  const bool logs = step_ % options_.log_every == 0 || epoch_ends || ends;
  // No reads in between, so that a device may run ahead of the host.
  const bool reads = logs || stops || due;
  if (reads) loss_ = done.loss.item();
  step_seconds_ += seconds_since(begin);
  progress_.update(step_, epoch_now, loss_);
  if (reads) log(done, context.lr, epoch_now, epoch_ends, logs);
  if (stops || epoch_ends || due) save(stops || epoch_ends);
  return !stops;
}

/// Logs a line of metrics.jsonl if `writes`, with an evaluation if one is due. Then throws if the loss or a part of it
/// is not finite.
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
  if (const std::string warning = run_.objective->warning(parts, step_); !warning.empty())
    note_once("warning", "warning: " + warning);
  line["lr"] = lr;
  if (writes) line["gradient_norm"] = run_.objective->gradient_norm().item();
  const bool judges = not_finite.empty() && epoch_ends && judge(line), ends = step_ == run_.last_step;
  if (not_finite.empty() && ends && run_.objective->recalibration_batches() > 0) recalibrate(line);
  if (writes || !not_finite.empty()) {
    line["clock"] = shares_.line();
    folder_.log(line);
    events_.line(line);
  }
  if (judges || (not_finite.empty() && ends)) keep_distributions(done);
  if (not_finite.empty()) return;
  throw SharedError(join("step ", step_, ": ", options_.objective, "'s ", not_finite,
                         " is not finite; a lower --lr may help", kept_checkpoint_text(folder_.checkpoint())));
}

/// After an epoch: the figures that are due. Returns whether there are any.
bool Trainer::judge(nlohmann::ordered_json& line) {
  const FigurePlan& figures = run_.plan.figures;
  const bool collapse = figures.collapse.contains(epoch()), knn = figures.has_knn(epoch());
  if (collapse) {
    progress_.begin_evaluation(figures.collapse_work);
    validation_.judge_collapse(line, epoch());
  }
  if (knn) judge_knn(line);
  progress_.turn_to(Progress::Work::steps);
  return collapse || knn;
}

void Trainer::judge_knn(nlohmann::ordered_json& line) {
  progress_.begin_evaluation(run_.plan.figures.knn_work);
  validation_.judge_knn(line, epoch());
  if (!world_.leads()) return;
  const std::optional<Png> pictures = save_pictures(run_, folder_.pictures(), epoch());
  if (pictures && events_.on()) events_.picture(options_.objective, step_, *pictures);
}

/// After the last step: computes the saved encoder's running statistics.
void Trainer::recalibrate(nlohmann::ordered_json& line) {
  if (options_.eval_every > 0 && !line.contains("knn_cosine_200")) judge_knn(line);
  progress_.begin_evaluation(run_.plan.figures.knn_work);
  Statistics statistics = recalibrated_statistics(run_);
  if (line.contains("knn_cosine_200")) validation_.judge_recalibrated(line, epoch(), statistics);
  saver_.recalibrated(std::move(statistics));
  progress_.turn_to(Progress::Work::steps);
}

void Trainer::keep_distributions(const Step& done) {
  if (!world_.leads()) return;
  const Distributions all = distributions_after(done, *run_.objective);
  if (all.empty()) return;
  save_distributions(folder_.distributions(), all);
  if (!events_.on()) return;
  for (const auto& [name, values] : all) events_.distribution(name, step_, values);
}

void Trainer::save(bool with_encoder) {
  if (!world_.leads()) return;
  progress_.turn_to(Progress::Work::saving);
  saver_.save(step_, progress_.spent(), with_encoder);
  saved_at_ = Clock::now();
  progress_.turn_to(Progress::Work::steps);
}

/// Writes the encoder of a finished run that was killed between its only checkpoint and its encoder.
void Trainer::restore_missing_encoder() {
  if (step_ < run_.last_step || RunFolder::has(folder_.encoder())) return;
  nlohmann::ordered_json logged_already;
  if (step_ == run_.last_step && run_.objective->recalibration_batches() > 0) recalibrate(logged_already);
  if (!world_.leads()) return;
  saver_.save_missing_encoder(step_);
  notes_.log.say(join(folder_.encoder(), " was not there and has been made again"));
}

void Trainer::note_once(const char* topic, const std::string& line) {
  if (noted_.insert(topic).second) progress_.note(line);
}

TrainingResult Trainer::run() {
  restore_missing_encoder();
  // Not earlier: until now there is nothing to save, and opening a data set may take long.
  catch_stop_signals();
  train();
  // The leader has saved the run only now, and torchrun and srun end it once another rank has ended by a signal.
  if (signal_ != 0) world_.gather(signal_);
  progress_.finish();
  const double waited = step_seconds_ > 0 ? batches_->seconds_waited() / step_seconds_ : 0;
  const TrainingResult result{.exit_status = signal_ ? 128 + signal_ : 0,
                              .steps = step_,
                              .started_at = start_.step,
                              .loss = loss_,
                              .data_wait = waited};
  if (result.exit_status) {
    notes_.log.say(join("stopped by a signal at step ", step_, "; go on with --resume"));
  } else if (step_ > start_.step) {
    events_.end(step_);
    char text[120];
    std::snprintf(text, sizeof text, ", loss %.4f, data wait %.1f %%\n", loss_, 100 * waited);
    notes_.log.say("done: " + counted(step_, "step") + text + folder_.encoder());
  } else {
    const bool cut_short = step_ < run_.schedule.steps();
    const std::string limit = cut_short ? join(": the run ends at --max-steps ", run_.options.max_steps, " of ",
                                               run_.schedule.steps(), "; --max-steps 0 goes on")
                                        : "";
    notes_.log.say(join("nothing left to do at step ", step_, limit));
  }
  return result;
}

}  // namespace

namespace {

/// Throws unless all ranks are about to do the same steps on the same images.
void require_same_run(const RunSetup& run, std::int64_t step, World& world) {
  if (world.ranks() == 1) return;
  std::string here =
      join("step ", step, " of ", run.last_step, ", ", run.data.train().count, " images of ", run.data.train().name);
  world.together([&] {
    if (!run.options.data.empty()) here += " (hash " + run.data.fingerprint().images + ")";
  });
  const std::vector<std::string> all = world.gather(here);
  for (std::size_t rank = 1; rank < all.size(); ++rank)
    if (all[rank] != all[0])
      throw SharedUsageError(join("rank ", rank, " is at ", all[rank], ", but rank 0 at ", all[0],
                                  ": all need the same images and see the same run folder"));
}

/// Trains. After an error of this rank alone its GPU may wait for answers that never come, and the trainer's end would
/// wait for the GPU.
TrainingResult run_or_abandon(Trainer& trainer, World& world) {
  try {
    return trainer.run();
  } catch (const SharedError&) {
    throw;
  } catch (const SharedUsageError&) {
    throw;
  } catch (...) {
    world.abandon();
    throw;
  }
}

}  // namespace

TrainingResult train_run(const Options& options, RunData& data, RunFolder& folder, RunNotes& notes, World& world,
                         double checkpoint_seconds) {
  TrainingResult result;
  notes.around([&] {
    forget_convs();
    Backend& device = device_of(options, world);
    const Sharing sharing = world.sharing(device);
    std::optional<RunSetup> run;
    StartPoint start;
    world.together([&] {
      run.emplace(options, data, device, folder.resuming(), sharing);
      announce(*run, folder.path(), notes.log);
      start = start_point(*run, folder, notes.log);
      start_tuning(options, folder.tuning(), start.step, run->backend);
      notes.begin(folder, options, start.step, sharing.ranks);
      folder.write_config(run->config);
      folder.open_metrics(start.step);
    });
    require_same_run(*run, start.step, world);
    std::optional<Trainer> trainer;
    world.together([&] { trainer.emplace(*run, start, folder, notes, world, checkpoint_seconds); });
    result = run_or_abandon(*trainer, world);
    return result.exit_status;
  });
  return result;
}

}  // namespace vergence
