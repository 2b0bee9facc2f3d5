#include "ssl/evaluation/probes/sweep.h"

#include "kernels/error.h"
#include "ssl/evaluation/sampling/subset.h"

namespace vergence {

std::vector<Trial> probe_trials(const ProbeSettings& settings) {
  std::vector<Trial> trials;
  switch (settings.protocol) {
    case ProbeProtocol::lbfgs:
      for (const double value : {1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1}) trials.push_back({{"weight_decay", value}});
      break;
    case ProbeProtocol::adam:
      for (const double value : {1e-3, 3e-3, 1e-2, 3e-2, 1e-1}) trials.push_back({{"lr", value}});
      break;
    case ProbeProtocol::sgd:
      for (const double value : {0.01, 0.03, 0.1, 0.3, 1.0}) trials.push_back({{"lr", value}});
      break;
  }
  return trials;
}

ProbeSettings with_trial(ProbeSettings settings, const Trial& trial) {
  for (const auto& [name, value] : trial) (name == "lr" ? settings.lr : settings.weight_decay) = value;
  return settings;
}

/// The views of the kept images. The split counts the images that could be read un-augmented, so these must be the
/// same.
Features kept_views(const Features& plain, const FeatureSource& views, const HeldOutTenth& split, std::int64_t epoch) {
  const Features all = views(epoch);
  require_usage(all.rows() == plain.rows(), "probe: the views of epoch ", epoch + 1, " are of ", all.rows(),
                " images, expected the ", plain.rows(), " that can be read un-augmented; remove the damaged files");
  return rows_at(all, split.kept);
}

Sweep sweep_probe(const Features& plain, const FeatureSource& views, const ProbeSettings& settings, Backend& backend,
                  const TrialShown& show) {
  check_labeled(plain, "probe");
  const HeldOutTenth split = hold_out_tenth(plain.labels);
  const Features held_out = rows_at(plain, split.held_out);
  const Features kept = views ? Features{} : rows_at(plain, split.kept);
  return try_all(
      probe_trials(settings), held_out.rows(),
      [&](const Trial& trial) {
        const ProbeSettings own = with_trial(settings, trial);
        const LinearClassifier classifier =
            views
                ? train_probe([&](std::int64_t epoch) { return kept_views(plain, views, split, epoch); }, own, backend)
                : train_probe(kept, own, backend);
        return probe_accuracy(classifier, held_out, backend).top1;
      },
      show);
}

}  // namespace vergence
