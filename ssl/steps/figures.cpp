#include "ssl/steps/figures.h"

#include <algorithm>
#include <cstdio>

#include "engine/text/words.h"

namespace vergence {
namespace {

constexpr double share_of_work = 0.02;
constexpr std::int64_t judged_images = 2000, largest_bank = 10'000, bank_per_query = 5, most_knn = 10;

/// How many of a step's FLOPs take the time of one of the eigenvalues' FLOPs, which are f64 on one thread of the host.
/// Estimates: 4 GFLOP/s against 40 of the steps on a CPU, and 100 TFLOP/s on a GPU.
double host_weight(bool beside_device) { return beside_device ? 25'000 : 10; }

/// FLOPs of the Gram matrix and its eigenvalues.
double rank_flops(double images, double dim) {
  const double size = std::min(images, dim);
  return 2 * images * dim * size + 4.0 / 3 * size * size * size;
}

/// The first and the last of `epochs`, and as many others as `work` allows.
std::int64_t times_within(double work, double each, std::int64_t epochs, std::int64_t most) {
  const std::int64_t always = std::min<std::int64_t>(2, epochs), more = std::min(epochs, most) - always;
  const double allowed = std::clamp(work / each - static_cast<double>(always), 0.0, static_cast<double>(more));
  return always + static_cast<std::int64_t>(allowed);
}

}  // namespace

/// The i-th, from 0, is 1 + i (epochs - 1) / (times - 1), rounded.
bool SpacedEpochs::contains(std::int64_t epoch) const {
  return epoch >= 1 && epoch <= epochs && until(epoch) > until(epoch - 1);
}

std::int64_t SpacedEpochs::until(std::int64_t epoch) const {
  if (times == 0 || epoch < 1) return 0;
  if (times == 1 || epoch >= epochs) return epoch >= epochs ? times : 0;
  // Counts i with 2 i (epochs - 1) + times - 1 < 2 epoch (times - 1), that is, rounded places below `epoch`.
  const std::int64_t bound = 2 * epoch * (times - 1) - (times - 1), each = 2 * (epochs - 1);
  return (bound + each - 1) / each;
}

double FigurePlan::work_until(std::int64_t epoch) const {
  const std::int64_t of_knn = knn_every > 0 ? epoch / knn_every : knn.until(epoch);
  return static_cast<double>(collapse.until(epoch)) * collapse_work + static_cast<double>(of_knn) * knn_work;
}

std::string FigurePlan::text(double run_flops) const {
  if (collapse.times == 0) return "";
  std::string line =
      join("figures           deviation and RankMe of ", images, " images after ", counted(collapse.times, "epoch"));
  if (knn.times > 0) line += join(", kNN after ", counted(knn.times, "epoch"), " where there are labels");
  if (knn_every > 0) line += join(", kNN every ", counted(knn_every, "epoch"));
  char share[40];
  std::snprintf(share, sizeof share, ": %.1f %% of the work\n", 100 * work_until(collapse.epochs) / run_flops);
  return line + share;
}

std::string knn_images(const Options& options) {
  if (options.eval_limit > 0) return std::to_string(options.eval_limit);
  return options.eval_every > 0 ? "all" : "planned";
}

FigurePlan plan_figures(const Options& options, const FigureNeeds& needs) {
  FigurePlan plan;
  plan.images = std::min(judged_images, needs.images);
  plan.knn_every = options.eval_every;
  if (options.eval_limit > 0) {
    plan.bank = plan.queries = options.eval_limit;
  } else if (options.eval_every == 0) {
    plan.bank = std::min(largest_bank, needs.images);
    plan.queries = std::max<std::int64_t>(1, plan.bank / bank_per_query);
  }
  const auto dim = static_cast<double>(needs.dim), images = static_cast<double>(plan.images);
  const auto bank = static_cast<double>(plan.bank > 0 ? plan.bank : needs.images);
  const double queries = plan.queries > 0 ? static_cast<double>(plan.queries) : bank / bank_per_query;
  constexpr int forms = 2;  // of kNN
  plan.collapse_work = images * needs.image_flops + host_weight(needs.beside_device) * rank_flops(images, dim);
  plan.knn_work = (bank + queries) * needs.image_flops + forms * 2 * bank * queries * dim;
  if (!options.figures) return plan;
  const std::int64_t epochs = options.epochs;
  const bool with_knn = options.eval_every == 0;
  const double work = share_of_work * needs.run_flops;
  const double kept = with_knn ? static_cast<double>(std::min<std::int64_t>(2, epochs)) * plan.knn_work : 0;
  plan.collapse = {epochs, times_within(work - kept, plan.collapse_work, epochs, epochs)};
  const double left = work - static_cast<double>(plan.collapse.times) * plan.collapse_work;
  if (with_knn) plan.knn = {epochs, times_within(left, plan.knn_work, epochs, most_knn)};
  return plan;
}

}  // namespace vergence
