#include "ssl/objectives/dsa/options.h"

#include <algorithm>
#include <cmath>

namespace vergence {
namespace {

/// A preset's values for the options that the user does not set.
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

/// In a random graph of eta neighbors, two images share eta^2 / N neighbors. Five times that tells real structure from
/// chance.
std::int64_t common_neighbors(const DsaOptions& options, std::int64_t images) {
  if (options.mu > 0) return options.mu;
  const double chance = static_cast<double>(options.eta * options.eta) / static_cast<double>(images);
  return std::llround(5 * chance);
}

/// Refuses what would leave an option or a loss without effect, or the prior with statistics of another stem.
void refuse_idle(const DsaOptions& options, const DsaSettings& settings, std::int64_t images) {
  const PriorNet net = settings.network.net;
  const bool reads = net == PriorNet::stage1 || net == PriorNet::supervised;
  require_usage(options.prior_file.empty() || reads, "--dsa.prior_file: --dsa.prior_net ",
                text_of(prior_net_words, std::optional(net)),
                " reads no file; expected --dsa.prior_net stage1 with it, or supervised");
  require_usage(!reads || !settings.network.random_stem || settings.network.batch_statistics,
                "--dsa.prior_stem random: the running statistics belong to the file's stem; expected it with ",
                "--dsa.prior_norm batch");
  if (!settings.scores || settings.mu < options.eta) return;
  const bool given = options.mu > 0;
  const std::string value = given ? join(options.mu) : join("0 means 5 eta^2 / batch, here ", settings.mu);
  throw UsageError(join("--dsa.mu: ", value, ", but a neighbor has only --dsa.eta, ", options.eta,
                        ", neighbors of its own, so every score would be 0; expected less than ", options.eta,
                        given ? "" : join(", or a larger --batch than ", images)));
}

/// Which options do nothing beside others. An option left at "preset" may have any of a preset's values.
void dsa_effects(OptionBuilder& t) {
  t.only_with("dsa.prior_net", {"preset", "stage1", "supervised"},
              {"dsa.prior_file", "dsa.prior_norm", "dsa.prior_stem"});
  t.only_with("dsa.prior_net", {"preset", "stage1"}, {"dsa.stage1_epochs"});
  t.only_with("dsa.prior_file", {""}, {"dsa.stage1_epochs"});
  t.only_with("dsa.prior_net", {"ema"}, {"dsa.prior_momentum"});
  t.idle_with({{"dsa.prior_net", {"none"}}},
              {"dsa.lambda2", "dsa.score", "dsa.eta", "dsa.mu", "dsa.prior_temperature", "dsa.tau_p", "dsa.quantile",
               "dsa.calibration_batches", "dsa.prior_reduce"});
  t.idle_with({{"dsa.am_mode", {"none"}}}, {"dsa.lambda2", "dsa.am_act", "dsa.cross", "dsa.detach_M_in_adj",
                                            "dsa.detach_z_in_am", "dsa.prior_reduce"});
  t.idle_with({{"dsa.lambda1", {"0"}}},
              {"dsa.warmup", "dsa.ramp", "dsa.tau_w", "dsa.detach_M_in_adj", "dsa.score", "dsa.eta", "dsa.mu"});
  t.idle_with({{"dsa.lambda2", {"0"}}}, {"dsa.prior_reduce"});
  t.only_with("dsa.score", {"good_neighbor"}, {"dsa.eta", "dsa.mu"});
  t.only_with("dsa.prior_temperature", {"preset", "fixed"}, {"dsa.tau_p"});
  t.only_with("dsa.prior_temperature", {"preset", "calibrated", "running"},
              {"dsa.quantile", "dsa.calibration_batches"});
}

}  // namespace

DsaSettings resolve(const DsaOptions& options, std::int64_t images, bool begun) {
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
  if (!begun) refuse_idle(options, settings, images);
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
  t.text("dsa.base", option(&DsaOptions::base), "base method that DSA extends: simclr, byol, barlow_twins, ...");
  t.choice("dsa.preset", option(&DsaOptions::preset), {{"dsa-paper", DsaPreset::paper}, {"dsa-code", DsaPreset::code}},
           "values of the options left at 'preset': as the method is described, or as the authors' code computes it");
  t.number("dsa.lambda1", option(&DsaOptions::lambda1), not_negative, "weight of the adjusting loss; 0: off");
  t.number("dsa.warmup", option(&DsaOptions::warmup), unit,
           "share of the run, from its start, without the adjusting loss");
  t.number("dsa.ramp", option(&DsaOptions::ramp), unit,
           "share of the run, after dsa.warmup, over which the adjusting loss's weight rises to lambda1");
  t.number("dsa.lambda2", option(&DsaOptions::lambda2), not_negative, "weight of the prior loss; 0: off");
  t.number("dsa.tau_w", option(&DsaOptions::tau_w), positive, "temperature of the adjusting loss");
  t.choice("dsa.am_mode", option(&DsaOptions::am_mode),
           {{"preset", std::nullopt},
            {"concat", MatrixSource::concat},
            {"diff_l1", MatrixSource::diff_l1},
            {"none", MatrixSource::none}},
           "input of the arranging module: both embeddings, or their scaled difference; none: no module, the prior is "
           "the matrix M");
  t.choice("dsa.am_act", option(&DsaOptions::am_act),
           {{"preset", std::nullopt}, {"sigmoid", ArrangingOutput::sigmoid}, {"relu", ArrangingOutput::relu}},
           "output activation of the arranging module");
  t.choice("dsa.cross", option(&DsaOptions::same_view),
           {{"preset", std::nullopt}, {"true", false}, {"same_view", true}},
           "matrix M for pairs of different views; true: predicted from both views; same_view: that of pairs within "
           "one view");
  t.flag("dsa.detach_M_in_adj", option(&DsaOptions::detach_matrix),
         "stop the adjusting loss's gradient at the matrix M: it does not train the arranging module");
  t.choice("dsa.detach_z_in_am", option(&DsaOptions::detach_embeddings),
           {{"preset", std::nullopt}, {"on", true}, {"off", false}},
           "on: stop gradients from the arranging module at the embeddings: it does not train the encoder");
  t.choice("dsa.score", option(&DsaOptions::score), {{"good_neighbor", Score::good_neighbor}, {"ones", Score::ones}},
           "reliability score of an image: its share of good neighbors, or 1 for every image");
  t.number("dsa.eta", option(&DsaOptions::eta), from(1),
           "score good_neighbor: nearest neighbors per image; less than the batch");
  t.number("dsa.mu", option(&DsaOptions::mu), not_negative,
           "score good_neighbor: a neighbor is good if more than this many of its own neighbors have the image as a "
           "neighbor; 0: 5 eta^2 / batch");
  t.choice("dsa.prior_net", option(&DsaOptions::prior_net), prior_net_words,
           "network whose features define the prior; stage1: an encoder that the base trains first; ema: a momentum "
           "encoder; none: no prior");
  t.path("dsa.prior_file", option(&DsaOptions::prior_file), "FILE",
         "prior_net stage1, supervised: an encoder, as for --init; stage1 without one: the base trains it first",
         OptionEntry::input);
  t.number("dsa.stage1_epochs", option(&DsaOptions::stage1_epochs), from(0, 1e6),
           "prior_net stage1 without a file: epochs for which the base trains it; 0: as --epochs, at most 100");
  t.choice("dsa.prior_norm", option(&DsaOptions::prior_norm),
           {{"preset", std::nullopt}, {"running", PriorNorm::running}, {"batch", PriorNorm::batch}},
           "prior_net stage1, supervised: batch norm by the file's running statistics, or by the batch's");
  t.choice("dsa.prior_stem", option(&DsaOptions::prior_stem),
           {{"preset", std::nullopt}, {"file", PriorStem::file}, {"random", PriorStem::random}},
           "prior_net stage1, supervised: first convolution from the file, or a new random one without pooling");
  t.number("dsa.prior_momentum", option(&DsaOptions::prior_momentum), unit,
           "prior_net ema: momentum of the momentum encoder");
  t.choice("dsa.prior_temperature", option(&DsaOptions::prior_temperature),
           {{"preset", std::nullopt},
            {"calibrated", PriorTemperature::calibrated},
            {"running", PriorTemperature::running},
            {"fixed", PriorTemperature::fixed}},
           "temperature of the prior's similarities: set by the first batches (calibrated), by all batches (running), "
           "or to tau_p (fixed)");
  t.number("dsa.tau_p", option(&DsaOptions::tau_p), positive,
           "prior_temperature fixed: temperature of the prior's similarities");
  t.number("dsa.quantile", option(&DsaOptions::quantile), share,
           "prior_temperature calibrated, running: share of pairs of images to attract (prior similarity above 1/2)");
  t.number("dsa.calibration_batches", option(&DsaOptions::calibration_batches), from(1),
           "prior_temperature calibrated: the first N batches set it; running: each later batch has weight 1/N");
  t.choice("dsa.prior_reduce", option(&DsaOptions::prior_reduce),
           {{"sum4", PriorReduce::sum4}, {"mean4", PriorReduce::mean4}},
           "prior loss: sum or mean over the four blocks of pairs of views");
  dsa_effects(t);
}

}  // namespace vergence
