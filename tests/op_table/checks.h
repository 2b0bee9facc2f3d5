// Checks of one row of the op table on one device; see op_table_test.cpp.
#pragma once

#include "tests/op_table/runner.h"

namespace vergence::test {

/// The row's inputs for a precision, and its results on the CPU in f64: what devices are compared with.
struct Reference {
  DType dtype;
  std::vector<Values> inputs;
  Results results;
};
Reference reference_of(const OpCase& row, DType dtype);

/// Output, first and second order on `device` against the reference, in poisoned and guarded memory, twice with the
/// same bits. Failures are GoogleTest's.
void check_on(const OpCase& row, const Reference& reference, Backend& device);

}  // namespace vergence::test
