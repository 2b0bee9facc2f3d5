// VICReg (Bardes, Ponce, LeCun: "VICReg: variance-invariance-covariance regularization for self-supervised learning",
// ICLR 2022): the two views' embeddings should agree, keep their spread in every dimension, and have no correlated
// dimensions.
#include "engine/ops/ops.h"
#include "ssl/losses.h"
#include "ssl/objective_list.h"

namespace vergence {
namespace {

struct VicregOptions {
  double invariance = 25, variance = 25, covariance = 1;  // weights of the terms
  double deviation = 1, epsilon = 1e-4;                   // the target spread, and what is added to a variance
  std::int64_t hidden = 2048, output = 2048;  // projector: two hidden layers with batch norm, one output layer
};

class Vicreg final : public Method {
 public:
  explicit Vicreg(const ObjectiveSetup& setup)
      : options_(setup.options.components.get<VicregOptions>()),
        projector_(make_mlp({.name = "projector",
                             .sizes = {setup.encoder.dim(), options_.hidden, options_.hidden, options_.output},
                             .hidden_norm = true},
                            setup.init())) {}

  std::vector<Mlp*> heads() override { return {&projector_}; }
  Tensor embed(const Tensor& features, const ForwardMode& pass) const override { return projector_(features, pass); }

  /// invariance mean (z1 - z2)^2 + variance (V(z1) + V(z2)) / 2 + covariance (C(z1) + C(z2)), as in the authors' code.
  Tensor loss(const Embeddings& embeddings, Parts* parts) const override {
    const Tensor& z = embeddings.online;
    const Tensor first = centered(view(z, 0)), second = centered(view(z, 1));
    const Tensor invariance = options_.invariance * mean(square(view(z, 0) - view(z, 1)));
    const Tensor variance = options_.variance / 2 * (missing_deviation(first) + missing_deviation(second));
    const Tensor covariance = options_.covariance * (squared_covariances(first) + squared_covariances(second));
    if (parts) *parts = {{"invariance", invariance}, {"variance", variance}, {"covariance", covariance}};
    return invariance + variance + covariance;
  }

 private:
  static Tensor centered(const Tensor& z) { return z - sum_over_rows(z) / static_cast<double>(z.rows()); }

  /// Variance per dimension, unbiased.
  static Tensor variances(const Tensor& z) { return dot_rows(z, z) / static_cast<double>(z.rows() - 1); }

  /// V: the mean over dimensions of max(0, deviation - sqrt(variance + epsilon)).
  Tensor missing_deviation(const Tensor& z) const {
    return mean(relu(options_.deviation - sqrt(variances(z) + options_.epsilon)));
  }

  /// C: the sum of squared covariances of different dimensions, divided by the number of dimensions. Z^T Z and Z Z^T
  /// have the same sum of squares; this uses the smaller one.
  static Tensor squared_covariances(const Tensor& z) {
    const bool by_rows = z.rows() < z.cols();
    const Tensor products = matmul(z, z, !by_rows, by_rows), own = variances(z);
    const double n = static_cast<double>(z.rows() - 1);
    const Tensor all = dot(products, products) / (n * n);
    return (all - dot(own, own)) / static_cast<double>(z.cols());
  }

  VicregOptions options_;
  Mlp projector_;
};

void options(OptionBuilder& t) {
  t.number("vicreg.invariance", option(&VicregOptions::invariance), ranges::not_negative,
           "weight of the invariance term");
  t.number("vicreg.variance", option(&VicregOptions::variance), ranges::not_negative, "weight of the variance term");
  t.number("vicreg.covariance", option(&VicregOptions::covariance), ranges::not_negative,
           "weight of the covariance term");
  t.number("vicreg.deviation", option(&VicregOptions::deviation), ranges::positive,
           "standard deviation below which the variance term penalizes a dimension");
  t.number("vicreg.epsilon", option(&VicregOptions::epsilon), ranges::not_negative,
           "added to the variance under the square root");
  t.number("vicreg.hidden", option(&VicregOptions::hidden), ranges::layer,
           "width of the projector's two hidden layers");
  t.number("vicreg.output", option(&VicregOptions::output), ranges::layer,
           "width of the embeddings (the projector's output)");
}

}  // namespace

namespace objectives {

ObjectiveEntry vicreg() {
  return {.name = "vicreg",
          .title = "VICReg",
          .options = options,
          .make_base = [](const ObjectiveSetup& setup, const Encoder&) -> std::unique_ptr<Method> {
            return std::make_unique<Vicreg>(setup);
          }};
}

}  // namespace objectives
}  // namespace vergence
