// InfoNCE on the GPU, f32 and f64. With s = u u^T / temperature, p[i,j] = exp(s[i,j] - lse[i]) off the diagonal and 0
// on it; "+" is the column of row i's positive, g the cotangent of log_p, a the cotangent of gu:
//   forward      log_p[i] = s[i,+] - lse[i]
//   backward     gu = W u / temperature, W[i,j] = (g[i] + g[j]) [j = +] - g[i] p[i,j] - g[j] p[j,i]
//   double       t = (a u^T + u a^T) / temperature, m[i] = sum_j p[i,j] t[i,j]: dg[i] = t[i,+] - m[i],
//                du = (V u + W a) / temperature, V[i,j] = -g[i] p[i,j] (t[i,j] - m[i]) - g[j] p[j,i] (t[i,j] - m[j])
// Streaming: a block owns 64 rows, goes over its share of the columns 64 at a time, recomputes their scores and uses
// them in registers. If the rows do not fill the GPU, blocks also split the columns, by a rule that depends only on the
// shape, and their results are added in order. Bytes: u, a and the result a few times over (L2). FLOP for R rows of
// width d: 2 R^2 d forward, 4 backward, 16 for the second order (each 128 columns of a result recompute the scores).
// Bound by multiply-adds outside the tensor cores: tf32 would lose the precision that the second order needs.
// Stored scores: if `scores_fit`, CudaBackend::gemm computes the products of the first order, and the scores (4 R^2
// bytes) stay in L2 between them. If gemm rounds to tf32, the operands of the scores are split in two, which makes the
// scores as exact as in f32; W u is rounded like every product. Measured for R = 1024, d = 256 on an H200: streaming 38
// us forward, 85 us backward; stored, in tf32, 23 us forward (split 4, product 12, rows 6) and 35 us backward (scores
// 17, weights 5, product 13).
#include <cmath>
#include <limits>

#include "kernels/cuda/backend.h"
#include "kernels/cuda/loops.h"
#include "kernels/cuda/tiles.h"

namespace vergence::VERGENCE_GPU {
namespace {

using Layout = TileLayout<4, 1>;
constexpr int tile = Layout::size, micro = Layout::micro;
constexpr int slab = 2 * tile;  // columns of the result per block

/// The data of a call and their division among blocks.
template <class Real>
struct Work {
  std::int64_t sets, rows, width;
  Real scale;  // 1 / temperature
  const Real* u;
  std::int64_t row_tiles, shares, columns;  // columns of each share, whole tiles

  VERGENCE_BOTH std::int64_t all_rows() const { return sets * rows; }
  __device__ std::int64_t positive(std::int64_t row) const { return row < rows / 2 ? row + rows / 2 : row - rows / 2; }
  /// The rows of x in the set whose first row is `before`, as vectors to multiply with each other ...
  __device__ Vectors<Real> rows_of(const Real* x, std::int64_t before) const {
    return {x + before * width, rows, width, width, 1};
  }
  /// ... and its columns.
  __device__ Vectors<Real> columns_of(const Real* x, std::int64_t before) const {
    return {x + before * width, width, rows, 1, width};
  }
};

template <class Real>
Work<Real> work_of(const InfoNceShape& shape, const Real* u) {
  Work<Real> work{
      shape.sets, shape.rows, shape.width, static_cast<Real>(1 / shape.temperature), u, ceil_div(shape.rows, tile),
      1,          0};
  constexpr std::int64_t wanted_blocks = 256;
  const std::int64_t share_count = ceil_div(wanted_blocks, work.row_tiles * shape.sets);
  work.columns = ceil_div(work.row_tiles, share_count) * tile;
  work.shares = ceil_div(shape.rows, work.columns);
  return work;
}

/// A block's part of the work.
struct BlockPart {
  std::int64_t before;              // rows before its set
  std::int64_t row;                 // its first row in the set
  std::int64_t column, column_end;  // its share of the columns
  std::int64_t share;
};

template <class Real>
__device__ BlockPart part_of(const Work<Real>& work, std::int64_t block) {
  const std::int64_t share = block % work.shares, rest = block / work.shares;
  const std::int64_t column = share * work.columns, end = column + work.columns;
  return {rest / work.row_tiles * work.rows, rest % work.row_tiles * tile, column, end < work.rows ? end : work.rows,
          share};
}

template <class Real>
__device__ void clear(Real (&sums)[micro][micro]) {
#pragma unroll
  for (int i = 0; i < micro; ++i)
#pragma unroll
    for (int j = 0; j < micro; ++j) sums[i][j] = 0;
}

/// The thread's 4 x 4 scores of the tile at (part.row, column).
template <class Real>
__device__ void find_scores(const Work<Real>& work, const BlockPart& part, std::int64_t column,
                            Real (&scores)[micro][micro]) {
  const Vectors<Real> u = work.rows_of(work.u, part.before);
  clear(scores);
  add_products<Layout, true>(u, part.row, u, column, scores);
#pragma unroll
  for (int i = 0; i < micro; ++i)
#pragma unroll
    for (int j = 0; j < micro; ++j) scores[i][j] *= work.scale;
}

/// The thread's 4 x 4 elements of t, in the same way.
template <class Real>
__device__ void find_tangents(const Work<Real>& work, const BlockPart& part, std::int64_t column, const Real* a,
                              Real (&tangents)[micro][micro]) {
  const Vectors<Real> vu = work.rows_of(work.u, part.before), va = work.rows_of(a, part.before);
  clear(tangents);
  add_products<Layout, true>(va, part.row, vu, column, tangents);
  add_products<Layout, true>(vu, part.row, va, column, tangents);
#pragma unroll
  for (int i = 0; i < micro; ++i)
#pragma unroll
    for (int j = 0; j < micro; ++j) tangents[i][j] *= work.scale;
}

/// A running log-sum-exp: the largest score so far, and the sum of exp(score - largest).
template <class Real>
struct LogSumExp {
  Real most = std::numeric_limits<Real>::lowest();
  double sum = 0;
};

template <class Real>
__device__ LogSumExp<Real> join(const LogSumExp<Real>& a, const LogSumExp<Real>& b) {
  const Real most = a.most > b.most ? a.most : b.most;
  return {most,
          a.sum * static_cast<double>(std::exp(a.most - most)) + b.sum * static_cast<double>(std::exp(b.most - most))};
}

/// Reduces each row's candidates in the block's share of the columns; the thread that sees the positive writes its
/// score to `positive`.
template <class Real>
__global__ void __launch_bounds__(256, sizeof(Real) == 8 ? 1 : 2)
    partial_log_sum_exp(Work<Real> work, LogSumExp<Real>* partial, Real* positive) {
  const BlockPart part = part_of(work, blockIdx.x);
  LogSumExp<Real> found[micro];
  for (std::int64_t column = part.column; column < part.column_end; column += tile) {
    Real scores[micro][micro];
    find_scores(work, part, column, scores);
#pragma unroll
    for (int i = 0; i < micro; ++i) {
      const std::int64_t row = part.row + Layout::index(Layout::row_thread(), i);
      Real most = found[i].most;
      bool counts[micro];
#pragma unroll
      for (int j = 0; j < micro; ++j) {
        const std::int64_t other = column + Layout::index(Layout::column_thread(), j);
        counts[j] = other < part.column_end && other != row;
        if (counts[j] && scores[i][j] > most) most = scores[i][j];
        if (row < work.rows && other == work.positive(row)) positive[part.before + row] = scores[i][j];
      }
      Real sum = 0;
#pragma unroll
      for (int j = 0; j < micro; ++j)
        if (counts[j]) sum += std::exp(scores[i][j] - most);
      found[i] = {most, found[i].sum * static_cast<double>(std::exp(found[i].most - most)) + static_cast<double>(sum)};
    }
  }
#pragma unroll
  for (int i = 0; i < micro; ++i) {
    for (int lanes = Layout::side / 2; lanes > 0; lanes /= 2) {
      const LogSumExp<Real> other = {__shfl_xor_sync(0xffffffffu, found[i].most, lanes),
                                     __shfl_xor_sync(0xffffffffu, found[i].sum, lanes)};
      found[i] = join(found[i], other);
    }
    const std::int64_t row = part.row + Layout::index(Layout::row_thread(), i);
    if (Layout::column_thread() == 0 && row < work.rows)
      partial[part.share * work.all_rows() + part.before + row] = found[i];
  }
}

/// Joins the shares; log_p holds the positives' scores on entry.
template <class Real>
__global__ void join_log_sum_exp(Work<Real> work, const LogSumExp<Real>* partial, Real* log_p, Real* lse) {
  const std::int64_t row = grid_thread();
  if (row >= work.all_rows()) return;
  LogSumExp<Real> all;
  for (std::int64_t share = 0; share < work.shares; ++share) all = join(all, partial[share * work.all_rows() + row]);
  const Real log_sum = static_cast<Real>(std::log(all.sum));
  log_p[row] = (log_p[row] - all.most) - log_sum;
  lse[row] = all.most + log_sum;
}

/// Per-row inputs of the derivatives, all sets one after another; m only for the second order.
template <class Real>
struct RowValues {
  const Real *g, *lse, *m;
};

/// A row's (or column's) own values; zeros beyond the end.
template <class Real>
struct RowValue {
  Real g = 0, lse = 0, m = 0;
};

template <bool second, class Real>
__device__ RowValue<Real> value_at(const RowValues<Real>& values, const BlockPart& part, std::int64_t row,
                                   std::int64_t rows) {
  if (row >= rows) return {};
  const std::int64_t at = part.before + row;
  return {values.g[at], values.lse[at], second ? values.m[at] : Real(0)};
}

/// The thread's part of W, in part of its scores, and for the second order of V, in part of the tangents.
template <bool second, class Real>
__device__ void find_weights(const Work<Real>& work, const BlockPart& part, std::int64_t column,
                             const RowValues<Real>& values, Real (&scores)[micro][micro],
                             Real (&tangents)[micro][micro]) {
#pragma unroll
  for (int j = 0; j < micro; ++j) {
    const std::int64_t other = column + Layout::index(Layout::column_thread(), j);
    const RowValue<Real> b = value_at<second>(values, part, other, work.rows);
#pragma unroll
    for (int i = 0; i < micro; ++i) {
      const std::int64_t row = part.row + Layout::index(Layout::row_thread(), i);
      const RowValue<Real> a = value_at<second>(values, part, row, work.rows);
      const bool candidate = row < work.rows && other < part.column_end && row != other;
      const Real own = candidate ? a.g * std::exp(scores[i][j] - a.lse) : Real(0);
      const Real others = candidate ? b.g * std::exp(scores[i][j] - b.lse) : Real(0);
      scores[i][j] = -(own + others);
      if (candidate && other == work.positive(row)) scores[i][j] += a.g + b.g;
      if constexpr (second) tangents[i][j] = -(own * (tangents[i][j] - a.m) + others * (tangents[i][j] - b.m));
    }
  }
}

/// sums += weights x, for the block's rows and the `slab` columns of x from first_column on; x's rows are those of the
/// tile at `column`. All threads must call it.
template <class Real>
__device__ void add_weighted(const Work<Real>& work, const BlockPart& part, std::int64_t column, const Real* x,
                             std::int64_t first_column, const Real (&weights)[micro][micro],
                             Real (&sums)[micro][2 * micro]) {
  constexpr int chunk = 32 / static_cast<int>(sizeof(Real));
  SHARED(Real, of_rows, [tile][Layout::pitch]);  // by column and row of the tile
  SHARED(Real, values, [chunk][slab + 4]);
  const Vectors<Real> from = work.columns_of(x, part.before);
  __syncthreads();  // the previous weights may still be in use
#pragma unroll
  for (int i = 0; i < micro; ++i)
#pragma unroll
    for (int j = 0; j < micro; ++j)
      of_rows[Layout::index(Layout::column_thread(), j)][Layout::index(Layout::row_thread(), i)] = weights[i][j];
  for (int row = 0; row < tile; row += chunk) {
    __syncthreads();
    load_panel<false, slab>(from, first_column, column + row, values);
    __syncthreads();
    multiply_lines<Layout::side, chunk>(of_rows + row, Layout::row_thread(), values, Layout::column_thread(), sums);
  }
}

/// gu, or with `second` du, of the block's rows and slab, from its share of the columns.
template <bool second, class Real>
__global__ void __launch_bounds__(256, second || sizeof(Real) == 8 ? 1 : 2)
    find_gradient(Work<Real> work, RowValues<Real> values, const Real* a, std::int64_t slabs, Real* out) {
  const BlockPart part = part_of(work, blockIdx.x / slabs);
  const std::int64_t first_column = blockIdx.x % slabs * slab;
  Real sums[micro][2 * micro] = {};
  for (std::int64_t column = part.column; column < part.column_end; column += tile) {
    Real scores[micro][micro], tangents[micro][micro];
    find_scores(work, part, column, scores);
    if constexpr (second) find_tangents(work, part, column, a, tangents);
    find_weights<second>(work, part, column, values, scores, tangents);
    if constexpr (second) {
      add_weighted(work, part, column, work.u, first_column, tangents, sums);
      add_weighted(work, part, column, a, first_column, scores, sums);
    } else {
      add_weighted(work, part, column, work.u, first_column, scores, sums);
    }
  }
  Real* to = out + (part.share * work.all_rows() + part.before) * work.width;
#pragma unroll
  for (int i = 0; i < micro; ++i) {
    const std::int64_t row = part.row + Layout::index(Layout::row_thread(), i);
#pragma unroll
    for (int j = 0; j < 2 * micro && row < work.rows; ++j) {
      const std::int64_t c = first_column + Layout::index(Layout::column_thread(), j);
      if (c < work.width) to[row * work.width + c] = sums[i][j] * work.scale;
    }
  }
}

/// Each row's sum of p t in the block's share of the columns; the thread that sees the positive writes its t to
/// `positive`.
template <class Real>
__global__ void __launch_bounds__(256, sizeof(Real) == 8 ? 1 : 2)
    find_means(Work<Real> work, const Real* lse, const Real* a, double* partial, Real* positive) {
  const BlockPart part = part_of(work, blockIdx.x);
  double found[micro] = {};
  for (std::int64_t column = part.column; column < part.column_end; column += tile) {
    Real scores[micro][micro], tangents[micro][micro];
    find_scores(work, part, column, scores);
    find_tangents(work, part, column, a, tangents);
#pragma unroll
    for (int i = 0; i < micro; ++i) {
      const std::int64_t row = part.row + Layout::index(Layout::row_thread(), i);
      if (row >= work.rows) continue;
      const Real lse_row = lse[part.before + row];
      Real sum = 0;
#pragma unroll
      for (int j = 0; j < micro; ++j) {
        const std::int64_t other = column + Layout::index(Layout::column_thread(), j);
        if (other < part.column_end && other != row) sum += std::exp(scores[i][j] - lse_row) * tangents[i][j];
        if (other == work.positive(row)) positive[part.before + row] = tangents[i][j];
      }
      found[i] += static_cast<double>(sum);
    }
  }
#pragma unroll
  for (int i = 0; i < micro; ++i) {
    const double sum = warp_fold<Adding>(found[i], Layout::side);
    const std::int64_t row = part.row + Layout::index(Layout::row_thread(), i);
    if (Layout::column_thread() == 0 && row < work.rows)
      partial[part.share * work.all_rows() + part.before + row] = sum;
  }
}

/// Adds the shares' sums; dg holds the positives' t on entry.
template <class Real>
__global__ void finish_means(Work<Real> work, const double* partial, Real* dg, Real* m) {
  const std::int64_t row = grid_thread();
  if (row >= work.all_rows()) return;
  double sum = 0;
  for (std::int64_t share = 0; share < work.shares; ++share) sum += partial[share * work.all_rows() + row];
  m[row] = static_cast<Real>(sum);
  dg[row] = static_cast<Real>(static_cast<double>(dg[row]) - sum);
}

template <class Real>
__global__ void add_shares(std::int64_t size, std::int64_t shares, const Real* partial, Real* out) {
  for (std::int64_t i = grid_thread(); i < size; i += grid_threads()) {
    double sum = 0;
    for (std::int64_t share = 0; share < shares; ++share) sum += static_cast<double>(partial[share * size + i]);
    out[i] = static_cast<Real>(sum);
  }
}

/// The numbers of blocks of a kernel over all rows, and over all parts.
template <class Real>
unsigned row_blocks(const Work<Real>& work) {
  return static_cast<unsigned>(ceil_div(work.all_rows(), 256));
}
template <class Real>
unsigned part_blocks(const Work<Real>& work) {
  return static_cast<unsigned>(work.sets * work.row_tiles * work.shares);
}

/// Computes gu, or with `second` du, and adds up the shares.
template <bool second, class Real>
void gradient(Device& device, const Work<Real>& work, const RowValues<Real>& values, const Real* a, Real* out) {
  const std::int64_t size = work.all_rows() * work.width, slabs = ceil_div(work.width, slab);
  const Scratch<Real> partial(device, work.shares == 1 ? 0 : work.shares * size);
  launch(second ? "info_nce_double_backward" : "info_nce_backward", find_gradient<second, Real>,
         static_cast<unsigned>(part_blocks(work) * slabs), 256, device.stream(), work, values, a, slabs,
         work.shares == 1 ? out : partial.data());
  if (work.shares > 1)
    launch("info_nce_add_shares", add_shares<Real>, blocks_for(size, 256), 256, device.stream(), size, work.shares,
           partial.data(), out);
}

// ---- with stored scores, row-major, not yet divided by the temperature

/// True if the first order stores its scores: enough rows that the library's products are worth their launches, but few
/// enough that the scores mostly stay in L2.
bool scores_fit(const InfoNceShape& shape) { return shape.sets == 1 && shape.rows >= 512 && shape.rows <= 4096; }

constexpr int score_threads = 256;

/// One block per row: the largest of its candidates, then the sum of their exponentials.
template <class Real>
__global__ void __launch_bounds__(score_threads)
    find_log_p(Work<Real> work, const Real* scores, Real* log_p, Real* lse) {
  const std::int64_t row = blockIdx.x;
  const Real* const of_row = scores + row * work.rows;
  Real most = Largest::start<Real>();
#pragma unroll 4
  for (std::int64_t j = threadIdx.x; j < work.rows; j += score_threads)
    if (j != row) most = Largest::join(most, of_row[j] * work.scale);
  most = block_fold<Largest, score_threads>(most);
  double sum = 0;
#pragma unroll 4
  for (std::int64_t j = threadIdx.x; j < work.rows; j += score_threads)
    if (j != row) sum += static_cast<double>(std::exp(of_row[j] * work.scale - most));
  sum = block_fold<Adding, score_threads>(sum);
  if (threadIdx.x > 0) return;
  const Real log_sum = static_cast<Real>(std::log(sum));
  log_p[row] = (of_row[work.positive(row)] * work.scale - most) - log_sum;
  lse[row] = most + log_sum;
}

/// One block per row: W / temperature in part of the scores.
template <class Real>
__global__ void __launch_bounds__(score_threads) weigh_scores(Work<Real> work, RowValues<Real> values, Real* scores) {
  const std::int64_t row = blockIdx.x, positive = work.positive(row);
  Real* const of_row = scores + row * work.rows;
  const Real g = values.g[row], lse = values.lse[row];
#pragma unroll 4
  for (std::int64_t j = threadIdx.x; j < work.rows; j += score_threads) {
    const Real score = of_row[j] * work.scale, other = values.g[j];
    Real weight = -(g * std::exp(score - lse) + other * std::exp(score - values.lse[j]));
    if (j == positive) weight += g + other;
    of_row[j] = j == row ? Real(0) : weight * work.scale;
  }
}

/// Splits u, (rows, width), into two tf32 numbers, high + low (exact but for the last 2 of 24 bits). Writes rows (high,
/// high, low) to `left` and (high, low, high) to `right`: left right^T is u u^T with error 2^-22.
__global__ void split_rows(std::int64_t size, std::int64_t width, const float* u, float* left, float* right) {
  for (std::int64_t i = grid_thread(); i < size; i += grid_threads()) {
    const float high = __uint_as_float(to_tf32(__float_as_uint(u[i]))), low = u[i] - high;
    const std::int64_t at = i + quotient(i, width) * 2 * width;
    left[at] = left[at + width] = right[at] = right[at + 2 * width] = high;
    left[at + 2 * width] = right[at + width] = low;
  }
}

/// The scores of all rows with all rows, into [rows][rows]: in f32 precision even if products round to TF32.
void multiply_rows(CudaBackend& gpu, const InfoNceShape& shape, ConstArray u, Array scores) {
  if (u.dtype != DType::f32 || gpu.f32_operand_rounding() == 0)
    return gpu.gemm(false, true, shape.rows, shape.rows, shape.width, u, u, {}, scores);
  const Scratch<float> left(gpu.device(), 3 * u.size), right(gpu.device(), 3 * u.size);
  launch("info_nce_split", split_rows, blocks_for(u.size, 256), 256, gpu.device().stream(), u.size, shape.width,
         u.as<float>(), left.data(), right.data());
  gpu.gemm(false, true, shape.rows, shape.rows, 3 * shape.width, {left.data(), 3 * u.size, u.dtype},
           {right.data(), 3 * u.size, u.dtype}, {}, scores);
}

template <class Real>
void stored_forward(CudaBackend& gpu, const InfoNceShape& shape, ConstArray u, Array log_p, Array lse) {
  const Scratch<Real> scores(gpu.device(), shape.rows * shape.rows);
  multiply_rows(gpu, shape, u, {scores.data(), shape.rows * shape.rows, u.dtype});
  launch("info_nce_log_p", find_log_p<Real>, static_cast<unsigned>(shape.rows), score_threads, gpu.device().stream(),
         work_of(shape, u.as<Real>()), scores.data(), log_p.as<Real>(), lse.as<Real>());
}

template <class Real>
void stored_backward(CudaBackend& gpu, const InfoNceShape& shape, const RowValues<Real>& values, ConstArray u,
                     Array gu) {
  const Scratch<Real> memory(gpu.device(), shape.rows * shape.rows);
  const Array scores{memory.data(), shape.rows * shape.rows, u.dtype};
  multiply_rows(gpu, shape, u, scores);
  launch("info_nce_weights", weigh_scores<Real>, static_cast<unsigned>(shape.rows), score_threads,
         gpu.device().stream(), work_of(shape, u.as<Real>()), values, memory.data());
  gpu.gemm(false, false, shape.rows, shape.width, shape.rows, scores, u, {}, gu);
}

}  // namespace

void CudaBackend::info_nce(const InfoNceShape& shape, ConstArray u, Array log_p, Array lse) {
  if (u.size == 0) return;
  with_master(u.dtype, [&](auto zero) {
    using Real = decltype(zero);
    if (scores_fit(shape)) return stored_forward<Real>(*this, shape, u, log_p, lse);
    const Work<Real> work = work_of(shape, u.as<Real>());
    const Scratch<LogSumExp<Real>> partial(device_, work.shares * work.all_rows());
    launch("info_nce", partial_log_sum_exp<Real>, part_blocks(work), 256, device_.stream(), work, partial.data(),
           log_p.as<Real>());
    launch("info_nce_finish", join_log_sum_exp<Real>, row_blocks(work), 256, device_.stream(), work, partial.data(),
           log_p.as<Real>(), lse.as<Real>());
  });
}

void CudaBackend::info_nce_backward(const InfoNceShape& shape, ConstArray g, ConstArray u, ConstArray lse, Array gu) {
  if (u.size == 0) return;
  with_master(u.dtype, [&](auto zero) {
    using Real = decltype(zero);
    const RowValues<Real> values{g.as<Real>(), lse.as<Real>(), nullptr};
    if (scores_fit(shape)) return stored_backward(*this, shape, values, u, gu);
    gradient<false>(device_, work_of(shape, u.as<Real>()), values, static_cast<const Real*>(nullptr), gu.as<Real>());
  });
}

void CudaBackend::info_nce_double_backward(const InfoNceShape& shape, ConstArray a, ConstArray g, ConstArray u,
                                           ConstArray lse, Array dg, Array du) {
  if (u.size == 0) return;
  with_master(u.dtype, [&](auto zero) {
    using Real = decltype(zero);
    const Work<Real> work = work_of(shape, u.as<Real>());
    const Scratch<double> partial(device_, work.shares * work.all_rows());
    const Scratch<Real> m(device_, work.all_rows());
    launch("info_nce_means", find_means<Real>, part_blocks(work), 256, device_.stream(), work, lse.as<Real>(),
           a.as<Real>(), partial.data(), dg.as<Real>());
    launch("info_nce_finish_means", finish_means<Real>, row_blocks(work), 256, device_.stream(), work, partial.data(),
           dg.as<Real>(), m.data());
    if (!du) return;
    const RowValues<Real> values{g.as<Real>(), lse.as<Real>(), m.data()};
    gradient<true>(device_, work, values, a.as<Real>(), du.as<Real>());
  });
}

}  // namespace vergence::VERGENCE_GPU
