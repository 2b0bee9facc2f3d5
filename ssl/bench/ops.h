// `bench ops`: every operation of a training step on its own, beside what the machine can do at best.
#pragma once

#include <string>

#include "ssl/bench/step.h"

namespace vergence {

/// A table: for each operation and shape of one step its calls, the time of one and of all, GFLOP/s or GB/s, and the
/// fraction of the ceiling measured in the same run (the best matrix product, or copying). Then the floor of the step:
/// its convolutions and matrix products as measured, and every other pass at copying speed; and which fraction of the
/// measured step that is. Operands are random, as in a step: convolutions and heads read what a ReLU left, the stem a
/// device's own views. GB/s counts the bytes an operation must move (the table says how), not those it does move.
std::string bench_ops(const BenchSettings& settings);

}  // namespace vergence
