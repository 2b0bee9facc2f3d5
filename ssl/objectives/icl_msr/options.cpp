#include "ssl/objectives/icl_msr/options.h"

#include "ssl/method.h"

namespace vergence {
namespace {

/// Which options do nothing beside others.
void icl_msr_effects(OptionBuilder& t) {
  t.only_with(
      "icl_msr.train", {"meta"},
      {"icl_msr.virtual_lr", "icl_msr.outer_views", "icl_msr.second_order", "icl_msr.radius", "icl_msr.compare"});
  t.only_with("icl_msr.train", {"meta", "ordinary"},
              {"icl_msr.every", "icl_msr.gamma", "icl_msr.meta_optimizer", "icl_msr.meta_lr", "icl_msr.meta_momentum",
               "icl_msr.meta_weight_decay"});
  t.idle_with({{"icl_msr.lambda", {"0"}}},
              {"icl_msr.normalize", "icl_msr.average", "icl_msr.streaming", "icl_msr.virtual_lr", "icl_msr.outer_views",
               "icl_msr.second_order", "icl_msr.radius", "icl_msr.compare"});
  t.idle_with({{"icl_msr.second_order", {"none"}}},
              {"icl_msr.virtual_lr", "icl_msr.outer_views", "icl_msr.radius", "icl_msr.compare"});
  t.idle_with({{"icl_msr.second_order", {"exact"}}, {"icl_msr.compare", {"off"}}}, {"icl_msr.radius"});
  t.only_with("icl_msr.meta_optimizer", {"sgd"}, {"icl_msr.meta_momentum"});
  t.only_with("icl_msr.build", {"features", "images"}, {"icl_msr.hidden"});
  t.idle_with({{"icl_msr.strata", {"1"}}}, {"icl_msr.gamma"});
}

}  // namespace

RegularizerSettings regularizer_settings(const IclMsrOptions& options, const EncoderSettings& encoder) {
  RegularizerSettings settings;
  settings.build = options.build;
  settings.strata = options.strata;
  settings.dim = encoder.dim();
  settings.hidden = options.hidden;
  settings.image_size = encoder.image_size;
  settings.channels = encoder.channels;
  settings.deviation = options.initial_deviation;
  if (settings.deviation == 0) settings.deviation = options.train == RegularizerTraining::fixed ? 1 : 0.5;
  return settings;
}

OptimizerSettings meta_optimizer_settings(const IclMsrOptions& options) {
  OptimizerSettings settings;
  settings.kind = options.meta_optimizer;
  settings.momentum = options.meta_momentum;
  settings.weight_decay = options.meta_weight_decay;
  return settings;
}

BilevelOptions bilevel_options(const IclMsrOptions& options) {
  return {.form = options.second_order, .radius = options.radius, .compare = options.compare};
}

double virtual_rate(const IclMsrOptions& options, const Options& run) {
  if (options.virtual_lr > 0) return options.virtual_lr;
  return run.optimizer == OptimizerKind::sgd ? run.effective_lr() / (1 - run.momentum) : 0.5;
}

void declare_icl_msr(OptionBuilder& t) {
  t.registered("icl_msr.base", option(&IclMsrOptions::base), method_names(),
               "base method whose loss compares the views");
  t.number("icl_msr.lambda", option(&IclMsrOptions::lambda), ranges::not_negative,
           "weight of the base's loss under the strata (interventions); 0: the base alone");
  t.flag("icl_msr.normalize", option(&IclMsrOptions::normalize),
         "divide the sum of both losses by 1 + lambda, so that the step does not grow with lambda");
  t.number("icl_msr.strata", option(&IclMsrOptions::strata), ranges::from(1, 65536), "number of strata");
  t.choice("icl_msr.average", option(&IclMsrOptions::average),
           {{"likelihood", StrataAverage::likelihood}, {"log_likelihood", StrataAverage::log_likelihood}},
           "quantity averaged over the strata, for bases with a likelihood (simclr)");
  t.flag("icl_msr.streaming", option(&IclMsrOptions::streaming),
         "keep one stratum in memory at a time; the backward pass runs the heads again");
  t.choice("icl_msr.build", option(&IclMsrOptions::build),
           {{"features", RegularizerBuild::features},
            {"images", RegularizerBuild::images},
            {"table", RegularizerBuild::table}},
           "input of the regularizer: the encoder's features, the images, or none (a learned table)");
  t.number("icl_msr.hidden", option(&IclMsrOptions::hidden), ranges::layer, "width of the regularizer's hidden layer");
  t.number("icl_msr.initial_deviation", option(&IclMsrOptions::initial_deviation), ranges::not_negative,
           "standard deviation of the initial weights of the regularizer's last layer (table: of its logits); 0: 0.5, "
           "or 1 with train fixed");
  t.choice("icl_msr.train", option(&IclMsrOptions::train),
           {{"meta", RegularizerTraining::meta},
            {"ordinary", RegularizerTraining::ordinary},
            {"fixed", RegularizerTraining::fixed}},
           "how to train the regularizer: by the loss after a virtual step, by the step's own loss, or not at all");
  t.number("icl_msr.gamma", option(&IclMsrOptions::gamma), ranges::not_negative,
           "weight of the uniformity term, which keeps the strata apart; 0: off");
  t.number("icl_msr.every", option(&IclMsrOptions::every), ranges::from(1, 1e9),
           "train the regularizer in every k-th step");
  t.number("icl_msr.virtual_lr", option(&IclMsrOptions::virtual_lr), ranges::not_negative,
           "learning rate of the virtual step; 0: lr batch / 256 / (1 - momentum) with sgd, 0.5 with other optimizers");
  t.choice("icl_msr.outer_views", option(&IclMsrOptions::outer_views),
           {{"same", OuterViews::same}, {"fresh", OuterViews::fresh}},
           "views for the loss after the virtual step: the step's own, or new ones of the same images");
  t.choice("icl_msr.second_order", option(&IclMsrOptions::second_order), second_order_words,
           "how to compute the mixed second derivative in the meta-gradient; none: only the uniformity term trains the "
           "regularizer");
  t.number("icl_msr.radius", option(&IclMsrOptions::radius), ranges::positive,
           "finite differences: length of the step to either side");
  t.flag("icl_msr.compare", option(&IclMsrOptions::compare),
         "compute and log both forms (exact, finite_difference) of the mixed derivative");
  t.choice("icl_msr.meta_optimizer", option(&IclMsrOptions::meta_optimizer),
           {{"adam", OptimizerKind::adam}, {"sgd", OptimizerKind::sgd}}, "optimizer of the regularizer");
  t.number("icl_msr.meta_lr", option(&IclMsrOptions::meta_lr), ranges::not_negative,
           "learning rate of the regularizer; constant, not scaled by the batch");
  t.number("icl_msr.meta_momentum", option(&IclMsrOptions::meta_momentum), ranges::below_one,
           "momentum of the regularizer's optimizer, if sgd");
  t.number("icl_msr.meta_weight_decay", option(&IclMsrOptions::meta_weight_decay), ranges::not_negative,
           "weight decay of the regularizer");
  icl_msr_effects(t);
}

}  // namespace vergence
