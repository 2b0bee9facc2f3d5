// Fine-tuning: trains a pretrained encoder and a linear head with cross-entropy on labeled images, all of them or a
// few, and tests the result once, after the last epoch.
//
// As in SimCLR (Chen, Kornblith, Norouzi, Hinton, ICML 2020, appendix B.5) and SwAV (Caron et al., NeurIPS 2020):
// random crops and flips, SGD with momentum, batch norm in training mode, no weight decay, a rate of its own for the
// new head.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "datasets/dataset.h"
#include "ssl/evaluation/features/features.h"
#include "ssl/evaluation/probes/fit.h"
#include "ssl/evaluation/probes/probe.h"
#include "ssl/evaluation/sampling/sweep.h"

namespace vergence {

struct FinetuneSettings {
  std::int64_t epochs = 30;
  std::int64_t batch = 256;  // at most the number of images
  double lr = 0.1;           // of the encoder; falls to 0 by half a cosine, step by step
  double head_lr = 0.03;     // of the head; likewise
  double momentum = 0.9;
  double weight_decay = 0;  // of all parameters
  std::uint64_t seed = 1;   // for the head's initial weights, the order of images and their crops
};

/// Returns the defaults for a share of the labels, in percent (docs/evaluation.md says why these).
FinetuneSettings default_finetune(std::int64_t percent);

/// Throws UsageError for a setting out of range.
void check_finetune(const FinetuneSettings& settings);

/// A pretrained encoder with its running statistics. Fine-tuning copies both and changes neither.
struct Pretrained {
  const Encoder& encoder;
  const Statistics& statistics;
  DType precision = DType::f32;
};

/// A fine-tuned encoder with its head.
struct Finetuned {
  Encoder encoder;
  Statistics statistics;
  LinearClassifier head;
};

/// A last batch of fewer images is left out: batch norm takes its statistics from the batch.
inline constexpr std::int64_t least_finetune_batch = 16;

/// Trains on `images`, indices into `train`, in views like probe_view(). The same settings give the same result.
Finetuned finetune(const Pretrained& start, const Dataset& train, const std::vector<std::int64_t>& images,
                   const ExtractSettings& extract, const FinetuneSettings& settings, Backend& backend,
                   const ProbeProgress& progress = {});

/// Returns the pairs of rates that a sweep tries, ascending; `head_lr` fixes the head's.
std::vector<Trial> finetune_trials(std::optional<double> head_lr);

/// Returns the settings with those of a trial.
FinetuneSettings with_rates(FinetuneSettings settings, const Trial& trial);

/// Fine-tunes on nine tenths of `images` with each pair of rates and judges it on the held-out tenth.
Sweep sweep_finetune(const Pretrained& start, const Dataset& train, const std::vector<std::int64_t>& images,
                     const ExtractSettings& extract, const FinetuneSettings& settings, const std::vector<Trial>& trials,
                     Backend& backend, const TrialShown& show);

/// The head's input and parameters, so that training steps can be compared with another implementation's.
class FinetuneSteps {
 public:
  /// `head` has the initial weights. `steps_per_epoch` is that of the schedule.
  FinetuneSteps(const Pretrained& start, const LinearClassifier& head, const FinetuneSettings& settings,
                std::int64_t steps_per_epoch, Backend& backend);
  FinetuneSteps(const FinetuneSteps&) = delete;  // the parameter sets point tensors at their buffers
  FinetuneSteps& operator=(const FinetuneSteps&) = delete;

  /// Returns the images and labels of a batch: of these rows of the training list.
  using Batch = std::function<LabeledViews(const std::vector<std::int32_t>& rows)>;

  /// Makes one pass over `rows` rows; returns their mean loss.
  double epoch(std::int64_t number, std::int64_t rows, const Batch& batch);
  /// The present weights.
  Finetuned result() const;

 private:
  FinetuneSettings settings_;
  DType precision_;
  Encoder encoder_;
  Statistics statistics_;
  std::int64_t dim_, classes_;
  Tensor weight_, bias_;
  Fit fit_;
};

}  // namespace vergence
