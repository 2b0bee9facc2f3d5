// Movement on the GPU: strided block copies, matrix transposes, gather and scatter by row, and one entry per row
// (take_along_row, scatter_along_row). Bytes: data is read once and written once. Bound by memory (H200 data sheet: 4.8
// TB/s). Kernels without arithmetic move words of 1 to 16 bytes, the widest that divides every offset.
//
// Kernels cannot throw for an index out of range, but they never follow one: gather_rows and take_along_row write NaN
// (all bits one) instead, scatter_along_row fills the row with NaN, scatter_rows skips the row.
#include "kernels/cuda/backend.h"
#include "kernels/cuda/loops.h"

namespace vergence::VERGENCE_GPU {
namespace {

struct alignas(16) Word128 {
  std::uint64_t low, high;
};

template <class Word>
__device__ Word one_bits() {
  if constexpr (std::is_same_v<Word, Word128>)
    return {~std::uint64_t{0}, ~std::uint64_t{0}};
  else
    return static_cast<Word>(~Word{0});
}

/// Calls `f(Word{})` with the widest word of 1 to 16 bytes that divides every number ORed into `bits` (addresses, sizes
/// and strides in bytes).
template <class F>
void with_words(std::int64_t bits, F&& f) {
  if (bits % 16 == 0) return f(Word128{});
  if (bits % 8 == 0) return f(std::uint64_t{});
  if (bits % 4 == 0) return f(std::uint32_t{});
  if (bits % 2 == 0) return f(std::uint16_t{});
  return f(std::uint8_t{});
}

/// Calls `f(Word{})` with an unsigned integer as wide as an element of `type`.
template <class F>
void with_bits(DType type, F&& f) {
  switch (size_of(type)) {
    case 8:
      return f(std::uint64_t{});
    case 4:
      return f(std::uint32_t{});
    case 2:
      return f(std::uint16_t{});
    default:
      return f(std::uint8_t{});
  }
}

std::int64_t address_of(const void* address) {
  return static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(address));
}

template <class Word>
__global__ void copy_runs(std::int64_t rows, std::int64_t cols, const Word* from, std::int64_t from_stride, Word* to,
                          std::int64_t to_stride) {
  for (std::int64_t i = grid_thread(); i < rows * cols; i += grid_threads()) {
    const std::int64_t row = quotient(i, cols), col = i - row * cols;
    to[row * to_stride + col] = from[row * from_stride + col];
  }
}

constexpr int tile = 32, tile_rows = 8;

/// One tile per block of tile x tile_rows threads, through shared memory, so that both sides are accessed along rows.
template <class Word>
__global__ void transpose_tiles(std::int64_t rows, std::int64_t cols, const Word* in, Word* out) {
  SHARED(Word, values, [tile][tile + 1]);
  const std::int64_t tiles_down = ceil_div(rows, tile), tiles_across = ceil_div(cols, tile);
  const std::int64_t strip = blockIdx.x / tiles_across, matrix = strip / tiles_down;
  const std::int64_t row0 = (strip - matrix * tiles_down) * tile, col0 = (blockIdx.x - strip * tiles_across) * tile;
  const int x = threadIdx.x % tile, y = threadIdx.x / tile;
  in += matrix * rows * cols;
  out += matrix * rows * cols;
  for (int k = y; k < tile; k += tile_rows)
    if (row0 + k < rows && col0 + x < cols) values[k][x] = in[(row0 + k) * cols + col0 + x];
  __syncthreads();
  for (int k = y; k < tile; k += tile_rows)
    if (col0 + k < cols && row0 + x < rows) out[(col0 + k) * rows + row0 + x] = values[x][k];
}

/// For few rows or columns, where tiles would be nearly empty: one element of `out` per thread and iteration.
template <class Word>
__global__ void transpose_narrow(std::int64_t size, std::int64_t rows, std::int64_t cols, const Word* in, Word* out) {
  for (std::int64_t i = grid_thread(); i < size; i += grid_threads()) {
    const std::int64_t line = quotient(i, rows), row = i - line * rows;
    const std::int64_t matrix = quotient(line, cols), col = line - matrix * cols;
    out[i] = in[(matrix * rows + row) * cols + col];
  }
}

template <class Word>
__global__ void gather(std::int64_t count, std::int64_t cols, std::int64_t rows, const Word* in,
                       const std::int32_t* index, Word* out) {
  for (std::int64_t i = grid_thread(); i < count * cols; i += grid_threads()) {
    const std::int64_t row = quotient(i, cols), from = index[row];
    out[i] = from >= 0 && from < rows ? in[from * cols + (i - row * cols)] : one_bits<Word>();
  }
}

constexpr int scatter_warps = 8, scatter_tile = 1024, scatter_width = 4;

/// One warp per row of `out` and slab of 32 x scatter_width columns searches the whole index for its row and adds the
/// matches in order: negligible for a few thousand rows and index entries, half a millisecond for 50,000 of each.
template <class T>
__global__ void scatter(std::int64_t count, std::int64_t rows, std::int64_t cols, const T* in,
                        const std::int32_t* index, T* out) {
  using Real = Compute<T>;
  SHARED(std::int32_t, wanted, [scatter_tile]);
  const std::int64_t slabs = ceil_div(cols, warp_size * scatter_width), group = blockIdx.x / slabs;
  const int lane = threadIdx.x % warp_size;
  const std::int64_t row = group * scatter_warps + threadIdx.x / warp_size;
  const std::int64_t column = (blockIdx.x - group * slabs) * (warp_size * scatter_width) + lane;
  Real sums[scatter_width] = {};
  for (std::int64_t first = 0; first < count; first += scatter_tile) {
    const int held = static_cast<int>(count - first < scatter_tile ? count - first : scatter_tile);
    __syncthreads();
    for (int k = threadIdx.x; k < held; k += scatter_warps * warp_size) wanted[k] = index[first + k];
    __syncthreads();
    for (int base = 0; base < held; base += warp_size) {
      unsigned found = __ballot_sync(0xffffffffu, base + lane < held && wanted[base + lane] == row);
      for (; found; found &= found - 1) {
        const T* from = in + (first + base + __ffs(static_cast<int>(found)) - 1) * cols;
        for (int k = 0; k < scatter_width; ++k)
          if (column + k * warp_size < cols) sums[k] += static_cast<Real>(from[column + k * warp_size]);
      }
    }
  }
  if (row >= rows) return;
  for (int k = 0; k < scatter_width; ++k)
    if (column + k * warp_size < cols) out[row * cols + column + k * warp_size] = static_cast<T>(sums[k]);
}

template <class Word>
__global__ void take_entries(std::int64_t rows, std::int64_t cols, const Word* in, const std::int32_t* index,
                             Word* out) {
  for (std::int64_t i = grid_thread(); i < rows; i += grid_threads()) {
    const std::int64_t entry = index[i];
    out[i] = entry >= 0 && entry < cols ? in[i * cols + entry] : one_bits<Word>();
  }
}

template <class Word>
__global__ void scatter_entries(std::int64_t rows, std::int64_t cols, const Word* in, const std::int32_t* index,
                                Word* out) {
  for (std::int64_t i = grid_thread(); i < rows * cols; i += grid_threads()) {
    const std::int64_t row = quotient(i, cols), entry = index[row];
    const bool inside = entry >= 0 && entry < cols;
    out[i] = !inside ? one_bits<Word>() : i - row * cols == entry ? in[row] : Word{0};
  }
}

}  // namespace

void CudaBackend::copy_block(std::int64_t rows, std::int64_t cols, ConstArray from, std::int64_t from_stride,
                             std::int64_t from_offset, Array to, std::int64_t to_stride, std::int64_t to_offset) {
  require(from.dtype == to.dtype, "kernel copy_block: from ", name_of(from.dtype), " to ", name_of(to.dtype));
  if (rows == 0 || cols == 0) return;
  const std::int64_t bytes = size_of(from.dtype), run = cols * bytes;
  const char* source = static_cast<const char*>(from.data) + from_offset * bytes;
  char* target = static_cast<char*>(to.data) + to_offset * bytes;
  if (rows == 1 || (cols == from_stride && cols == to_stride)) return device_.copy(target, source, rows * run);
  from_stride *= bytes, to_stride *= bytes;
  with_words(address_of(source) | address_of(target) | run | from_stride | to_stride, [&](auto zero) {
    using Word = decltype(zero);
    constexpr std::int64_t size = sizeof(Word);
    launch("copy_block", copy_runs<Word>, blocks_for(rows * run / size, 512), 256, device_.stream(), rows, run / size,
           reinterpret_cast<const Word*>(source), from_stride / size, reinterpret_cast<Word*>(target),
           to_stride / size);
  });
}

void CudaBackend::transpose(std::int64_t batch, std::int64_t rows, std::int64_t cols, ConstArray in, Array out) {
  require(in.dtype == out.dtype, "kernel transpose: from ", name_of(in.dtype), " to ", name_of(out.dtype));
  if (batch * rows * cols == 0) return;
  if (rows == 1 || cols == 1) return device_.copy(out.data, in.data, batch * rows * cols * size_of(in.dtype));
  with_bits(in.dtype, [&](auto zero) {
    using Word = decltype(zero);
    const Word* from = static_cast<const Word*>(in.data);
    Word* to = static_cast<Word*>(out.data);
    if (rows < tile / 2 || cols < tile / 2) {
      launch("transpose", transpose_narrow<Word>, blocks_for(batch * rows * cols, 512), 256, device_.stream(),
             batch * rows * cols, rows, cols, from, to);
      return;
    }
    const std::int64_t tiles = batch * ceil_div(rows, tile) * ceil_div(cols, tile);
    launch("transpose", transpose_tiles<Word>, static_cast<unsigned>(tiles), tile * tile_rows, device_.stream(), rows,
           cols, from, to);
  });
}

void CudaBackend::gather_rows(std::int64_t cols, ConstArray in, ConstArray index, Array out) {
  require(in.dtype == out.dtype, "kernel gather_rows: from ", name_of(in.dtype), " to ", name_of(out.dtype));
  const std::int64_t run = cols * size_of(in.dtype);
  if (index.size * run == 0) return;
  with_words(address_of(in.data) | address_of(out.data) | run, [&](auto zero) {
    using Word = decltype(zero);
    const std::int64_t words = run / static_cast<std::int64_t>(sizeof(Word));
    launch("gather_rows", gather<Word>, blocks_for(index.size * words, 512), 256, device_.stream(), index.size, words,
           in.size / cols, static_cast<const Word*>(in.data), index.as<std::int32_t>(), static_cast<Word*>(out.data));
  });
}

void CudaBackend::scatter_rows(std::int64_t cols, ConstArray in, ConstArray index, Array out) {
  if (out.size == 0) return;
  with_float(in.dtype, [&](auto zero) {
    using T = decltype(zero);
    const std::int64_t rows = out.size / cols;
    const std::int64_t blocks = ceil_div(rows, scatter_warps) * ceil_div(cols, warp_size * scatter_width);
    launch("scatter_rows", scatter<T>, static_cast<unsigned>(blocks), scatter_warps * warp_size, device_.stream(),
           index.size, rows, cols, in.as<T>(), index.as<std::int32_t>(), out.as<T>());
  });
}

void CudaBackend::take_along_row(std::int64_t cols, ConstArray in, ConstArray index, Array out) {
  require(in.dtype == out.dtype, "kernel take_along_row: from ", name_of(in.dtype), " to ", name_of(out.dtype));
  if (index.size == 0) return;
  with_bits(in.dtype, [&](auto zero) {
    using Word = decltype(zero);
    launch("take_along_row", take_entries<Word>, blocks_for(index.size, 256), 256, device_.stream(), index.size, cols,
           static_cast<const Word*>(in.data), index.as<std::int32_t>(), static_cast<Word*>(out.data));
  });
}

void CudaBackend::scatter_along_row(std::int64_t cols, ConstArray in, ConstArray index, Array out) {
  require(in.dtype == out.dtype, "kernel scatter_along_row: from ", name_of(in.dtype), " to ", name_of(out.dtype));
  if (out.size == 0) return;
  with_bits(in.dtype, [&](auto zero) {
    using Word = decltype(zero);
    launch("scatter_along_row", scatter_entries<Word>, blocks_for(out.size, 512), 256, device_.stream(), index.size,
           cols, static_cast<const Word*>(in.data), index.as<std::int32_t>(), static_cast<Word*>(out.data));
  });
}

}  // namespace vergence::VERGENCE_GPU
