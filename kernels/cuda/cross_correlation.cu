// The cross-correlation loss on the GPU, f32 and f64. With c = z1^T z2 / N of both views' N embeddings of width D:
//   forward   diagonal = sum_i (c_ii - 1)^2, off_diagonal = sum_{i != j} c_ij^2
//   backward  gz1 = (2 / N^2) beta G1 + w z2, gz2 = (2 / N^2) beta G2 + w z1
// with the cotangents alpha and beta of the two sums, one w_i per column, and either directly
//   G1 = z2 F^T, G2 = z1 F, F = N c off the diagonal and 0 on it, w_i = (2 / N) alpha (c_ii - 1)
// or by the Gram matrices, with sum_ij c_ij^2 = <z1 z1^T, z2 z2^T> / N^2,
//   G1 = (z2 z2^T) z1, G2 = (z1 z1^T) z2, w_i = (2 / N) (alpha (c_ii - 1) - beta c_ii).
// Forward in one kernel, bound by multiply-adds outside the tensor cores. Direct, 2 N D^2 FLOP: a block forms a tile of
// c, sums it and, if a gradient will follow, writes it as F. Gram, 2 N^2 D FLOP: a block forms a tile of both symmetric
// matrices, on one side of the diagonal only, and multiplies them without storing them. Backward: two products of 2 N
// D^2 each, or four of 2 N^2 D, by gemm, and one pass over z and its gradient (bound by memory).
#include <cmath>

#include "kernels/cuda/backend.h"
#include "kernels/cuda/loops.h"
#include "kernels/cuda/tiles.h"

namespace vergence::VERGENCE_GPU {
namespace {

/// Writes this block's tile of F to `factor` (may be null), N c_ii to `c_ii`, the sum of F's squares to partial[block].
template <class Layout, class Real>
__global__ void __launch_bounds__(256) direct_tiles(CrossCorrelationShape shape, std::int64_t tiles, const Real* z1,
                                                    const Real* z2, double* partial, Real* factor, Real* c_ii) {
  constexpr int micro = Layout::micro;
  const std::int64_t cols = shape.cols;
  const std::int64_t first_row = blockIdx.x / tiles * Layout::size, first_column = blockIdx.x % tiles * Layout::size;
  Real sums[micro][micro] = {};
  add_products<Layout, false>(Vectors<Real>{z1, cols, shape.rows, 1, cols}, first_row,
                              Vectors<Real>{z2, cols, shape.rows, 1, cols}, first_column, sums);
  sum_groups<Layout>(sums);
  double squares = 0;
  for (int i = 0; i < micro && Layout::group() == 0; ++i) {
    const std::int64_t row = first_row + Layout::index(Layout::row_thread(), i);
    Real sum = 0;
    for (int j = 0; j < micro; ++j) {
      const std::int64_t column = first_column + Layout::index(Layout::column_thread(), j);
      if (row >= cols || column >= cols) continue;
      const Real value = row == column ? Real(0) : sums[i][j];
      if (row == column) c_ii[row] = sums[i][j];
      if (factor) factor[row * cols + column] = value;
      sum += value * value;
    }
    squares += static_cast<double>(sum);
  }
  squares = block_fold<Adding, Layout::threads>(squares);
  if (threadIdx.x == 0) partial[blockIdx.x] = squares;
}

/// The position of tile `index` among those on and above the diagonal, column by column.
__device__ inline void triangle_place(std::int64_t index, std::int64_t& row, std::int64_t& column) {
  column = static_cast<std::int64_t>((std::sqrt(8.0 * static_cast<double>(index) + 1.0) - 1.0) / 2.0);
  while (column * (column + 1) / 2 > index) --column;
  while ((column + 1) * (column + 2) / 2 <= index) ++column;
  row = index - column * (column + 1) / 2;
}

/// Writes the block's part of <z1 z1^T, z2 z2^T>, including the mirrored tile, to partial[block].
template <class Layout, class Real>
__global__ void __launch_bounds__(256)
    gram_tiles(CrossCorrelationShape shape, const Real* z1, const Real* z2, double* partial) {
  constexpr int micro = Layout::micro;
  std::int64_t row_tile, column_tile;
  triangle_place(blockIdx.x, row_tile, column_tile);
  Real of_first[micro][micro] = {}, of_second[micro][micro] = {};
  const Vectors<Real> first{z1, shape.rows, shape.cols, shape.cols, 1},
      second{z2, shape.rows, shape.cols, shape.cols, 1};
  add_products<Layout, true>(first, row_tile * Layout::size, first, column_tile * Layout::size, of_first);
  add_products<Layout, true>(second, row_tile * Layout::size, second, column_tile * Layout::size, of_second);
  sum_groups<Layout>(of_first);
  sum_groups<Layout>(of_second);
  double total = 0;
  for (int i = 0; i < micro && Layout::group() == 0; ++i) {
    Real sum = 0;
    for (int j = 0; j < micro; ++j) sum += of_first[i][j] * of_second[i][j];
    total += static_cast<double>(sum);
  }
  total = block_fold<Adding, Layout::threads>(total);
  if (threadIdx.x == 0) partial[blockIdx.x] = row_tile == column_tile ? total : 2 * total;
}

/// One block: adds the tiles' sums in a fixed order and divides c_ii by N.
template <class Real>
__global__ void finish_loss(CrossCorrelationShape shape, std::int64_t parts, const double* partial, Real* c_ii,
                            Real* diagonal, Real* off_diagonal) {
  const double n = static_cast<double>(shape.rows);
  double squares = 0, on = 0, own = 0;
  for (std::int64_t i = threadIdx.x; i < parts; i += blockDim.x) squares += partial[i];
  for (std::int64_t i = threadIdx.x; i < shape.cols; i += blockDim.x) {
    const double value = static_cast<double>(c_ii[i]) / n;
    on += (value - 1) * (value - 1), own += value * value;
    c_ii[i] = static_cast<Real>(value);
  }
  squares = block_fold<Adding, 256>(squares);
  on = block_fold<Adding, 256>(on);
  own = block_fold<Adding, 256>(own);
  if (threadIdx.x > 0) return;
  *diagonal = static_cast<Real>(on);
  *off_diagonal = static_cast<Real>(squares / (n * n) - (shape.gram ? own : 0.0));
}

/// gz1 and gz2 from G1 and G2, in place.
template <class Real>
__global__ void finish_gradient(CrossCorrelationShape shape, const Real* g_diagonal, const Real* g_off_diagonal,
                                const Real* z, const Real* c_ii, Real* gz) {
  const std::int64_t size = shape.rows * shape.cols, threads = grid_threads();
  const Real inverse = Real(1) / static_cast<Real>(shape.rows);
  const Real alpha = *g_diagonal * 2 * inverse, beta = *g_off_diagonal * 2 * inverse;
  for (std::int64_t i = grid_thread(); i < size; i += threads) {
    const Real c = c_ii[i - quotient(i, shape.cols) * shape.cols];
    const Real w = alpha * (c - 1) - (shape.gram ? beta * c : Real(0));
    gz[i] = beta * inverse * gz[i] + w * z[size + i];
    gz[size + i] = beta * inverse * gz[size + i] + w * z[i];
  }
}

/// Calls `f` with the largest tiles that still give the GPU enough blocks; `tiles_of(size)` is the number of tiles.
template <class Real, class TilesOf, class F>
void with_layout(const TilesOf& tiles_of, const F& f) {
  constexpr std::int64_t enough = 128;
  if constexpr (sizeof(Real) == 4)
    if (tiles_of(TileLayout<8, 1>::size) >= enough) return f(TileLayout<8, 1>{});
  if (tiles_of(TileLayout<4, 1>::size) >= enough) return f(TileLayout<4, 1>{});
  f(TileLayout<4, 4>{});
}

}  // namespace

void CudaBackend::cross_correlation_loss(const CrossCorrelationShape& shape, ConstArray z, Array diagonal,
                                         Array off_diagonal, Array c_ii, Array factor) {
  with_master(z.dtype, [&](auto zero) {
    using Real = decltype(zero);
    const std::int64_t size = shape.rows * shape.cols;
    const Real *z1 = z.as<Real>(), *z2 = z1 + size;
    const auto tiles_of = [&](std::int64_t tile) {
      const std::int64_t side = ceil_div(shape.gram ? shape.rows : shape.cols, tile);
      return shape.gram ? side * (side + 1) / 2 : side * side;
    };
    with_layout<Real>(tiles_of, [&](auto layout) {
      using Layout = decltype(layout);
      const std::int64_t tiles = tiles_of(Layout::size);
      const Scratch<double> partial(device_, tiles);
      if (shape.gram) {
        launch("cross_correlation_gram", gram_tiles<Layout, Real>, static_cast<unsigned>(tiles), 256, device_.stream(),
               shape, z1, z2, partial.data());
        reduce(Reduce::dot, Along::rows, shape.rows, shape.cols, {z1, size, z.dtype}, {z2, size, z.dtype}, c_ii);
      } else {
        launch("cross_correlation_direct", direct_tiles<Layout, Real>, static_cast<unsigned>(tiles), 256,
               device_.stream(), shape, ceil_div(shape.cols, Layout::size), z1, z2, partial.data(), factor.as<Real>(),
               c_ii.as<Real>());
      }
      launch("cross_correlation_finish", finish_loss<Real>, 1, 256, device_.stream(), shape, tiles, partial.data(),
             c_ii.as<Real>(), diagonal.as<Real>(), off_diagonal.as<Real>());
    });
  });
}

void CudaBackend::cross_correlation_loss_backward(const CrossCorrelationShape& shape, ConstArray g_diagonal,
                                                  ConstArray g_off_diagonal, ConstArray z, ConstArray c_ii,
                                                  ConstArray factor, Array gz) {
  with_master(z.dtype, [&](auto zero) {
    using Real = decltype(zero);
    const std::int64_t rows = shape.rows, cols = shape.cols, size = rows * cols;
    const ConstArray z1{z.data, size, z.dtype}, z2{z.as<Real>() + size, size, z.dtype};
    const Array g1{gz.data, size, z.dtype}, g2{gz.as<Real>() + size, size, z.dtype};
    if (shape.gram) {
      const Scratch<Real> memory(device_, rows * rows);
      const Array gram{memory.data(), rows * rows, z.dtype};
      gemm(false, true, rows, rows, cols, z2, z2, {}, gram);
      gemm(false, false, rows, cols, rows, gram, z1, {}, g1);
      gemm(false, true, rows, rows, cols, z1, z1, {}, gram);
      gemm(false, false, rows, cols, rows, gram, z2, {}, g2);
    } else {
      gemm(false, true, rows, cols, cols, z2, factor, {}, g1);
      gemm(false, false, rows, cols, cols, z1, factor, {}, g2);
    }
    launch("cross_correlation_backward", finish_gradient<Real>, blocks_for(size, 1024), 256, device_.stream(), shape,
           g_diagonal.as<Real>(), g_off_diagonal.as<Real>(), z.as<Real>(), c_ii.as<Real>(), gz.as<Real>());
  });
}

}  // namespace vergence::VERGENCE_GPU
