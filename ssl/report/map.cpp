// Eigenvectors of the smaller of X^T X and X X^T, X the centered features.
#include "ssl/report/map.h"

#include <Eigen/Eigenvalues>
#include <algorithm>
#include <cmath>

#include "kernels/error.h"

namespace vergence {
namespace {

Eigen::MatrixXd centered(const Features& features) {
  Eigen::MatrixXd rows(features.rows(), features.dim);
  for (std::int64_t i = 0; i < features.rows(); ++i)
    for (std::int64_t j = 0; j < features.dim; ++j) rows(i, j) = features.row(i)[j];
  const Eigen::RowVectorXd mean = rows.colwise().mean();
  rows.rowwise() -= mean;
  return rows;
}

/// The values, negated if the one largest in size is negative: eigenvectors have no sign of their own.
std::vector<double> with_fixed_sign(Eigen::VectorXd values) {
  Eigen::Index largest = 0;
  values.cwiseAbs().maxCoeff(&largest);
  if (values(largest) < 0) values = -values;
  return {values.begin(), values.end()};
}

}  // namespace

FeatureMap principal_map(const Features& features) {
  check_features(features, "map");
  require_usage(features.rows() >= 3 && features.dim >= 2, "map: ", features.rows(), " images with ", features.dim,
                " features, expected at least 3 with 2");
  const Eigen::MatrixXd rows = centered(features);
  const bool tall = rows.rows() >= rows.cols();
  const Eigen::MatrixXd gram =
      tall ? Eigen::MatrixXd(rows.transpose() * rows) : Eigen::MatrixXd(rows * rows.transpose());
  const double variance = gram.trace();
  require_usage(variance > 0, "map: all images have the same features");
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> solver(gram);
  require(solver.info() == Eigen::Success, "map: the iteration did not converge");
  const auto along = [&](Eigen::Index rank) {
    const Eigen::Index place = gram.rows() - 1 - rank;
    const Eigen::VectorXd direction = solver.eigenvectors().col(place);
    const double length = std::sqrt(std::max(solver.eigenvalues()(place), 0.0));
    return with_fixed_sign(tall ? Eigen::VectorXd(rows * direction) : Eigen::VectorXd(direction * length));
  };
  const auto share = [&](Eigen::Index rank) {
    return std::max(solver.eigenvalues()(gram.rows() - 1 - rank), 0.0) / variance;
  };
  return {along(0), along(1), share(0), share(1)};
}

}  // namespace vergence
