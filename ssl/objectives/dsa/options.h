// The switches of DSA, as they are written and as they apply.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "ssl/objectives/dsa/modules.h"
#include "ssl/objectives/dsa/prior.h"
#include "ssl/options/builder.h"

namespace vergence {

/// As written. Those that are "preset" are as `preset` says.
struct DsaOptions {
  std::string base = "simclr", preset = "dsa-paper";
  std::string am_mode = "preset", am_act = "preset", cross = "preset", score = "good_neighbor";
  std::string prior_net = "preset", prior_norm = "preset", prior_stem = "preset", prior_temperature = "preset";
  std::string prior_file, prior_reduce = "sum4";
  double lambda1 = 1, lambda2 = 0.01, tau_w = 0.5, tau_p = 0.5, quantile = 0.1, prior_momentum = 0.99;
  double warmup = 0, ramp = 0;
  std::int64_t eta = 20, mu = 1, calibration_batches = 50;
  std::string detach_embeddings = "preset";
  bool detach_matrix = false;

  std::int64_t stage1_epochs = 0;  // 0: as many as the run has, at most 100
  /// No option: the encoder that stage 1 has trained for this run; empty: it is still to do so.
  std::optional<std::string> stage1_encoder;
};

/// When the temperature of the prior's similarities moves: never, in the first batches, or in every batch.
enum class PriorTemperature { fixed, calibrated, running };

/// What they come to.
struct DsaSettings {
  double adjusting = 0, prior = 0;  // the weights of both losses; 0 where there is nothing to weigh
  bool arranges = false;            // a matrix is learned; else M is the prior's
  ArrangingMode mode = ArrangingMode::concat;
  ArrangingOutput output = ArrangingOutput::sigmoid;
  bool same_view = false;  // blocks 12 and 21 take the matrices of 11 and 22
  bool scores = false, mean_prior = false;
  bool detach_embeddings = true;  // the arranging module does not train the encoder
  std::int64_t mu = 1;            // common neighbours beyond which a neighbour counts
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
