#include "ssl/objectives/dsa/options.h"

#include <algorithm>
#include <cmath>

namespace vergence {
namespace {

/// What a preset says of the switches that are left to it.
struct Preset {
  const char *am_mode, *am_act, *cross, *prior_net, *prior_norm, *prior_stem, *prior_temperature, *detach;
};
constexpr Preset paper{"concat", "sigmoid", "true", "stage1", "running", "file", "calibrated", "on"};
constexpr Preset code{"diff_l1", "relu", "same_view", "supervised", "batch", "random", "fixed", "off"};

std::string chosen(const std::string& written, const char* preset) { return written == "preset" ? preset : written; }

PriorTemperature temperature_of(const std::string& name) {
  return name == "running"      ? PriorTemperature::running
         : name == "calibrated" ? PriorTemperature::calibrated
                                : PriorTemperature::fixed;
}

/// A random graph of eta neighbours has eta^2 / N common ones for a pair of images. Five times that tells apart.
std::int64_t common_neighbors(const DsaOptions& options, std::int64_t images) {
  if (options.mu > 0) return options.mu;
  const double chance = static_cast<double>(options.eta * options.eta) / static_cast<double>(images);
  return std::llround(5 * chance);
}

}  // namespace

DsaSettings resolve(const DsaOptions& options, std::int64_t images) {
  const Preset& preset = options.preset == "dsa-code" ? code : paper;
  const std::string mode = chosen(options.am_mode, preset.am_mode);
  DsaSettings settings;
  settings.network = {.net = chosen(options.prior_net, preset.prior_net),
                      .file = options.prior_file,
                      .batch_statistics = chosen(options.prior_norm, preset.prior_norm) == "batch",
                      .random_stem = chosen(options.prior_stem, preset.prior_stem) == "random",
                      .momentum = options.prior_momentum};
  if (options.stage1_encoder && settings.network.net == "stage1" && options.prior_file.empty()) {
    settings.network.file = *options.stage1_encoder;
    settings.network.untrained = options.stage1_encoder->empty();
  }
  const bool prior = settings.network.net != "none";
  settings.adjusting = options.lambda1;
  settings.arranges = mode != "none";
  settings.prior = prior && settings.arranges ? options.lambda2 : 0;
  settings.mode = mode == "diff_l1" ? ArrangingMode::diff_l1 : ArrangingMode::concat;
  settings.output = chosen(options.am_act, preset.am_act) == "relu" ? ArrangingOutput::relu : ArrangingOutput::sigmoid;
  settings.same_view = chosen(options.cross, preset.cross) == "same_view";
  settings.scores = prior && settings.adjusting > 0 && options.score == "good_neighbor";
  settings.mu = common_neighbors(options, images);
  settings.detach_embeddings = chosen(options.detach_embeddings, preset.detach) == "on";
  if (settings.compares()) {
    // A copy of the encoder changes as long as it is trained, so what its first batches say soon holds no more.
    const bool moves = settings.network.net == "ema" && options.preset != "dsa-code";
    const char* usual = moves ? "running" : preset.prior_temperature;
    settings.temperature = temperature_of(chosen(options.prior_temperature, usual));
  }
  settings.mean_prior = options.prior_reduce == "mean4";
  require_usage(prior || settings.arranges || settings.adjusting == 0,
                "--dsa.am_mode none: expected a --dsa.prior_net to take the matrix from, got none");
  require_usage(!settings.scores || options.eta < images, "--dsa.eta: expected less than the batch of ", images,
                ", got ", options.eta);
  return settings;
}

double adjusting_share(const DsaOptions& options, std::int64_t step, std::int64_t steps) {
  const double past = static_cast<double>(step + 1) - options.warmup * static_cast<double>(steps);
  const double rise = options.ramp * static_cast<double>(steps);
  if (past <= 0) return 0;
  return rise > 0 ? std::min(1.0, past / rise) : 1;
}

void declare_dsa(OptionBuilder& t) {
  using Own = DsaOptions;
  using namespace ranges;
  t.text("dsa.base", own(&Own::base), "the base method: simclr, byol, barlow_twins, ...");
  t.choice("dsa.preset", own(&Own::preset), {"dsa-paper", "dsa-code"}, "what switches are that are left at 'preset'");
  t.number("dsa.lambda1", own(&Own::lambda1), not_negative, "weight of the adjusting loss; 0: off");
  t.number("dsa.warmup", own(&Own::warmup), unit, "share of the run in which the adjusting loss is off");
  t.number("dsa.ramp", own(&Own::ramp), unit, "share of the run after that in which its weight rises to lambda1");
  t.number("dsa.lambda2", own(&Own::lambda2), not_negative, "weight of the prior loss; 0: off");
  t.number("dsa.tau_w", own(&Own::tau_w), positive, "temperature of the adjusting loss");
  t.choice("dsa.am_mode", own(&Own::am_mode), {"preset", "concat", "diff_l1", "none"},
           "input of the arranging module; none: the prior's matrix in its place");
  t.choice("dsa.am_act", own(&Own::am_act), {"preset", "sigmoid", "relu"}, "its output");
  t.choice("dsa.cross", own(&Own::cross), {"preset", "true", "same_view"},
           "its pairs of different views; same_view: as those of one view");
  t.flag("dsa.detach_M_in_adj", own(&Own::detach_matrix), "the adjusting loss does not train the matrix");
  t.choice("dsa.detach_z_in_am", own(&Own::detach_embeddings), {"preset", "on", "off"},
           "whether the arranging module leaves the encoder alone");
  t.choice("dsa.score", own(&Own::score), {"good_neighbor", "ones"}, "reliability of each image");
  t.number("dsa.eta", own(&Own::eta), from(1), "neighbours in the graph behind it");
  t.number("dsa.mu", own(&Own::mu), not_negative,
           "a neighbor counts from more than so many common ones; 0: 5 eta^2 / batch");
  t.choice("dsa.prior_net", own(&Own::prior_net), {"preset", "stage1", "ema", "random", "pixels", "supervised", "none"},
           "where the prior's features come from");
  t.path("dsa.prior_file", own(&Own::prior_file), "FILE",
         "an encoder.safetensors; stage1 without one: the base is trained first", OptionEntry::input);
  t.number("dsa.stage1_epochs", own(&Own::stage1_epochs), from(0, 1e6),
           "of the base's training then; 0: as --epochs, at most 100");
  t.choice("dsa.prior_norm", own(&Own::prior_norm), {"preset", "running", "batch"},
           "stage1, supervised: statistics of its batch norm");
  t.choice("dsa.prior_stem", own(&Own::prior_stem), {"preset", "file", "random"},
           "stage1, supervised: its first convolution");
  t.number("dsa.prior_momentum", own(&Own::prior_momentum), unit, "ema: share of the copy that stays in a step");
  t.choice("dsa.prior_temperature", own(&Own::prior_temperature), {"preset", "calibrated", "running", "fixed"},
           "of the prior's similarities: by the first batches, by all of them, or tau_p");
  t.number("dsa.tau_p", own(&Own::tau_p), positive, "its value, if fixed");
  t.number("dsa.quantile", own(&Own::quantile), share,
           "calibrated, running: the share of pairs that are to be attracted");
  t.number("dsa.calibration_batches", own(&Own::calibration_batches), from(1),
           "calibrated: on the first N batches; running: each later one counts 1 / N");
  t.choice("dsa.prior_reduce", own(&Own::prior_reduce), {"sum4", "mean4"}, "of the prior loss over the four blocks");
}

}  // namespace vergence
