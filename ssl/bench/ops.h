// `bench ops`: times each operation of a training step by itself and compares it with the machine's best.
#pragma once

#include <string>

#include "ssl/bench/step.h"

namespace vergence {

/// Returns a table. For each operation and shape of one step: the number of calls, the time of one call and of all,
/// GFLOP/s or GB/s, and the fraction of the ceiling measured in the same run (the best matrix product, or a copy). Then
/// the floor of the step: its convolutions and matrix products as measured, and every other pass at copy speed; and the
/// fraction of the measured step that this floor makes up. Operands are random and like those of a step: convolutions
/// and heads read ReLU outputs, the stem reads the device's own views. GB/s counts the bytes that an operation must
/// move (the table says how), not those that it does move.
std::string bench_ops(const BenchSettings& settings);

}  // namespace vergence
