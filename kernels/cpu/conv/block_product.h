// A small matrix product on cached data, for callers that arrange their operands themselves: the core of winograd.cpp.
#pragma once

#include <cstdint>

namespace vergence {

/// The columns of b are stored in panels this wide; the last panel may be narrower (a multiple of float_lanes).
inline constexpr std::int64_t panel_width = 64;

/// Computes the rows of out in whole blocks: reads (of a) and writes (of out) up to this many rows past the last one,
/// with meaningless values. Callers must leave room for them.
inline constexpr std::int64_t spare_rows = 15;

/// out(rows, columns) = or += a(rows, depth) b(depth, columns); columns: a multiple of float_lanes. a(i, p) is
/// a[i * row_step + p * depth_step]. b is stored panel after panel, each (depth, panel's width). out is row-major.
struct BlockProduct {
  std::int64_t rows, columns, depth;
  const float* a;
  std::int64_t row_step, depth_step;
  const float* b;
  float* out;
  bool add;
};

void multiply(const BlockProduct& product);

}  // namespace vergence
