// The table of op cases. One row says how to call an op, on what inputs, and what may be asked of it; runner.h runs
// a row on a device in a precision, and op_table_test.cpp checks every row on every device in every precision it
// allows. To cover a new op, add a row to the file of its family in this folder (elementwise.cpp, norm.cpp, ...).
#pragma once

#include <functional>
#include <ostream>
#include <string>
#include <vector>

#include "engine/ops/ops.h"
#include "kernels/communicator.h"

namespace vergence::test {

using Values = std::vector<double>;

/// How an input's values are drawn.
enum class Draw {
  normal,
  positive,  // in [0.5, 2]
  off_zero,  // magnitude in [0.3, 1.5], either sign: away from a kink at 0
  distinct,  // multiples of 0.05, all different, shuffled: no near ties in a maximum; rounding to bf16 can make equal
             // ones
  offset,    // 100 + normal: a mean far from zero
  index,     // integers in [0, limit)
};

struct Input {
  Shape shape;
  Draw draw = Draw::normal;
  bool differentiable = true;
  bool master = false;     // of the master type of the row's precision
  std::int64_t limit = 0;  // for Draw::index
};

struct OpCase {
  std::string name;              // letters, digits and underscores
  std::vector<std::string> ops;  // the recorded names this row is about; each must really be seen while it runs
  std::vector<Input> inputs;
  std::function<Tensors(const Tensors&)> run = {};
  /// The first output, computed by plain loops that share nothing with the engine; may be empty.
  std::function<Values(const std::vector<Values>&)> expect = {};
  std::vector<DType> dtypes = {DType::f64, DType::f32, DType::bf16};
  bool finite_differences = true;  // false where the recorded derivative is, by design, not the derivative
  bool kinks = false;              // values may lie near a kink: take smaller steps in the differences
  double slack = 1;                // multiplies the tolerances of f32 and bf16
  /// With ranks: `inputs` are those of the first rank, then as many of the second and so on. Each rank runs
  /// `run_on_rank`, instead of `run`, on its own ones, and calls `grad` on its own outputs; a derivative is that of the
  /// sum over all ranks. Results are listed in rank order.
  int ranks = 1;
  std::function<Tensors(const Tensors&, Communicator&)> run_on_rank = {};
};

inline std::ostream& operator<<(std::ostream& out, const OpCase& row) { return out << row.name; }

// One part of the table per file.
std::vector<OpCase> elementwise_cases();
std::vector<OpCase> reduce_cases();
std::vector<OpCase> move_cases();
std::vector<OpCase> linear_cases();
std::vector<OpCase> conv_cases();
std::vector<OpCase> norm_cases();
std::vector<OpCase> pool_cases();
std::vector<OpCase> loss_cases();
std::vector<OpCase> recomputed_cases();
std::vector<OpCase> collective_cases();

/// The whole table.
inline std::vector<OpCase> op_cases() {
  std::vector<OpCase> all;
  for (auto part : {elementwise_cases, reduce_cases, move_cases, linear_cases, conv_cases, norm_cases, pool_cases,
                    loss_cases, recomputed_cases, collective_cases})
    for (OpCase& row : part()) all.push_back(std::move(row));
  return all;
}

}  // namespace vergence::test
