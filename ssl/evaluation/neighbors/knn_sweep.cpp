#include "ssl/evaluation/neighbors/knn_sweep.h"

#include <algorithm>

#include "ssl/evaluation/sampling/subset.h"

namespace vergence {

std::vector<KnnForm> knn_sweep_forms() {
  std::vector<KnnForm> forms;
  for (const std::int64_t k : {1, 5, 10, 20, 50, 100, 200})
    for (const double temperature : {0.02, 0.05, 0.07, 0.1, 0.2, 0.5, 0.0})
      forms.push_back({Distance::cosine, k, temperature});
  return forms;
}

KnnSweep knn_sweep(const Features& bank, const Features& query, Backend& backend) {
  check_labeled(bank, "kNN bank");
  const HeldOutTenth split = hold_out_tenth(bank.labels);
  const Features kept = rows_at(bank, split.kept), held_out = rows_at(bank, split.held_out);
  KnnSweep sweep;
  sweep.forms = knn_sweep_forms();
  sweep.held_out_images = held_out.rows();
  for (const KnnResult& result : knn_classify(kept, held_out, sweep.forms, backend))
    sweep.held_out.push_back(result.top1);
  sweep.best =
      static_cast<std::size_t>(std::max_element(sweep.held_out.begin(), sweep.held_out.end()) - sweep.held_out.begin());
  sweep.judged = knn_classify(bank, query, sweep.forms, backend);
  return sweep;
}

}  // namespace vergence
