// Helpers shared by the CPU kernels: type dispatch, and sums over rows and columns that are accurate (double across
// elements), vectorized, and independent of the number of threads (the partition into blocks depends only on the shape;
// partial sums are combined in block order).
#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>
#include <vector>

#include "kernels/parallel.h"
#include "kernels/types.h"

namespace vergence::cpu {

/// The number of elements that justifies another thread.
inline constexpr std::int64_t grain = 16384;

/// The number of rows of `cols` elements that make up about `grain` elements.
inline std::int64_t row_grain(std::int64_t cols) {
  return std::max<std::int64_t>(1, grain / std::max<std::int64_t>(1, cols));
}

/// Calls `f` with std::true_type or std::false_type: a run-time choice becomes a compile-time one outside the loop.
template <class F>
decltype(auto) with_flag(bool flag, F&& f) {
  return flag ? f(std::true_type{}) : f(std::false_type{});
}

/// Calls `f` with an unsigned integer as wide as an element of `type`: for kernels that only move elements.
template <class F>
decltype(auto) with_bits(DType type, F&& f) {
  switch (size_of(type)) {
    case 1:
      return f(std::uint8_t{});
    case 2:
      return f(std::uint16_t{});
    case 4:
      return f(std::uint32_t{});
    default:
      return f(std::uint64_t{});
  }
}

/// Calls `body(i)` for i in [begin, end), vectorized: iterations must be independent. For g++ 12 to vectorize it,
/// `body` must capture by value, and locals of class type must be inside it rather than directly in a loop.
template <class Body>
void for_simd(std::int64_t begin, std::int64_t end, const Body body) {
#pragma omp simd
  for (std::int64_t i = begin; i < end; ++i) body(i);
}

/// sums[s * cols + c] += the sum over rows [begin, end) of the s-th term at (row, c). `term(i, c, add)` adds its N
/// terms at flat element i, column c, to the array `add`. Four rows are added in Real before the double sum.
template <int N, class Real, class Term>
void add_columns(std::int64_t begin, std::int64_t end, std::int64_t cols, double* sums, const Term term) {
  std::int64_t row = begin;
  for (; row + 4 <= end; row += 4) {
    const std::int64_t first = row * cols;
    for_simd(0, cols, [=](std::int64_t c) {
      Real add[N] = {};
      term(first + c, c, add);
      term(first + cols + c, c, add);
      term(first + 2 * cols + c, c, add);
      term(first + 3 * cols + c, c, add);
      for (int s = 0; s < N; ++s) sums[s * cols + c] += static_cast<double>(add[s]);
    });
  }
  for (; row < end; ++row) {
    for_simd(0, cols, [=](std::int64_t c) {
      Real add[N] = {};
      term(row * cols + c, c, add);
      for (int s = 0; s < N; ++s) sums[s * cols + c] += static_cast<double>(add[s]);
    });
  }
}

/// The number of blocks into which the rows of each of `groups` groups are cut; depends only on the shape.
inline std::int64_t blocks_per_group(std::int64_t groups, std::int64_t rows, std::int64_t cols) {
  const std::int64_t most = std::max<std::int64_t>(1, 64 / std::max<std::int64_t>(1, groups));
  return std::clamp<std::int64_t>(std::min(rows, rows * cols / (2 * grain)), 1, most);
}

/// Column sums of `groups` groups of `rows` rows. Returns sums[(group * N + s) * cols + c]; `term(i, k, add)` as in
/// add_columns, but k = group * cols + c indexes values per group and column.
template <int N, class Real, class Term>
std::vector<double> column_sums(std::int64_t groups, std::int64_t rows, std::int64_t cols, const Term term) {
  const std::int64_t blocks = blocks_per_group(groups, rows, cols), width = N * cols;
  std::vector<double> partial(static_cast<std::size_t>(groups * blocks * width), 0.0);
  parallel_for(groups * blocks, row_grain(rows * cols / blocks), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t unit = begin; unit < end; ++unit) {
      const std::int64_t group = unit / blocks, block = unit % blocks, offset = group * cols;
      const std::int64_t first = group * rows + rows * block / blocks,
                         last = group * rows + rows * (block + 1) / blocks;
      add_columns<N, Real>(first, last, cols, partial.data() + unit * width,
                           [=](std::int64_t i, std::int64_t c, Real* add) { term(i, offset + c, add); });
    }
  });
  if (blocks == 1) return partial;
  std::vector<double> sums(static_cast<std::size_t>(groups * width), 0.0);
  parallel_for(groups * width, grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t k = begin; k < end; ++k) {
      const double* part = partial.data() + (k / width) * blocks * width + k % width;
      for (std::int64_t block = 0; block < blocks; ++block) sums[static_cast<std::size_t>(k)] += part[block * width];
    }
  });
  return sums;
}

/// The sum of term(i), computed in Real, over i in [begin, end), in double.
template <class Term>
double sum_range(std::int64_t begin, std::int64_t end, const Term term) {
  double sum = 0;
#pragma omp simd reduction(+ : sum)
  for (std::int64_t i = begin; i < end; ++i) sum += static_cast<double>(term(i));
  return sum;
}

/// The sum of term(i) over i in [0, count), in parallel.
template <class Term>
double sum_all(std::int64_t count, const Term term) {
  const std::int64_t blocks = std::clamp<std::int64_t>(count / grain, 1, 64);
  double partial[64];
  parallel_for(blocks, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t b = begin; b < end; ++b)
      partial[b] = sum_range(count * b / blocks, count * (b + 1) / blocks, term);
  });
  double sum = 0;
  for (std::int64_t b = 0; b < blocks; ++b) sum += partial[b];
  return sum;
}

}  // namespace vergence::cpu
