// The register-blocked product. With AVX-512, 24 vectors of sums (6 rows of 4 vectors for a full panel) stay in
// registers over the depth; each step loads 4 vectors of b and broadcasts 6 values of a for 24 multiply-adds. Other
// targets: 8 vectors (2 rows of 4).
#include "kernels/cpu/conv/block_product.h"

#include <algorithm>

#include "kernels/cpu/simd.h"

namespace vergence {

namespace {

/// The depth is cut into slices, so that a slice of a panel (64 KB) stays in the nearer caches. Longer slices gain
/// nothing; shorter ones load and store the sums too often (128: 8 % slower).
constexpr std::int64_t depth_slice = 256;

#ifdef __AVX512F__
constexpr int rows_beside(int vectors) { return vectors == 4 ? 6 : vectors == 3 ? 8 : vectors == 2 ? 12 : 16; }
#else
constexpr int rows_beside(int vectors) { return vectors == 4 ? 2 : vectors == 3 ? 4 : vectors == 2 ? 6 : 8; }
#endif

template <int rows, int vectors>
void block(std::int64_t depth, const float* a, std::int64_t row_step, std::int64_t depth_step, const float* b,
           std::int64_t width, float* out, std::int64_t out_step, bool add) {
  FloatVector sums[rows][vectors];
#pragma GCC unroll 16
  for (int row = 0; row < rows; ++row)
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) sums[row][v] = FloatVector{};
  for (std::int64_t p = 0; p < depth; ++p, a += depth_step, b += width) {
    FloatVector right[vectors];
    for (int v = 0; v < vectors; ++v) right[v] = vector_at(b + v * float_lanes);
#pragma GCC unroll 16
    for (int row = 0; row < rows; ++row)
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v) sums[row][v] += a[row * row_step] * right[v];
  }
#pragma GCC unroll 16
  for (int row = 0; row < rows; ++row)
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) {
      LooseFloatVector& to = vector_at(out + row * out_step + v * float_lanes);
      to = add ? to + sums[row][v] : sums[row][v];
    }
}

/// All rows of one strip of `vectors` vectors, one slice of the depth.
template <int vectors>
void strip(const BlockProduct& t, std::int64_t first, std::int64_t depth, const float* b, std::int64_t width,
           float* out) {
  constexpr int rows = rows_beside(vectors);
  static_assert(rows - 1 <= spare_rows);
  for (std::int64_t row = 0; row < t.rows; row += rows)
    block<rows, vectors>(depth, t.a + row * t.row_step + first * t.depth_step, t.row_step, t.depth_step, b, width,
                         out + row * t.columns, t.columns, t.add || first > 0);
}

}  // namespace

void multiply(const BlockProduct& t) {
  for (std::int64_t column = 0; column < t.columns; column += panel_width) {
    const std::int64_t width = std::min(panel_width, t.columns - column);
    for (std::int64_t first = 0; first < t.depth; first += depth_slice) {
      const std::int64_t depth = std::min(depth_slice, t.depth - first);
      for (std::int64_t done = 0; done < width;) {
        const float* b = t.b + column * t.depth + first * width + done;
        float* out = t.out + column + done;
        const std::int64_t vectors = std::min<std::int64_t>(4, (width - done) / float_lanes);
        switch (vectors) {
          case 4:
            strip<4>(t, first, depth, b, width, out);
            break;
          case 3:
            strip<3>(t, first, depth, b, width, out);
            break;
          case 2:
            strip<2>(t, first, depth, b, width, out);
            break;
          default:
            strip<1>(t, first, depth, b, width, out);
            break;
        }
        done += vectors * float_lanes;
      }
    }
  }
}

}  // namespace vergence
