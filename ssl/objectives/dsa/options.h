// The options of DSA: as the user writes them, and with the preset applied.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "ssl/objectives/dsa/modules.h"
#include "ssl/objectives/dsa/prior.h"
#include "ssl/options/builder.h"

namespace vergence {

enum class DsaPreset { paper, code };
/// The source of the matrix M: the arranging module with one of its inputs, or none, which uses the prior.
enum class MatrixSource { concat, diff_l1, none };
/// How images are rated for reliability.
enum class Score { good_neighbor, ones };
/// For stage1 and supervised: batch norm's statistics, and the first convolution.
enum class PriorNorm { running, batch };
enum class PriorStem { file, random };
/// How the temperature of the prior's similarities is set: fixed, by the first batches, or by every batch.
enum class PriorTemperature { fixed, calibrated, running };
enum class PriorReduce { sum4, mean4 };

/// The options as the user wrote them; `preset` decides those without a value.
struct DsaOptions {
  std::string base = "simclr";
  DsaPreset preset = DsaPreset::paper;
  std::optional<MatrixSource> am_mode;
  std::optional<ArrangingOutput> am_act;
  std::optional<bool> same_view;  // the module treats pairs of different views like pairs of one view
  Score score = Score::good_neighbor;
  std::optional<PriorNet> prior_net;
  std::optional<PriorNorm> prior_norm;
  std::optional<PriorStem> prior_stem;
  std::optional<PriorTemperature> prior_temperature;
  std::string prior_file;
  PriorReduce prior_reduce = PriorReduce::sum4;
  double lambda1 = 1, lambda2 = 0.01, tau_w = 0.5, tau_p = 0.5, quantile = 0.1, prior_momentum = 0.99;
  double warmup = 0, ramp = 0;
  std::int64_t eta = 20, mu = 1, calibration_batches = 50;
  std::optional<bool> detach_embeddings;
  bool detach_matrix = false;

  std::int64_t stage1_epochs = 0;  // 0: as many as the run, at most 100
  /// Not an option: the encoder that stage 1 has trained for this run; empty: stage 1 must still train it.
  std::optional<std::string> stage1_encoder;
  /// Whether stage 1 has finished. The options were checked before it started.
  bool has_stage1() const { return stage1_encoder && !stage1_encoder->empty(); }
};

/// The resolved settings.
struct DsaSettings {
  double adjusting = 0, prior = 0;  // weights of both losses; 0: that loss is off
  bool arranges = false;            // an arranging module predicts M; otherwise M is the prior
  ArrangingMode mode = ArrangingMode::concat;
  ArrangingOutput output = ArrangingOutput::sigmoid;
  bool same_view = false;  // blocks 12 and 21 use the matrices of 11 and 22
  bool scores = false, mean_prior = false;
  bool detach_embeddings = true;  // the arranging module does not train the encoder
  std::int64_t mu = 1;            // a neighbor counts if it has more than `mu` common neighbors
  PriorTemperature temperature = PriorTemperature::fixed;
  PriorSettings network;

  bool adds() const { return adjusting > 0 || prior > 0; }
  /// Whether anything uses the prior's similarities (`compares`), and whether anything uses its network
  /// (`needs_network`).
  bool compares() const { return prior > 0 || (adjusting > 0 && !arranges); }
  bool needs_network() const { return compares() || scores; }
  bool calibrates() const { return temperature != PriorTemperature::fixed; }
};

/// Throws UsageError for switches that contradict each other or do not suit a batch of `images`. With `begun` (a run
/// that is resumed) a prior_file that nothing reads and a `mu` that no image exceeds pass, as in earlier versions.
DsaSettings resolve(const DsaOptions& options, std::int64_t images, bool begun = false);

/// Returns the share of lambda1 that applies in step `step` of `steps`: 0 for the first `warmup` steps, a linear ramp
/// over the next `ramp` steps, then 1.
double adjusting_share(const DsaOptions& options, std::int64_t step, std::int64_t steps);

void declare_dsa(OptionBuilder& builder);

}  // namespace vergence
