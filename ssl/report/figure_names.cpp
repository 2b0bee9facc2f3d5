#include "ssl/report/figure_names.h"

#include <limits>

#include "kernels/error.h"
#include "ssl/steps/figures.h"

namespace vergence {
namespace {

/// With the bank and the queries of planned figures in a run of so many training images; the plan has no epochs.
FigurePlan planned_images(std::int64_t images) {
  Options planned;
  planned.figures = false;
  return plan_figures(planned, {.images = images});
}

}  // namespace

std::string judged_text(const Series& series, const Options& options) {
  if (!is_online_knn(series.name)) return "";
  if (series.knn_images != "planned") return join(" (", series.knn_images, " images)");
  if (options.limit == 0) return "";
  const FigurePlan plan = planned_images(options.limit),
                   usual = planned_images(std::numeric_limits<std::int64_t>::max());
  return plan.bank == usual.bank ? "" : join(" (", plan.queries, " images against ", plan.bank, ")");
}

}  // namespace vergence
