#include "ssl/training/resume.h"

#include <omp.h>

#include "engine/io/files.h"
#include "ssl/training/checkpoint.h"

namespace vergence {
namespace {

/// A warning if the images are not the ones the run started with.
std::string other_data(const RunPosition& began, RunData& data) {
  const Dataset& now = data.train();
  if (began.images > 0 && began.images != now.count)
    return join("warning: the run started with ", began.images, " images and continues with ", now.count,
                ": its epochs differ");
  const bool images = !began.data.images.empty() && began.data.images != data.fingerprint().images;
  const bool labels = !began.data.labels.empty() && began.data.labels != data.fingerprint().labels;
  if (!images && !labels) return "";
  return join("warning: the run continues with other ", images ? "images" : "labels",
              " than it started with: as many, but ",
              !images      ? "their classes differ"
              : now.source ? "names or sizes of their files differ"
                           : "their pixels differ");
}

StartPoint resume(const RunSetup& run, const std::string& file, TrainLog& log) {
  const Checkpoint checkpoint(file);
  const RunPosition& position = checkpoint.position();
  require_resumable(options_from_toml(position.config, file), run.options, file);
  checkpoint.restore(run.objective->state());
  if (position.threads != omp_get_max_threads())
    log.warn(join("warning: the run started with ", position.threads, " threads and continues with ",
                  omp_get_max_threads(), ": results may differ in the last bits"));
  if (const std::string warning = other_data(position, run.data); !warning.empty()) log.warn(warning);
  log.say(join("resumed at step ", position.step));
  return {position.step, position.seconds};
}

}  // namespace

StartPoint start_point(const RunSetup& run, const RunFolder& folder, TrainLog& log) {
  if (folder.resuming()) return resume(run, folder.checkpoint(), log);
  if (run.options.resume) {  // a run killed before its first checkpoint, or no run at all
    require_own_run(folder, run.options);
    log.say(join("no checkpoint in ", folder.path(), ": starts at step 0"));
  }
  return {};
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

}  // namespace vergence
