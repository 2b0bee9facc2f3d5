// Computes the terms of the bounds in f64, and their sum in f32 with vector instructions.
#include "ssl/evaluation/neighbors/bounds.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/parallel.h"

namespace vergence {
namespace {

constexpr double u = 0x1p-24;  // the largest relative rounding of f32
// squared_chord is off by at most chord (the chord + chord), besides the rounding of its sum.
constexpr double chord = 0x1p-49;
constexpr float infinity = std::numeric_limits<float>::infinity();

std::vector<double> mean_of(const Features& bank) {
  std::vector<double> mean(static_cast<std::size_t>(bank.dim), 0.0);
  for (std::int64_t i = 0; i < bank.rows(); ++i)
    for (std::int64_t j = 0; j < bank.dim; ++j) mean[static_cast<std::size_t>(j)] += bank.row(i)[j];
  for (double& value : mean) value /= static_cast<double>(bank.rows());
  return mean;
}

/// The power of two that scales the value farthest from the center into (1/2, 1].
double scale_of(const Features& bank, const std::vector<double>& center) {
  double farthest = 0;
  for (std::int64_t i = 0; i < bank.rows(); ++i)
    for (std::int64_t j = 0; j < bank.dim; ++j)
      farthest = std::max(farthest, std::abs(bank.row(i)[j] - center[static_cast<std::size_t>(j)]));
  int exponent = 0;
  std::frexp(farthest, &exponent);
  return farthest > 0 ? std::ldexp(1.0, -exponent) : 1;
}

}  // namespace

CenteredFrame::CenteredFrame(const Features& bank, const std::vector<double>& lengths)
    : center_(mean_of(bank)), scale_(scale_of(bank, center_)), bank_(lengths.size()) {
  double squared = 0;
  for (double value : center_) squared += value * value;
  center_length_ = std::sqrt(squared) * scale_;
  parallel_for(bank.rows(), 64, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i)
      bank_[static_cast<std::size_t>(i)] = lengths_of(bank.row(i), lengths[static_cast<std::size_t>(i)]);
  });
}

RowLengths CenteredFrame::lengths_of(const float* row, double length) const {
  const double* center = center_.data();
  double squared = 0, along = 0;
#pragma omp simd reduction(+ : squared, along)
  for (std::size_t j = 0; j < center_.size(); ++j) {
    const double y = (row[j] - center[j]) * scale_;
    squared += y * y;
    along += y * center[j];
  }
  RowLengths lengths{std::sqrt(squared), length * scale_, 0};
  const double both = lengths.length + center_length_;  // |b|^2 - |c|^2 = 2 c.y + |y|^2
  if (both > 0) lengths.excess = (2 * along * scale_ + squared) / both;
  return lengths;
}

void CenteredFrame::center_row(const float* row, float* out) const {
  const double* center = center_.data();
  for (std::size_t j = 0; j < center_.size(); ++j) out[j] = static_cast<float>((row[j] - center[j]) * scale_);
}

DistanceBounds::DistanceBounds(Distance distance, const std::vector<RowLengths>& bank, std::int64_t dim,
                               double operand_rounding)
    : distance_(distance), dim_(static_cast<double>(dim)) {
  const double sums = dim_ * u < 1 ? dim_ * u / (1 - dim_ * u) : infinity;
  product_error_ = sums + operand_rounding * (2 + operand_rounding) + 32 * u;
  double squares = 0;
  for (const RowLengths& row : bank) {
    longest_ = std::max(longest_, row.length);
    squares += row.length * row.length / static_cast<double>(bank.size());
  }
  const bool cosine = distance == Distance::cosine;
  for (const RowLengths& row : bank) {
    const double squared = row.radius * row.radius,
                 weight = row.length > 0 ? std::sqrt(squares) / row.length : infinity;
    // A row much shorter than most, or a zero row, gets no bound. No row can be much longer than the root mean square.
    const bool known = !cosine || weight < 0x1p20;
    const double base = squared - (cosine ? row.excess * row.excess : 0) - 16 * u * squared;
    base_.push_back(known ? static_cast<float>(base) : -infinity);
    radius_.push_back(known ? static_cast<float>(row.radius) : 0);
    if (!cosine) continue;
    weight_.push_back(known ? static_cast<float>(weight) : 1);
    excess_.push_back(known ? static_cast<float>(row.excess) : 0);
  }
}

DistanceBounds::Query DistanceBounds::query(const RowLengths& row) const {
  Query query;
  if (!within_range(row)) {
    query.base = -infinity;
    return query;
  }
  const double squared = row.radius * row.radius;
  double base = 0, reach = product_error_ * row.radius;
  query.slack = dim_ * (0x1p-50 * squared + 0x1p-100);
  if (distance_ == Distance::cosine) {
    // The error of squared_chord times |q| |b|; |x| + |y| bounds the chord times sqrt(|q| |b|).
    const double error = chord * std::sqrt(row.length * longest_);
    base = squared - row.excess * row.excess;
    query.slack += 16 * u * std::abs(base) + error * (row.radius + error);
    reach += error / 2;
    query.excess = static_cast<float>(row.excess);
  }
  query.base = static_cast<float>(base - query.slack);
  query.reach = static_cast<float>(reach);
  return query;
}

void DistanceBounds::lower(const float* products, std::int64_t first, std::int64_t count, const Query& query,
                           float* bounds) const {
  const float *base = base_.data() + first, *radius = radius_.data() + first;
  const float query_base = query.base, query_excess = query.excess, reach = query.reach;
  if (distance_ == Distance::euclidean) {
    for (std::int64_t i = 0; i < count; ++i) bounds[i] = (query_base + base[i]) - 2 * (reach * radius[i] + products[i]);
    return;
  }
  const float *weight = weight_.data() + first, *excess = excess_.data() + first;
  for (std::int64_t i = 0; i < count; ++i)
    bounds[i] =
        weight[i] * ((query_base + base[i]) + 2 * ((query_excess * excess[i] - products[i]) - reach * radius[i]));
}

float DistanceBounds::upper(float lower, std::int64_t row, const Query& query) const {
  if (!(lower > -infinity)) return infinity;
  const auto i = static_cast<std::size_t>(row);
  const double radius = radius_[i], weight = distance_ == Distance::cosine ? weight_[i] : 1;
  const double width = 2 * weight * (query.slack + 16 * u * radius * radius + 2 * query.reach * radius);
  return std::nextafter(static_cast<float>(lower + width), infinity);
}

}  // namespace vergence
