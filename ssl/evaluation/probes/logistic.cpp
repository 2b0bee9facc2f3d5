// Multinomial logistic regression: the objective in f64 on the CPU, minimized by liblbfgs.
#include "ssl/evaluation/probes/logistic.h"

#include <algorithm>
#include <exception>
#include <iostream>
#include <memory>

#include "engine/graph.h"
#include "engine/ops/ops.h"
#include "engine/tensor.h"
#include "ssl/evaluation/probes/standardize.h"

#ifdef VERGENCE_LBFGS
#include <lbfgs.h>
#endif

namespace vergence {

double logistic_loss(const Features& features, double lambda, const std::vector<double>& point,
                     std::vector<double>& gradient) {
  constexpr std::int64_t block = 2048;  // f64 rows in memory at a time
  const std::int64_t dim = features.dim, classes = features.classes, rows = features.rows(), weights = dim * classes;
  require(static_cast<std::int64_t>(point.size()) == weights + classes, "logistic_loss: ", point.size(),
          " parameters, expected ", weights + classes);
  Backend& cpu = cpu_backend();
  const Tensor all = from_values(cpu, {weights + classes}, point);
  const Tensor weight = leaf(part_of(all, 0, {classes, dim})), bias = leaf(part_of(all, weights, {classes}));

  double loss = 0;
  Tensor weight_gradient = zeros(cpu, {classes, dim}, DType::f64), bias_gradient = zeros(cpu, {classes}, DType::f64);
  for (std::int64_t begin = 0; begin < rows; begin += block) {
    const std::int64_t count = std::min(block, rows - begin);
    const std::vector<std::int32_t> targets(features.labels.begin() + begin, features.labels.begin() + begin + count);
    const std::vector<float> values(features.row(begin), features.row(begin + count));
    const Tensor x = cast(from_floats(cpu, {count, dim}, values), DType::f64);
    const double share = static_cast<double>(count) / static_cast<double>(rows);
    const Tensor part = share * cross_entropy(linear(x, weight, bias), from_indices(cpu, targets));
    const Tensors gradients = grad({part}, {weight, bias});
    loss += part.item();
    weight_gradient = add(weight_gradient, gradients[0]);
    bias_gradient = add(bias_gradient, gradients[1]);
  }
  const Tensor plain = weight.detached();
  loss += 0.5 * lambda * dot(plain, plain).item();
  gradient = add(weight_gradient, lambda * plain).values();
  const std::vector<double> biases = bias_gradient.values();
  gradient.insert(gradient.end(), biases.begin(), biases.end());
  return loss;
}

#ifndef VERGENCE_LBFGS

LinearClassifier train_logistic(const Features&, const ProbeSettings&, const ProbeProgress&) {
  throw UsageError("protocol lbfgs: this build has no liblbfgs, expected adam or sgd");
}

#else

namespace {

/// The data that liblbfgs passes to its callbacks. Exceptions must not cross the C library: `failure` keeps them.
struct Problem {
  const Features& features;
  const ProbeSettings& settings;
  const ProbeProgress& progress;
  std::size_t parameters;  // liblbfgs pads its vectors: the rest stays zero
  std::int64_t iterations = 0;
  std::exception_ptr failure = nullptr;
};

/// The length of the gradient at which the fit has converged, relative to that of the parameters (at least 1). The
/// penalty curves the loss by lambda in every direction of the weights. So with a tenth of lambda, the weights end
/// within about a tenth of their length of the optimum, and the loss within about a hundredth of the penalty of the
/// minimum. 1e-5 is liblbfgs's own; below 1e-8, steps change the loss by less than f64 tells.
double gradient_tolerance(double lambda) { return std::clamp(lambda / 10, 1e-8, 1e-5); }

/// Whether liblbfgs found no step that lowers the loss any more.
bool finds_no_step(int status) {
  return status == LBFGSERR_ROUNDING_ERROR || status == LBFGSERR_MINIMUMSTEP || status == LBFGSERR_MAXIMUMLINESEARCH ||
         status == LBFGSERR_WIDTHTOOSMALL;
}

lbfgsfloatval_t evaluate(void* instance, const lbfgsfloatval_t* x, lbfgsfloatval_t* g, const int n,
                         const lbfgsfloatval_t) {
  Problem& problem = *static_cast<Problem*>(instance);
  std::fill(g, g + n, 0.0);
  try {
    std::vector<double> gradient;
    const double loss = logistic_loss(problem.features, problem.settings.weight_decay,
                                      std::vector<double>(x, x + problem.parameters), gradient);
    std::copy(gradient.begin(), gradient.end(), g);
    return loss;
  } catch (...) {
    problem.failure = std::current_exception();
    return 0;  // the zero gradient stops liblbfgs
  }
}

int report(void* instance, const lbfgsfloatval_t*, const lbfgsfloatval_t*, const lbfgsfloatval_t loss,
           const lbfgsfloatval_t, const lbfgsfloatval_t, const lbfgsfloatval_t, int, int iteration, int) {
  Problem& problem = *static_cast<Problem*>(instance);
  problem.iterations = iteration;
  try {
    if (!problem.failure && problem.progress) problem.progress(iteration, loss);
  } catch (...) {
    problem.failure = std::current_exception();
  }
  return problem.failure ? 1 : 0;
}

}  // namespace

LinearClassifier train_logistic(const Features& train, const ProbeSettings& settings, const ProbeProgress& progress) {
  check_labeled(train, "probe");
  const Standardization standardization(train.values, train.dim);
  const Features features{train.dim, train.classes, standardization.apply(train.values), train.labels};
  const std::size_t parameters = static_cast<std::size_t>((train.dim + 1) * train.classes);
  Problem problem{features, settings, progress, parameters};

  const std::unique_ptr<lbfgsfloatval_t, void (*)(lbfgsfloatval_t*)> x(lbfgs_malloc(static_cast<int>(parameters)),
                                                                       lbfgs_free);
  require(x != nullptr, "probe: L-BFGS found no memory for ", parameters, " parameters");
  std::fill(x.get(), x.get() + parameters, 0.0);
  lbfgs_parameter_t options;
  lbfgs_parameter_init(&options);
  options.epsilon = gradient_tolerance(settings.weight_decay);
  options.max_iterations = static_cast<int>(std::min<std::int64_t>(settings.epochs, 1'000'000));
  lbfgsfloatval_t loss = 0;
  const int status = lbfgs(static_cast<int>(parameters), x.get(), &loss, evaluate, report, &problem, &options);
  if (problem.failure) std::rethrow_exception(problem.failure);
  if (status == LBFGS_ALREADY_MINIMIZED && progress) progress(0, loss);  // features that are all equal
  const bool stuck = finds_no_step(status) && problem.iterations > 0;
  const bool stopped = stuck || status == LBFGSERR_MAXIMUMITERATION;
  require(status >= 0 || stopped, "probe: L-BFGS failed with status ", status, " of lbfgs.h");
  if (stopped)
    std::cerr << "notice: L-BFGS stopped after " << problem.iterations << " iterations, before it had converged"
              << (stuck ? ": f64 tells no lower loss\n" : "\n");
  LinearClassifier result = standardization.unapply({x.get(), x.get() + parameters}, train.classes);
  result.convergence = {!stopped, problem.iterations};
  return result;
}

#endif

}  // namespace vergence
