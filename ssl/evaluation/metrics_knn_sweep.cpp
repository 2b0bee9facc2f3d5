// The metric knn_sweep: kNN over many k and temperatures, the pair chosen on training images.
#include <nlohmann/json.hpp>

#include "kernels/error.h"
#include "ssl/evaluation/metrics.h"
#include "ssl/evaluation/neighbors/knn_sweep.h"
#include "ssl/evaluation/sampling/bootstrap.h"

namespace vergence {
namespace {

nlohmann::ordered_json temperature_of(const KnnForm& form) {
  if (form.temperature > 0) return form.temperature;
  return "majority";
}

}  // namespace

Metrics::Json Metrics::knn_sweep() {
  const KnnSweep sweep = vergence::knn_sweep(bank(), query(), *subject_.backend);
  const KnnForm& best = sweep.forms[sweep.best];
  const KnnResult& judged = sweep.judged[sweep.best];
  const Interval interval = bootstrap_interval(judged.predicted, query().labels, settings_.seed);
  const std::string temperature =
      best.temperature > 0 ? join("temperature ", best.temperature) : std::string("majority");
  line("knn_sweep top1", judged.top1, 2,
       join("k = ", judged.k, ", ", temperature, ", chosen on ", sweep.held_out_images,
            " held-out images of the bank; 95 %: ", interval.text()));
  Json json{{"top1", two_decimals(judged.top1)},
            {"interval_95", interval.json()},
            {"k", judged.k},
            {"temperature", temperature_of(best)},
            {"chosen_on", "held-out tenth of the bank, Philox seed 0 stream 10"},
            {"held_out_images", sweep.held_out_images}};
  for (std::size_t i = 0; i < sweep.forms.size(); ++i) {
    Json row{{"k", sweep.judged[i].k}, {"temperature", temperature_of(sweep.forms[i])}};
    row["held_out_top1"] = two_decimals(sweep.held_out[i]);
    row["judged_top1_for_information"] = two_decimals(sweep.judged[i].top1);
    json["table"].push_back(row);
  }
  tell_cover(bank().labels, query().labels, limit_text(), json);
  return json;
}

}  // namespace vergence
