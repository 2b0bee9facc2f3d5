// `bench ops`: times each operation of a training step by itself and compares it with the machine's best.
//
// Operands are random and like those of a step: convolutions and heads read ReLU outputs, the stem reads the device's
// own views. GB/s counts the bytes that an operation must move (the table says how), not those that it does move.
#pragma once

#include <string>

#include "ssl/bench/step.h"

namespace vergence {

/// Returns a table. Per operation and shape of one step: the number of calls, the time of one and of all, GFLOP/s or
/// GB/s, and the fraction of the best matrix product or copy in the same run. Below it the floor of the step
/// (convolutions and matrix products as measured, other passes at copy speed), and its share of the measured step.
std::string bench_ops(const BenchSettings& settings);

}  // namespace vergence
