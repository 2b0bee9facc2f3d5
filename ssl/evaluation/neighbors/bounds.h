// Bounds of distances from an f32 matrix product. They show which rows of a bank cannot be among the nearest, so only a
// few rows need an f64 distance.
//
// All coordinates are relative to a center c near the bank. With x = q - c, y = b - c, r = |q| - |c| and s = |b| - |c|,
//
//   euclidean   |q - b|^2 - |x|^2             =                 |y|^2       - 2 x.y
//   cosine      |q| |b| chord^2               = |x|^2 - r^2  +  |y|^2 - s^2 + 2 (r s - x.y)
//
// (the latter is |q - b|^2 - (|q| - |b|)^2). No term exceeds the spread of the features, however far they are from the
// origin. x.y comes from the device, everything else from f64 sums. The error is at most
//
//   2 |x| |y| (d u / (1 - d u) + 2 o + 32 u)  +  16 u (| |x|^2 - r^2 | + |y|^2),      u = 2^-24, d values
//
// where the product adds d terms in f32 in any order, o is the rounding of its operands, and 32 u and 16 u cover the
// rounding of centered values to f32 (2 u |x| |y|) and the few operations that lead to the bound. The error of the f64
// distances is added, so the bounds also hold for the distances as computed. Underflow adds less than d 2^-100 in units
// where the largest |y_j| is in (1/2, 1].
#pragma once

#include <cstdint>
#include <vector>

#include "ssl/evaluation/features/matrix.h"
#include "ssl/evaluation/neighbors/distances.h"

namespace vergence {

/// A row relative to the center, in the scale of the product.
struct RowLengths {
  double radius = 0;  // |y|
  double length = 0;  // |b|
  double excess = 0;  // |b| - |c|
};

/// The center and the scale.
class CenteredFrame {
 public:
  /// Centers on the mean of the bank; `lengths` are those of its rows.
  CenteredFrame(const Features& bank, const std::vector<double>& lengths);

  RowLengths lengths_of(const float* row, double length) const;
  /// Writes (row - center) times the scale, in f32.
  void center_row(const float* row, float* out) const;

  const std::vector<RowLengths>& bank() const { return bank_; }

 private:
  std::vector<double> center_;
  double scale_ = 1, center_length_ = 0;
  std::vector<RowLengths> bank_;
};

/// True if products with this row stay finite and are meaningful, so its centered values may be used.
inline bool within_range(const RowLengths& query) { return query.radius <= 0x1p20; }

/// Bounds of the distances from queries to the rows of a bank. The units differ between queries but preserve the order
/// of a query's distances. An unknown bound is infinite.
class DistanceBounds {
 public:
  /// Values of one query.
  struct Query {
    float base = 0, excess = 0, reach = 0;
    double slack = 0;
  };

  /// `operand_rounding`: Backend::f32_operand_rounding of the device that computes the products.
  DistanceBounds(Distance distance, const std::vector<RowLengths>& bank, std::int64_t dim, double operand_rounding);

  Query query(const RowLengths& row) const;
  /// Computes lower bounds of the distances to rows first ... first + count - 1 from their products.
  void lower(const float* products, std::int64_t first, std::int64_t count, const Query& query, float* bounds) const;
  /// Returns the upper bound for a lower one.
  float upper(float lower, std::int64_t row, const Query& query) const;

 private:
  Distance distance_;
  double dim_, product_error_, longest_ = 0;
  std::vector<float> weight_, base_, excess_, radius_;  // weight_, excess_: cosine only
};

}  // namespace vergence
