// Matrix products on the GPU, for cases or builds without NVIDIA's library: out = op(a) op(b) + bias. Bytes: a is read
// n / 64 times and b m / 64 times (mostly from L2), out is written once. Bound by arithmetic outside the tensor cores:
// H200 data sheet 67 TFLOP/s in f32 (also for bf16, which is multiplied and added in f32) and 34 in f64. A block of 256
// threads computes a 64 x 64 tile of out, each thread 4 x 4 of it, 16 terms at a time through shared memory while the
// next 16 are being loaded. If out has few tiles and the sums are long (weight gradients), a rule that depends only on
// the shape cuts the sums into parts, and a second kernel adds the parts in order.
#include "kernels/cuda/backend.h"
#include "kernels/cuda/libraries.h"
#include "kernels/cuda/loops.h"

namespace vergence::VERGENCE_GPU {
namespace {

constexpr int tile = 64, depth = 16, threads = 256, per_thread = 4;
constexpr int loads = tile * depth / threads;

/// One operand as `length` lines (rows of op(a), columns of op(b)) of k terms each.
template <class T>
struct Lines {
  const T* values;
  std::int64_t length, k;
  bool along_terms;  // memory neighbors are terms of one line; otherwise, the same term of neighboring lines

  /// This thread's share of the terms [term, term + depth), below `last`, of the lines [line, line + tile).
  __device__ void load(std::int64_t line, std::int64_t term, std::int64_t last, Compute<T> (&held)[loads]) const {
    for (int i = 0; i < loads; ++i) {
      const std::int64_t l = line + line_of(i), t = term + term_of(i);
      held[i] = l < length && t < last ? static_cast<Compute<T>>(values[along_terms ? l * k + t : t * length + l])
                                       : Compute<T>(0);
    }
  }
  __device__ void store(const Compute<T> (&held)[loads], Compute<T> (&shared)[depth][tile + per_thread]) const {
    for (int i = 0; i < loads; ++i) shared[term_of(i)][line_of(i)] = held[i];
  }

 private:
  __device__ int unit(int i) const { return static_cast<int>(threadIdx.x) + i * threads; }
  __device__ int line_of(int i) const { return along_terms ? unit(i) / depth : unit(i) % tile; }
  __device__ int term_of(int i) const { return along_terms ? unit(i) % depth : unit(i) / tile; }
};

/// The destination of the results: out (m, n) of type T or Compute<T>, after adding a bias of either type.
template <class T>
struct Target {
  using Real = Compute<T>;
  const void* bias;
  void* out;
  bool bias_is_wide, out_is_wide;

  __device__ void store(std::int64_t i, std::int64_t column, Real value) const {
    if (bias)
      value += bias_is_wide ? static_cast<const Real*>(bias)[column]
                            : static_cast<Real>(static_cast<const T*>(bias)[column]);
    if (out_is_wide)
      static_cast<Real*>(out)[i] = value;
    else
      static_cast<T*>(out)[i] = static_cast<T>(value);
  }
};

/// Block (x, y): tile x of out, part y of the sums. With `parts`, sums go to parts[y][m][n], otherwise to the target.
template <class T>
__global__ void __launch_bounds__(threads)
    multiply_tiles(Lines<T> a, Lines<T> b, std::int64_t part_terms, Compute<T>* parts, Target<T> target) {
  using Real = Compute<T>;
  SHARED(Real, as, [depth][tile + per_thread]);
  SHARED(Real, bs, [depth][tile + per_thread]);
  const std::int64_t m = a.length, n = b.length, tiles_across = ceil_div(n, tile);
  const std::int64_t tile_row = blockIdx.x / tiles_across;
  const std::int64_t row0 = tile_row * tile, col0 = (blockIdx.x - tile_row * tiles_across) * tile;
  const std::int64_t first = blockIdx.y * part_terms, last = first + part_terms < a.k ? first + part_terms : a.k;
  const int y = static_cast<int>(threadIdx.x) / (tile / per_thread) * per_thread;
  const int x = static_cast<int>(threadIdx.x) % (tile / per_thread) * per_thread;
  Real sums[per_thread][per_thread] = {}, next_a[loads], next_b[loads];
  a.load(row0, first, last, next_a);
  b.load(col0, first, last, next_b);
  for (std::int64_t term = first; term < last; term += depth) {
    a.store(next_a, as);
    b.store(next_b, bs);
    __syncthreads();
    a.load(row0, term + depth, last, next_a);
    b.load(col0, term + depth, last, next_b);
    for (int t = 0; t < depth; ++t) {
      Real va[per_thread], vb[per_thread];
      for (int i = 0; i < per_thread; ++i) va[i] = as[t][y + i], vb[i] = bs[t][x + i];
      for (int i = 0; i < per_thread; ++i)
        for (int j = 0; j < per_thread; ++j) sums[i][j] += va[i] * vb[j];
    }
    __syncthreads();
  }
  for (int i = 0; i < per_thread; ++i)
    for (int j = 0; j < per_thread; ++j) {
      const std::int64_t row = row0 + y + i, column = col0 + x + j;
      if (row >= m || column >= n) continue;
      if (parts)
        parts[(blockIdx.y * m + row) * n + column] = sums[i][j];
      else
        target.store(row * n + column, column, sums[i][j]);
    }
}

template <class T>
__global__ void add_parts(std::int64_t m, std::int64_t n, std::int64_t count, const Compute<T>* parts,
                          Target<T> target) {
  for (std::int64_t i = grid_thread(); i < m * n; i += grid_threads()) {
    double sum = 0;
    for (std::int64_t part = 0; part < count; ++part) sum += static_cast<double>(parts[part * m * n + i]);
    target.store(i, i - quotient(i, n) * n, static_cast<Compute<T>>(sum));
  }
}

/// Terms per part: enough parts for about two blocks per multiprocessor, each of at least 256 terms.
std::int64_t terms_of_part(std::int64_t tiles, std::int64_t k) {
  constexpr std::int64_t wanted_blocks = 264, smallest = 256;
  const std::int64_t wanted = ceil_div(wanted_blocks, tiles), most = k / smallest;
  const std::int64_t parts = wanted < most ? wanted : most;
  return parts <= 1 ? k : ceil_div(ceil_div(k, parts), depth) * depth;
}

}  // namespace

void CudaBackend::gemm(bool transpose_a, bool transpose_b, std::int64_t m, std::int64_t n, std::int64_t k, ConstArray a,
                       ConstArray b, ConstArray bias, Array out) {
  if (m == 0 || n == 0 || library_gemm(device_, choices().math, transpose_a, transpose_b, m, n, k, a, b, bias, out))
    return;
  with_float(a.dtype, [&](auto zero) {
    using T = decltype(zero);
    using Real = Compute<T>;
    const auto wide = [](DType type) {
      require(type == dtype_of<T>() || type == dtype_of<Real>(), "gemm: ", name_of(type), " beside ",
              name_of(dtype_of<T>()));
      return type != dtype_of<T>();
    };
    const Target<T> target{bias.data, out.data, bias && wide(bias.dtype), wide(out.dtype)};
    const Lines<T> lines_a{a.as<T>(), m, k, !transpose_a}, lines_b{b.as<T>(), n, k, transpose_b};
    const std::int64_t tiles = ceil_div(m, tile) * ceil_div(n, tile), part_terms = terms_of_part(tiles, k);
    const std::int64_t count = k > part_terms ? ceil_div(k, part_terms) : 1;
    const Scratch<Real> parts(device_, count > 1 ? count * m * n : 0);
    launch("gemm", multiply_tiles<T>, dim3(static_cast<unsigned>(tiles), static_cast<unsigned>(count)), threads,
           device_.stream(), lines_a, lines_b, part_terms, count > 1 ? parts.data() : nullptr, target);
    if (count > 1)
      launch("gemm", add_parts<T>, blocks_for(m * n, 256), 256, device_.stream(), m, n, count, parts.data(), target);
  });
}

/// tf32 keeps 10 bits of fraction, however it is rounded.
double CudaBackend::f32_operand_rounding() const { return choices().math == CudaMath::fp32 ? 0 : 0x1p-10; }

}  // namespace vergence::VERGENCE_GPU
