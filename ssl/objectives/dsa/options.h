// The switches of DSA, as they are written and as they apply.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "ssl/objectives/dsa/modules.h"
#include "ssl/objectives/dsa/prior.h"
#include "ssl/options/builder.h"

namespace vergence {

enum class DsaPreset { paper, code };
/// What the matrix comes from: the arranging module in one of its modes, or none: the prior.
enum class MatrixSource { concat, diff_l1, none };
/// Of the images' reliability.
enum class Score { good_neighbor, ones };
/// stage1, supervised: batch norm's statistics, and the first convolution.
enum class PriorNorm { running, batch };
enum class PriorStem { file, random };
/// When the temperature of the prior's similarities moves: never, in the first batches, or in every batch.
enum class PriorTemperature { fixed, calibrated, running };
enum class PriorReduce { sum4, mean4 };

/// As written. Those that are none are as `preset` says.
struct DsaOptions {
  std::string base = "simclr";
  DsaPreset preset = DsaPreset::paper;
  std::optional<MatrixSource> am_mode;
  std::optional<ArrangingOutput> am_act;
  std::optional<bool> same_view;  // the module's pairs of different views are as those of one view
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

  std::int64_t stage1_epochs = 0;  // 0: as many as the run has, at most 100
  /// No option: the encoder that stage 1 has trained for this run; empty: it is still to do so.
  std::optional<std::string> stage1_encoder;
};

/// What they come to.
struct DsaSettings {
  double adjusting = 0, prior = 0;  // the weights of both losses; 0 where there is nothing to weigh
  bool arranges = false;            // a matrix is learned; else M is the prior's
  ArrangingMode mode = ArrangingMode::concat;
  ArrangingOutput output = ArrangingOutput::sigmoid;
  bool same_view = false;  // blocks 12 and 21 take the matrices of 11 and 22
  bool scores = false, mean_prior = false;
  bool detach_embeddings = true;  // the arranging module does not train the encoder
  std::int64_t mu = 1;            // common neighbors beyond which a neighbor counts
  PriorTemperature temperature = PriorTemperature::fixed;
  PriorSettings network;

  bool adds() const { return adjusting > 0 || prior > 0; }
  /// Whether the prior's similarities are asked for, and whether its network is.
  bool compares() const { return prior > 0 || (adjusting > 0 && !arranges); }
  bool needs_network() const { return compares() || scores; }
  bool calibrates() const { return temperature != PriorTemperature::fixed; }
};

/// Throws UsageError for switches that contradict each other or a batch of `images`.
DsaSettings resolve(const DsaOptions& options, std::int64_t images);

/// The share of lambda1 that applies in step `step` of `steps`: 0 for the first `warmup` of them, then rising on a
/// line over `ramp` of them, then 1.
double adjusting_share(const DsaOptions& options, std::int64_t step, std::int64_t steps);

void declare_dsa(OptionBuilder& builder);

}  // namespace vergence
