// How a row of the op table is checked on a device; see checks.h.
#include "tests/op_table/checks.h"

#include <gtest/gtest.h>

#include "tests/support/checked_backend.h"

namespace vergence::test {
namespace {

struct Tolerance {
  double output, first, second;
};

Tolerance tolerance(DType dtype, double slack) {
  switch (dtype) {
    case DType::f64:
      return {1e-12, 1e-11, 1e-11};
    case DType::f32:
      return {1e-5 * slack, 2e-5 * slack, 5e-5 * slack};
    default:
      return {2e-2 * slack, 2e-2 * slack, 4e-2 * slack};
  }
}

void expect_close(const char* what, const std::vector<Values>& found, const std::vector<Values>& expected,
                  double limit) {
  ASSERT_EQ(found.size(), expected.size()) << what;
  for (std::size_t i = 0; i < found.size(); ++i)
    EXPECT_LE(relative_error(found[i], expected[i]), limit) << what << " " << i;
}

/// The row's results on a device whose memory is poisoned and guarded.
Results evaluate_checked(const OpCase& row, Backend& device, const std::vector<Values>& inputs, DType dtype) {
  CheckedBackend checked(device);
  Results results = evaluate(row, checked, inputs, dtype, dtype);
  for (const std::string& problem : checked.problems()) ADD_FAILURE() << problem;
  EXPECT_EQ(checked.live_blocks(), 0u) << "memory is still held after everything was let go";
  return results;
}

}  // namespace

Reference reference_of(const OpCase& row, DType dtype) {
  const std::vector<Values> inputs = draw_inputs(row, dtype);
  // Rows of casts name their types; all others compute their reference in f64.
  const bool as_is = row.ops == std::vector<std::string>{"cast"};
  return {dtype, inputs, evaluate(row, cpu_backend(), inputs, as_is ? dtype : DType::f64, dtype)};
}

void check_on(const OpCase& row, const Reference& reference, Backend& device) {
  const Results results = evaluate_checked(row, device, reference.inputs, reference.dtype);
  const Tolerance limit = tolerance(reference.dtype, row.slack);
  expect_close("output", results.outputs, reference.results.outputs, limit.output);
  expect_close("order 1", results.first, reference.results.first, limit.first);
  expect_close("order 2", results.second, reference.results.second, limit.second);
  const Results again = evaluate_checked(row, device, reference.inputs, reference.dtype);
  EXPECT_TRUE(results.outputs == again.outputs && results.first == again.first && results.second == again.second)
      << "a second run gave other bits";
}

}  // namespace vergence::test
