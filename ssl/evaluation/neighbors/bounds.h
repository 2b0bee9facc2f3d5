// Bounds of distances out of an f32 matrix product: they tell which rows of a bank cannot be among the nearest, so that
// few have to be measured in f64.
//
// All is seen from a center c near the bank. With x = q - c, y = b - c, r = |q| - |c| and s = |b| - |c|,
//
//   euclidean   |q - b|^2 - |x|^2             =                 |y|^2       - 2 x.y
//   cosine      |q| |b| chord^2               = |x|^2 - r^2  +  |y|^2 - s^2 + 2 (r s - x.y)
//
// (the latter is |q - b|^2 - (|q| - |b|)^2). No term is larger than the spread of the features, however far from the
// origin they lie. x.y comes from the device, everything else from f64 sums. What may be wrong is at most
//
//   2 |x| |y| (d u / (1 - d u) + 2 o + 32 u)  +  16 u (| |x|^2 - r^2 | + |y|^2),      u = 2^-24, d values
//
// where the product adds d terms in f32 in any order, its operands are rounded by o, and 32 u and 16 u cover centered
// values in f32 (2 u |x| |y|) and the few operations on the way to the bound; to which comes what the f64 distances
// themselves may be off by, so that the bounds hold for those as they are computed. Underflow adds less than d 2^-100
// in units where the largest |y_j| lies in (1/2, 1].
#pragma once

#include <cstdint>
#include <vector>

#include "ssl/evaluation/features/matrix.h"
#include "ssl/evaluation/neighbors/distances.h"

namespace vergence {

/// A row seen from the center, in the scale of the product.
struct Place {
  double radius = 0;  // |y|
  double length = 0;  // |b|
  double excess = 0;  // |b| - |c|
};

/// The center and the scale.
class CenteredFrame {
 public:
  /// Around the mean of the bank; `lengths` of its rows.
  CenteredFrame(const Features& bank, const std::vector<double>& lengths);

  Place place(const float* row, double length) const;
  /// Writes (row - center) times the scale, f32.
  void center_row(const float* row, float* out) const;

  const std::vector<Place>& bank() const { return bank_; }

 private:
  std::vector<double> center_;
  double scale_ = 1, center_length_ = 0;
  std::vector<Place> bank_;
};

/// True if products with this row stay finite and say something: its centered values may be used.
inline bool within_range(const Place& query) { return query.radius <= 0x1p20; }

/// Bounds of the distances of queries to the rows of a bank, in units that differ from query to query and keep the
/// order of its distances. A bound that is not known is infinite.
class DistanceBounds {
 public:
  /// What belongs to the query.
  struct Query {
    float base = 0, excess = 0, reach = 0;
    double slack = 0;
  };

  /// `operand_rounding`: Backend::f32_operand_rounding of who computes the products.
  DistanceBounds(Distance distance, const std::vector<Place>& bank, std::int64_t dim, double operand_rounding);

  Query query(const Place& place) const;
  /// Lower bounds of the distances to rows first ... first + count - 1, from the products with them.
  void lower(const float* products, std::int64_t first, std::int64_t count, const Query& query, float* bounds) const;
  /// The upper bound that belongs to a lower one.
  float upper(float lower, std::int64_t row, const Query& query) const;

 private:
  Distance distance_;
  double dim_, product_error_, longest_ = 0;
  std::vector<float> weight_, base_, excess_, radius_;  // weight_, excess_: cosine alone
};

}  // namespace vergence
