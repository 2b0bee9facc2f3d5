// Every objective on every base, with options that change its step: for tests of how a batch is divided.
#pragma once

#include <cmath>
#include <ostream>
#include <string>
#include <vector>

#include "ssl/method.h"
#include "tests/support/small_objectives.h"

namespace vergence {

struct ObjectiveCase {
  std::string name, objective;
  Switches options;
};

inline void PrintTo(const ObjectiveCase& setting, std::ostream* out) { *out << setting.name; }

inline std::vector<ObjectiveCase> objective_cases() {
  std::vector<ObjectiveCase> all;
  for (const std::string& base : method_names()) {
    all.push_back({base, base, {}});
    for (const char* objective : {"mrcl", "dsa", "icl_msr"})
      all.push_back({join(objective, "_", base), objective, {{join(objective, ".base"), base}}});
  }
  const auto add = [&](const char* name, const char* objective, const Switches& options) {
    all.push_back({name, objective, options});
  };
  add("metamask", "metamask", {});
  add("metamask_fused", "metamask", {{"metamask.fused", "on"}});
  add("metamask_full_fresh", "metamask", {{"metamask.meta_loss", "full"}, {"metamask.meta_batch", "fresh"}});
  add("metamask_difference", "metamask", {{"metamask.second_order", "finite_difference"}});
  add("icl_msr_streaming", "icl_msr", {{"icl_msr.streaming", "on"}, {"icl_msr.build", "images"}});
  add("icl_msr_fresh", "icl_msr", {{"icl_msr.outer_views", "fresh"}, {"icl_msr.build", "features"}});
  add("icl_msr_compare", "icl_msr", {{"icl_msr.compare", "on"}});
  add("mrcl_map", "mrcl", {{"mrcl.rec_input", "map"}, {"mrcl.mask_views", "one"}, {"mrcl.mask_fill", "token"}});
  add("mrcl_joint", "mrcl", {{"joint-head-norm", "on"}, {"mrcl.rec_target", "clean"}});
  add("dsa_ema", "dsa", {{"dsa.prior_net", "ema"}, {"dsa.lambda2", "0.2"}});
  return all;
}

inline Options options_of(const ObjectiveCase& setting, std::int64_t width, std::int64_t batch) {
  Options options = small_options(setting.objective, width, batch, "16", "8");
  options.optimizer = OptimizerKind::sgd;
  options.momentum = 0.9;
  set_all(options, {"vicreg.hidden", "metamask.redundancy_hidden", "metamask.contrastive_hidden"}, "16");
  set_all(options, {"vicreg.output", "metamask.redundancy_output", "metamask.contrastive_output", "icl_msr.hidden"},
          "8");
  set_options(options, {{"icl_msr.strata", "3"},
                        {"icl_msr.every", "1"},
                        {"icl_msr.meta_optimizer", "sgd"},  // Adam's first steps are the signs of tiny gradients
                        {"icl_msr.meta_lr", "1e-6"},
                        {"mrcl.decoder_width", "4"},
                        {"dsa.prior_net", "random"},
                        {"dsa.eta", "3"}});
  set_options(options, setting.options);
  return options;
}

/// What a step leaves behind.
struct StepResults {
  std::vector<double> losses, parameters;
  std::vector<std::vector<double>> gradients;  // of the first step: of the model, and of a mask or regularizer
};

inline std::vector<double> parameters_of(Objective& objective) {
  std::vector<double> all;
  for (const auto& [name, set] : objective.state().parameters)
    for (const double value : set.flat().values()) all.push_back(value);
  return all;
}

inline std::vector<std::vector<double>> gradients_of(Objective& objective) {
  std::vector<std::vector<double>> all;
  for (const auto& [name, set] : objective.state().parameters)
    if (set.gradient()) all.push_back(set.gradient().values());
  return all;
}

/// In the Euclidean norm, relative to b.
inline void expect_close(const std::vector<double>& a, const std::vector<double>& b, double tolerance) {
  ASSERT_EQ(a.size(), b.size());
  double difference = 0, size = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    difference += (a[i] - b[i]) * (a[i] - b[i]);
    size += b[i] * b[i];
  }
  EXPECT_LT(std::sqrt(difference / size), tolerance);
}

}  // namespace vergence
