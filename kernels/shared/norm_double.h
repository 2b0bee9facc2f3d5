// Combines the sums of batch norm's double backward for one statistic group and channel, in the notation of
// kernels/cpu/norm.cpp: single source, compiled by the C++ compiler and by nvcc.
#pragma once

#include "kernels/backend.h"

namespace vergence {

/// Sums over the rows: of g after the ReLU's mask, a, a g, g d and a d.
struct DoubleSums {
  double g = 0, a = 0, ag = 0, gd = 0, ad = 0;
};

struct DoubleCoefficients {
  /// dg = dg_a (a - mean_a) + dg_d d + dg_1 [+ a_add], dx = dg_d (g - mean_g) + dx_a (a - mean_a) + dx_d d.
  enum Row { mean_g, mean_a, dg_a, dg_d, dg_1, dx_a, dx_d, row_count };

  /// sum: over all ranks; own: over this rank's rows.
  VERGENCE_BOTH DoubleCoefficients(const NormShape& shape, const DoubleSums& sum, const DoubleSums& own, double r,
                                   double gamma, double b, double c) {
    const double m = static_cast<double>(shape.all_rows()), gain = gamma * r;
    double mg = 0, ma = 0, G = 0, A = 0, C = sum.ag / m;
    if (shape.training) {
      mg = sum.g / m, ma = sum.a / m, G = sum.gd * r / m, A = sum.ad * r / m;
      C -= ma * mg;
    }
    dgamma = shape.ranks ? r * (own.ag - ma * own.g - A * r * own.gd) : r * m * (C - A * G);
    rows[mean_g] = mg;
    rows[mean_a] = ma;
    rows[dg_a] = gain;
    rows[dg_d] = r * (b - gain * A);
    rows[dg_1] = c;
    rows[dx_a] = -gain * r * G;
    rows[dx_d] = shape.training ? -r * r * (b * G + gain * (C - 3 * A * G)) : 0.0;
  }

  double rows[row_count];
  double dgamma;  // the contribution of the group's rows on this rank
};

}  // namespace vergence
