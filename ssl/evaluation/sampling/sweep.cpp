#include "ssl/evaluation/sampling/sweep.h"

#include <cmath>
#include <cstdio>
#include <limits>

#include "engine/text/words.h"

namespace vergence {
namespace {

std::string trial_text(const Trial& trial) {
  std::string text;
  for (const auto& [name, value] : trial) text += join(text.empty() ? "" : ", ", name, " ", value);
  return text;
}

}  // namespace

nlohmann::ordered_json Sweep::json() const {
  nlohmann::ordered_json json{{"chosen_on", "held-out tenth of the training images, Philox seed 0 stream 10"},
                              {"held_out_images", images}};
  for (const auto& [name, value] : chosen()) json["chosen"][name] = value;
  for (std::size_t i = 0; i < trials.size(); ++i) {
    nlohmann::ordered_json trial;
    for (const auto& [name, value] : trials[i]) trial[name] = value;
    trial["held_out_top1"] = nullptr;
    if (std::isfinite(held_out[i])) trial["held_out_top1"] = std::round(100 * held_out[i]) / 100;
    json["trials"].push_back(trial);
  }
  return json;
}

Sweep try_all(const std::vector<Trial>& trials, std::int64_t held_out_images, const TryOut& try_out,
              const TrialShown& show) {
  require(!trials.empty(), "sweep: there is nothing to try");
  Sweep sweep{trials, {}, 0, held_out_images};
  for (const Trial& trial : trials) {
    double top1 = std::numeric_limits<double>::quiet_NaN();
    try {
      top1 = try_out(trial);
    } catch (const NotFinite&) {  // the next ones may do better
    }
    sweep.held_out.push_back(top1);
    const double best = sweep.held_out[sweep.best];
    if (top1 > best || (std::isnan(best) && !std::isnan(top1))) sweep.best = sweep.held_out.size() - 1;
    const std::string figure = std::isnan(top1) ? "the loss is not finite" : "held-out top1 " + fixed_text(top1, 2);
    if (show) show(join("sweep: ", trial_text(trial), ": ", figure));
  }
  require(!std::isnan(sweep.held_out[sweep.best]), "sweep: the loss is not finite with any of the ", trials.size(),
          " settings");
  if (show) show(join("sweep: chosen ", trial_text(sweep.chosen()), " on ", held_out_images, " held-out images"));
  return sweep;
}

}  // namespace vergence
