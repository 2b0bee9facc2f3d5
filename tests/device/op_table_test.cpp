// Every row of the op table on a GPU: the hand-written kernels in every precision.
#include <gtest/gtest.h>

#include "tests/device/device_under_test.h"
#include "tests/op_table/checks.h"

namespace vergence::test {
namespace {

class DeviceOpTable : public testing::TestWithParam<OpCase> {};

TEST_P(DeviceOpTable, AgreesWithTheCpuInEveryPrecision) {
  const OpCase& row = GetParam();
  for (DType dtype : row.dtypes) {
    SCOPED_TRACE(name_of(dtype));
    check_on(row, reference_of(row, dtype), device_under_test());
  }
}

INSTANTIATE_TEST_SUITE_P(Row, DeviceOpTable, testing::ValuesIn(op_cases()),
                         [](const testing::TestParamInfo<OpCase>& info) { return info.param.name; });

}  // namespace
}  // namespace vergence::test
