#include "ssl/training/run_saver.h"

#include <filesystem>
#include <memory>
#include <omp.h>

#include "engine/io/xxh.h"
#include "engine/ops/ops.h"
#include "engine/text/printable.h"
#include "models/encoder_file.h"
#include "ssl/evaluation/features/mask.h"
#include "ssl/options/extension.h"
#include "ssl/options/table.h"
#include "ssl/training/tuning.h"

namespace vergence {
namespace {

/// XXH128 of the configuration without the options that a resumed run may change.
std::string config_digest(const Options& options) { return xxh128(options_to_toml(without_changeable(options))); }

void remove_if_there(const std::string& path) {
  std::error_code error;
  std::filesystem::remove(path, error);
  require(!error, path, ": cannot be removed: ", error.message());
}

}  // namespace

RunSaver::RunSaver(const RunSetup& run, RunFolder& folder, RunNotes& notes)
    : run_(run), folder_(folder), notes_(notes), saving_(run.backend.traits().beside_host) {}

/// Writes encoders before the checkpoint: a run stopped in between writes them again when resumed. Only the first
/// checkpoint precedes the encoders, as an encoder without a checkpoint means a lost one. Weights that the checkpoint
/// would refuse replace no encoder either.
void RunSaver::save(std::int64_t step, double seconds, bool with_encoder) {
  saving_.wait();
  save_tuning(run_.options, folder_.tuning(), run_.backend);
  folder_.sync_metrics();
  const bool first = !RunFolder::has(folder_.checkpoint());
  const auto checkpoint = checkpoint_at(step, seconds);
  const std::string path = folder_.checkpoint();
  if (with_encoder && !first) {
    saving_.add([checkpoint, path] { checkpoint->require_finite(path); });
    // Removes an earlier encoder_as_trained: it would not belong to the encoder written next.
    if (!recalibrated_) saving_.add([old = folder_.encoder_as_trained()] { remove_if_there(old); });
    add_encoders(step);
  }
  saving_.add([checkpoint, path] { checkpoint->write(path); }, [this, step] { notes_.reached(step); });
  if (with_encoder && first) add_encoders(step);
  saving_.start();
}

void RunSaver::save_missing_encoder(std::int64_t step) {
  add_encoders(step);
  saving_.start();
  saving_.wait();
}

std::shared_ptr<const CheckpointSnapshot> RunSaver::checkpoint_at(std::int64_t step, double seconds) const {
  const RunPosition position{.step = step,
                             .epoch = epoch(step),
                             .device = run_.backend.description(),
                             .threads = omp_get_max_threads(),
                             .ranks = run_.sharing.ranks,
                             .images = run_.data.train().count,
                             .data = run_.data.fingerprint(),
                             .seconds = seconds,
                             .config = run_.config};
  return std::make_shared<const CheckpointSnapshot>(run_.objective->state(), position);
}

/// Adds the main encoder last: if it exists, its companions do too.
void RunSaver::add_encoders(std::int64_t step) {
  Objective& objective = *run_.objective;
  if (recalibrated_) add_encoder(folder_.encoder_as_trained(), objective.statistics(), step);
  if (const Tensor mask = objective.feature_mask())
    saving_.add([path = folder_.mask(), written = FeatureMask{cast(mask, DType::f32).floats(), std::to_string(step)}] {
      write_feature_mask(path, written);
    });
  add_encoder(folder_.encoder(), recalibrated_ ? *recalibrated_ : objective.statistics(), step);
}

void RunSaver::add_encoder(const std::string& path, const Statistics& statistics, std::int64_t step) {
  const Options& options = run_.options;
  const ViewSettings& view = run_.view;
  Metadata about = normalization_of(view.mean, view.std, view.channels);
  about.merge(Metadata{{"objective", options.objective},
                       {"dataset", options.dataset},
                       {"epoch", std::to_string(epoch(step))},
                       {"step", std::to_string(step)},
                       {"config_xxh128", config_digest(options)}});
  if (const std::string extensions = extensions_text(options); !extensions.empty()) about["extended"] = extensions;
  if (!options.init.empty()) about["init"] = printable(std::filesystem::path(options.init).filename().string());
  if (options.dataset == "cifar100") about["cifar100_classes"] = option_text(options, "cifar100.classes");
  const auto snapshot = std::make_shared<const EncoderSnapshot>(run_.objective->encoder(), statistics, about);
  saving_.add([snapshot, path] { snapshot->write(path); });
}

}  // namespace vergence
