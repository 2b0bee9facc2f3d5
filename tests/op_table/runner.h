// Runs one row of the op table: forward, first and second order, on any device in any precision.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "tests/op_table/cases.h"

namespace vergence::test {

/// Standard normal numbers, the same for the same name and number.
Values normal_values(const std::string& name, std::uint64_t number, std::int64_t count);

/// The row's inputs as host values, rounded to what `dtype` can hold.
std::vector<Values> draw_inputs(const OpCase& row, DType dtype);

/// With outputs y_k(x) and random cotangents c_k: first = the gradients G_i of sum <c_k, y_k> for each differentiable
/// input; with random directions a_i, second = those of S = sum <G_i, a_i> for each such input, then for each c_k. With
/// ranks, sums are over all of them, and each list is in rank order.
struct Results {
  std::vector<Values> outputs, first, second;
};

/// `inputs` are host values; cotangents and directions are rounded to `dtype` and depend on the row alone.
Results evaluate(const OpCase& row, Backend& device, const std::vector<Values>& inputs, DType dtype, DType rounding);

/// Compares first and second order on the CPU in f64 with central differences; returns one line per disagreement.
std::vector<std::string> check_differences(const OpCase& row, const std::vector<Values>& inputs);

/// |a - b| / |b| in the Euclidean norm, with |b| taken as at least 1e-3 per element; infinite for NaN or unequal sizes.
double relative_error(const Values& a, const Values& b);

/// While one of these lives, the names of all ops recorded on this thread are collected; of a row with ranks, those of
/// the first.
class OpNames {
 public:
  OpNames();
  ~OpNames();
  OpNames(const OpNames&) = delete;
  OpNames& operator=(const OpNames&) = delete;
  const std::set<std::string>& seen() const { return seen_; }

 private:
  std::set<std::string> seen_;
};

}  // namespace vergence::test
