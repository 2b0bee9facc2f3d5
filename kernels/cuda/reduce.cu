// Reductions of a (rows, cols) grid on the GPU: sum, dot product (terms a b) and maximum, along rows or along columns.
// Bytes: each input once. Bound by memory (H200 data sheet: 4.8 TB/s). Terms are formed in Compute<T>; each thread
// folds a few at a time in it, then continues in double. Long rows, and columns of many rows, are cut into parts by a
// rule that depends only on the shape; a second pass folds the parts in order.
#include "kernels/cuda/backend.h"
#include "kernels/cuda/loops.h"

namespace vergence::VERGENCE_GPU {
namespace {

/// The term to fold: `add` folds the terms of `width` elements starting at flat element i.
template <class T, Reduce op>
struct Terms {
  using Fold = std::conditional_t<op == Reduce::max, Largest, Adding>;
  const T *a, *b;
  std::int64_t cols;

  template <int width, class Real>
  __device__ void add_flat(std::int64_t i, Real (&part)[width]) const {
    const Pack<T, width> va = load_pack<width>(a + i);
    Pack<T, width> vb = va;
    if constexpr (op == Reduce::dot) vb = load_pack<width>(b + i);
    for (int k = 0; k < width; ++k) {
      const Real value = static_cast<Real>(va.values[k]);
      if constexpr (op == Reduce::dot)
        part[k] += value * static_cast<Real>(vb.values[k]);
      else
        part[k] = Fold::join(part[k], value);
    }
  }
  template <int width, class Real>
  __device__ void add(std::int64_t row, std::int64_t column, Real (&part)[1][width]) const {
    add_flat(row * cols + column, part[0]);
  }
};

/// `lanes` neighboring threads per row.
template <class Real, class T, class Term>
__global__ void fold_short_rows(std::int64_t rows, std::int64_t cols, int lanes, Term term, T* out) {
  using Fold = typename Term::Fold;
  const std::int64_t rows_at_once = std::int64_t{gridDim.x} * (256 / lanes);
  const int row_in_block = threadIdx.x / lanes, lane = threadIdx.x % lanes;
  for (std::int64_t first = std::int64_t{blockIdx.x} * (256 / lanes); first < rows; first += rows_at_once) {
    const std::int64_t row = first + row_in_block;
    Real part[1] = {Fold::template start<Real>()};
    if (row < rows) {
#pragma unroll 8  // loads take a few hundred ns; a lane may have 32 in flight
      for (std::int64_t c = lane; c < cols; c += lanes) term.add_flat(row * cols + c, part);
    }
    const double result = warp_fold<Fold>(static_cast<double>(part[0]), lanes);
    if (row < rows && lane == 0) out[row] = static_cast<T>(static_cast<Compute<T>>(result));
  }
}

/// One block per part of a row, `parts` of them: partial[row * parts + part].
template <int width, class Real, class Term>
__global__ void fold_long_rows(std::int64_t cols, std::int64_t parts, std::int64_t part_size, Term term,
                               double* partial) {
  using Fold = typename Term::Fold;
  constexpr int packs_at_once = 8;  // folded in Real; beyond that, in double
  const std::int64_t row = blockIdx.x / parts, first = (blockIdx.x - row * parts) * part_size;
  const std::int64_t last = first + part_size < cols ? first + part_size : cols;
  double sum = Fold::template start<double>();
  for (std::int64_t c = first + threadIdx.x * width; c < last;) {
    Real part[width];
    for (int k = 0; k < width; ++k) part[k] = Fold::template start<Real>();
    for (int i = 0; i < packs_at_once; ++i, c += 256 * width)
      if (c < last) term.add_flat(row * cols + c, part);
    for (int k = 0; k < width; ++k) sum = Fold::join(sum, static_cast<double>(part[k]));
  }
  sum = block_fold<Fold, 256>(sum);
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

template <class Real, class T, class Term>
void short_rows(Device& device, std::int64_t rows, std::int64_t cols, Term term, T* out) {
  const int lanes = lanes_for(cols);
  launch("reduce", fold_short_rows<Real, T, Term>, blocks_for(rows, 256 / lanes), 256, device.stream(), rows, cols,
         lanes, term, out);
}

template <class T, Reduce op>
void along_cols(Device& device, std::int64_t rows, std::int64_t cols, Terms<T, op> terms, bool packs, T* out) {
  using Real = Compute<T>;
  if (cols <= 1024) return short_rows<Real>(device, rows, cols, terms, out);
  constexpr std::int64_t smallest_part = 8192, max_blocks = 1024;
  const std::int64_t most = ceil_div(max_blocks, rows), wanted = ceil_div(cols, smallest_part);
  const std::int64_t part_size = ceil_div(ceil_div(cols, wanted < most ? wanted : most), 16) * 16;
  const std::int64_t parts = ceil_div(cols, part_size);
  const Scratch<double> partial(device, rows * parts);
  const auto fold = [&](auto width) {
    launch("reduce", fold_long_rows<width.value, Real, Terms<T, op>>, static_cast<unsigned>(rows * parts), 256,
           device.stream(), cols, parts, part_size, terms, partial.data());
  };
  if (packs)
    fold(std::integral_constant<int, vector_width<T>>{});
  else
    fold(std::integral_constant<int, 1>{});
  constexpr Reduce joining = op == Reduce::max ? Reduce::max : Reduce::sum;
  short_rows<double>(device, rows, parts, Terms<double, joining>{partial.data(), nullptr, parts}, out);
}

template <class T, Reduce op>
void reduce_typed(Device& device, Along along, std::int64_t rows, std::int64_t cols, const T* a, const T* b, T* out) {
  const Terms<T, op> terms{a, b, cols};
  const bool packs = cols % vector_width<T> == 0 && aligned_to<16>(a) && aligned_to<16>(b);
  if (along == Along::cols) return along_cols(device, rows, cols, terms, packs, out);
  using Fold = typename Terms<T, op>::Fold;
  const StoreColumn<T> store{out};
  if (packs)
    fold_along_rows<Fold, 1, vector_width<T>, Compute<T>>(device, "reduce", 1, rows, cols, terms, store);
  else
    fold_along_rows<Fold, 1, 1, Compute<T>>(device, "reduce", 1, rows, cols, terms, store);
}

}  // namespace

void CudaBackend::reduce(Reduce op, Along along, std::int64_t rows, std::int64_t cols, ConstArray a, ConstArray b,
                         Array out) {
  if (out.size == 0) return;
  if (along == Along::rows && cols == 1) return reduce(op, Along::cols, 1, rows, a, b, out);
  with_float(out.dtype, [&](auto zero) {
    using T = decltype(zero);
    const T *pa = a.as<T>(), *pb = b.as<T>();
    switch (op) {
      case Reduce::sum:
        return reduce_typed<T, Reduce::sum>(device_, along, rows, cols, pa, nullptr, out.as<T>());
      case Reduce::dot:
        require(pb != nullptr, "kernel reduce: a dot product got one input");
        return reduce_typed<T, Reduce::dot>(device_, along, rows, cols, pa, pb, out.as<T>());
      case Reduce::max:
        return reduce_typed<T, Reduce::max>(device_, along, rows, cols, pa, nullptr, out.as<T>());
    }
  });
}

}  // namespace vergence::VERGENCE_GPU
