#include "ssl/objectives/dsa/options.h"

#include <algorithm>
#include <cmath>

namespace vergence {
namespace {

/// A preset's values for the switches that the user leaves open.
struct Preset {
  MatrixSource am_mode;
  ArrangingOutput am_act;
  bool same_view;
  PriorNet prior_net;
  PriorNorm prior_norm;
  PriorStem prior_stem;
  PriorTemperature prior_temperature;
  bool detach;
};
constexpr Preset paper{.am_mode = MatrixSource::concat,
                       .am_act = ArrangingOutput::sigmoid,
                       .same_view = false,
                       .prior_net = PriorNet::stage1,
                       .prior_norm = PriorNorm::running,
                       .prior_stem = PriorStem::file,
                       .prior_temperature = PriorTemperature::calibrated,
                       .detach = true};
constexpr Preset code{.am_mode = MatrixSource::diff_l1,
                      .am_act = ArrangingOutput::relu,
                      .same_view = true,
                      .prior_net = PriorNet::supervised,
                      .prior_norm = PriorNorm::batch,
                      .prior_stem = PriorStem::random,
                      .prior_temperature = PriorTemperature::fixed,
                      .detach = false};

/// A random graph of eta neighbors has eta^2 / N common neighbors per pair of images. Five times that separates the
/// two.
std::int64_t common_neighbors(const DsaOptions& options, std::int64_t images) {
  if (options.mu > 0) return options.mu;
  const double chance = static_cast<double>(options.eta * options.eta) / static_cast<double>(images);
  return std::llround(5 * chance);
}

}  // namespace

DsaSettings resolve(const DsaOptions& options, std::int64_t images) {
  const Preset& preset = options.preset == DsaPreset::code ? code : paper;
  const MatrixSource source = options.am_mode.value_or(preset.am_mode);
  DsaSettings settings;
  settings.network = {.net = options.prior_net.value_or(preset.prior_net),
                      .file = options.prior_file,
                      .batch_statistics = options.prior_norm.value_or(preset.prior_norm) == PriorNorm::batch,
                      .random_stem = options.prior_stem.value_or(preset.prior_stem) == PriorStem::random,
                      .momentum = options.prior_momentum};
  if (options.stage1_encoder && settings.network.net == PriorNet::stage1 && options.prior_file.empty()) {
    settings.network.file = *options.stage1_encoder;
    settings.network.untrained = options.stage1_encoder->empty();
  }
  const bool prior = settings.network.net != PriorNet::none;
  settings.adjusting = options.lambda1;
  settings.arranges = source != MatrixSource::none;
  settings.prior = prior && settings.arranges ? options.lambda2 : 0;
  settings.mode = source == MatrixSource::diff_l1 ? ArrangingMode::diff_l1 : ArrangingMode::concat;
  settings.output = options.am_act.value_or(preset.am_act);
  settings.same_view = options.same_view.value_or(preset.same_view);
  settings.scores = prior && settings.adjusting > 0 && options.score == Score::good_neighbor;
  settings.mu = common_neighbors(options, images);
  settings.detach_embeddings = options.detach_embeddings.value_or(preset.detach);
  if (settings.compares()) {
    // A copy of the encoder changes throughout training, so the temperature of its first batches soon becomes stale.
    const bool moves = settings.network.net == PriorNet::ema && options.preset != DsaPreset::code;
    settings.temperature =
        options.prior_temperature.value_or(moves ? PriorTemperature::running : preset.prior_temperature);
  }
  settings.mean_prior = options.prior_reduce == PriorReduce::mean4;
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
  using namespace ranges;
  t.text("dsa.base", option(&DsaOptions::base), "the base method: simclr, byol, barlow_twins, ...");
  t.choice("dsa.preset", option(&DsaOptions::preset), {{"dsa-paper", DsaPreset::paper}, {"dsa-code", DsaPreset::code}},
           "values of the options left at 'preset'");
  t.number("dsa.lambda1", option(&DsaOptions::lambda1), not_negative, "weight of the adjusting loss; 0: off");
  t.number("dsa.warmup", option(&DsaOptions::warmup), unit, "share of the run in which the adjusting loss is off");
  t.number("dsa.ramp", option(&DsaOptions::ramp), unit,
           "share of the run after that in which its weight rises to lambda1");
  t.number("dsa.lambda2", option(&DsaOptions::lambda2), not_negative, "weight of the prior loss; 0: off");
  t.number("dsa.tau_w", option(&DsaOptions::tau_w), positive, "temperature of the adjusting loss");
  t.choice("dsa.am_mode", option(&DsaOptions::am_mode),
           {{"preset", std::nullopt},
            {"concat", MatrixSource::concat},
            {"diff_l1", MatrixSource::diff_l1},
            {"none", MatrixSource::none}},
           "input of the arranging module; none: use the prior's matrix instead");
  t.choice("dsa.am_act", option(&DsaOptions::am_act),
           {{"preset", std::nullopt}, {"sigmoid", ArrangingOutput::sigmoid}, {"relu", ArrangingOutput::relu}},
           "output of the arranging module");
  t.choice("dsa.cross", option(&DsaOptions::same_view),
           {{"preset", std::nullopt}, {"true", false}, {"same_view", true}},
           "its pairs of different views; same_view: as those of one view");
  t.flag("dsa.detach_M_in_adj", option(&DsaOptions::detach_matrix), "the adjusting loss does not train the matrix");
  t.choice("dsa.detach_z_in_am", option(&DsaOptions::detach_embeddings),
           {{"preset", std::nullopt}, {"on", true}, {"off", false}},
           "on: the arranging module does not train the encoder");
  t.choice("dsa.score", option(&DsaOptions::score), {{"good_neighbor", Score::good_neighbor}, {"ones", Score::ones}},
           "reliability of each image");
  t.number("dsa.eta", option(&DsaOptions::eta), from(1), "neighbors per image for the score");
  t.number("dsa.mu", option(&DsaOptions::mu), not_negative,
           "a neighbor counts if it shares more than this many neighbors; 0: 5 eta^2 / batch");
  t.choice("dsa.prior_net", option(&DsaOptions::prior_net), prior_net_words, "where the prior's features come from");
  t.path("dsa.prior_file", option(&DsaOptions::prior_file), "FILE",
         "an encoder.safetensors; stage1 without one: the base is trained first", OptionEntry::input);
  t.number("dsa.stage1_epochs", option(&DsaOptions::stage1_epochs), from(0, 1e6),
           "of the base's training then; 0: as --epochs, at most 100");
  t.choice("dsa.prior_norm", option(&DsaOptions::prior_norm),
           {{"preset", std::nullopt}, {"running", PriorNorm::running}, {"batch", PriorNorm::batch}},
           "stage1, supervised: statistics of its batch norm");
  t.choice("dsa.prior_stem", option(&DsaOptions::prior_stem),
           {{"preset", std::nullopt}, {"file", PriorStem::file}, {"random", PriorStem::random}},
           "stage1, supervised: its first convolution");
  t.number("dsa.prior_momentum", option(&DsaOptions::prior_momentum), unit, "ema: momentum of the momentum encoder");
  t.choice("dsa.prior_temperature", option(&DsaOptions::prior_temperature),
           {{"preset", std::nullopt},
            {"calibrated", PriorTemperature::calibrated},
            {"running", PriorTemperature::running},
            {"fixed", PriorTemperature::fixed}},
           "of the prior's similarities: by the first batches, by all of them, or tau_p");
  t.number("dsa.tau_p", option(&DsaOptions::tau_p), positive, "its value, if fixed");
  t.number("dsa.quantile", option(&DsaOptions::quantile), share,
           "calibrated, running: the share of pairs that are to be attracted");
  t.number("dsa.calibration_batches", option(&DsaOptions::calibration_batches), from(1),
           "calibrated: on the first N batches; running: each later one counts 1 / N");
  t.choice("dsa.prior_reduce", option(&DsaOptions::prior_reduce),
           {{"sum4", PriorReduce::sum4}, {"mean4", PriorReduce::mean4}}, "of the prior loss over the four blocks");
}

}  // namespace vergence
