// Movement: strided block copies, matrix transposes, gather and scatter by row, and one entry per row (take_along_row,
// scatter_along_row). No arithmetic except scatter's sums. Bound by memory: data is read once and written once. Indices
// are checked before anything is written.
#include <cstring>

#include "kernels/cpu/backend.h"
#include "kernels/cpu/loops.h"

namespace vergence {
namespace {

/// The indices, after checking that each is in [0, bound).
const std::int32_t* checked(const char* op, ConstArray index, std::int64_t bound) {
  const std::int32_t* values = index.as<std::int32_t>();
  for (std::int64_t i = 0; i < index.size; ++i)
    require(values[i] >= 0 && values[i] < bound, op, ": index ", values[i], " at position ", i, " is not in [0, ",
            bound, ")");
  return values;
}

void parallel_memcpy(void* to, const void* from, std::int64_t bytes) {
  parallel_for(bytes, 8 * cpu::grain, [&](std::int64_t begin, std::int64_t end) {
    std::memcpy(static_cast<char*>(to) + begin, static_cast<const char*>(from) + begin,
                static_cast<std::size_t>(end - begin));
  });
}

void parallel_zero(void* to, std::int64_t bytes) {
  parallel_for(bytes, 8 * cpu::grain, [&](std::int64_t begin, std::int64_t end) {
    std::memset(static_cast<char*>(to) + begin, 0, static_cast<std::size_t>(end - begin));
  });
}

/// Transposes one (rows, cols) -> (cols, rows) for rows [begin, end), in tiles that fit in the nearest cache.
template <class Word>
void transpose_rows(std::int64_t begin, std::int64_t end, std::int64_t rows, std::int64_t cols, const Word* in,
                    Word* out) {
  constexpr std::int64_t tile = 32;
  for (std::int64_t c0 = 0; c0 < cols; c0 += tile) {
    const std::int64_t c1 = std::min(cols, c0 + tile);
    for (std::int64_t c = c0; c < c1; ++c)
      for (std::int64_t r = begin; r < end; ++r) out[c * rows + r] = in[r * cols + c];
  }
}

/// out[index[i], first..last) += in[i, first..last), in order of i, summed in Compute<T>.
template <class T>
void scatter_columns(std::int64_t cols, std::int64_t first, std::int64_t last, const T* in, const std::int32_t* index,
                     std::int64_t count, Compute<T>* sums) {
  for (std::int64_t i = 0; i < count; ++i) {
    const T* from = in + i * cols;
    Compute<T>* to = sums + index[i] * cols;
    cpu::for_simd(first, last, [=](std::int64_t c) { to[c] += static_cast<Compute<T>>(from[c]); });
  }
}

}  // namespace

void CpuBackend::copy_block(std::int64_t rows, std::int64_t cols, ConstArray from, std::int64_t from_stride,
                            std::int64_t from_offset, Array to, std::int64_t to_stride, std::int64_t to_offset) {
  require(from.dtype == to.dtype, "kernel copy_block: from ", name_of(from.dtype), " to ", name_of(to.dtype));
  const std::int64_t bytes = size_of(from.dtype);
  const char* source = static_cast<const char*>(from.data) + from_offset * bytes;
  char* target = static_cast<char*>(to.data) + to_offset * bytes;
  if (rows == 1 || (cols == from_stride && cols == to_stride))
    return parallel_memcpy(target, source, rows * cols * bytes);
  parallel_for(rows, cpu::row_grain(cols), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r)
      std::memcpy(target + r * to_stride * bytes, source + r * from_stride * bytes,
                  static_cast<std::size_t>(cols * bytes));
  });
}

void CpuBackend::transpose(std::int64_t batch, std::int64_t rows, std::int64_t cols, ConstArray in, Array out) {
  require(in.dtype == out.dtype, "kernel transpose: from ", name_of(in.dtype), " to ", name_of(out.dtype));
  cpu::with_bits(in.dtype, [&](auto zero) {
    using Word = decltype(zero);
    const Word* from = static_cast<const Word*>(in.data);
    Word* to = static_cast<Word*>(out.data);
    constexpr std::int64_t strip = 32;
    const std::int64_t strips = (rows + strip - 1) / strip;
    parallel_for(batch * strips, cpu::row_grain(strip * cols), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t unit = begin; unit < end; ++unit) {
        const std::int64_t image = unit / strips * rows * cols, first = unit % strips * strip;
        transpose_rows(first, std::min(rows, first + strip), rows, cols, from + image, to + image);
      }
    });
  });
}

void CpuBackend::gather_rows(std::int64_t cols, ConstArray in, ConstArray index, Array out) {
  require(in.dtype == out.dtype, "kernel gather_rows: from ", name_of(in.dtype), " to ", name_of(out.dtype));
  const std::int32_t* rows = checked("gather_rows", index, cols ? in.size / cols : 0);
  const std::int64_t bytes = cols * size_of(in.dtype);
  parallel_for(index.size, cpu::row_grain(cols), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i)
      std::memcpy(static_cast<char*>(out.data) + i * bytes, static_cast<const char*>(in.data) + rows[i] * bytes,
                  static_cast<std::size_t>(bytes));
  });
}

void CpuBackend::scatter_rows(std::int64_t cols, ConstArray in, ConstArray index, Array out) {
  const std::int32_t* rows = checked("scatter_rows", index, cols ? out.size / cols : 0);
  with_float(in.dtype, [&](auto zero) {
    using T = decltype(zero);
    using Real = Compute<T>;
    const T* from = in.as<T>();
    T* to = out.as<T>();
    std::vector<Real> wide;  // bf16 is summed in float and rounded once
    Real* sums = nullptr;
    if constexpr (std::is_same_v<T, Real>) {
      parallel_zero(to, out.size * size_of(out.dtype));
      sums = to;
    } else {
      wide.assign(static_cast<std::size_t>(out.size), Real(0));
      sums = wide.data();
    }
    // Threads split columns, not rows: additions happen in order of i for any number of threads.
    parallel_for(cols, std::max<std::int64_t>(32, cpu::row_grain(index.size)),
                 [&](std::int64_t first, std::int64_t last) {
                   scatter_columns(cols, first, last, from, rows, index.size, sums);
                 });
    if constexpr (!std::is_same_v<T, Real>)
      for (std::int64_t i = 0; i < out.size; ++i) to[i] = static_cast<T>(sums[i]);
  });
}

void CpuBackend::take_along_row(std::int64_t cols, ConstArray in, ConstArray index, Array out) {
  require(in.dtype == out.dtype, "kernel take_along_row: from ", name_of(in.dtype), " to ", name_of(out.dtype));
  const std::int32_t* entry = checked("take_along_row", index, cols);
  cpu::with_bits(in.dtype, [&](auto zero) {
    using Word = decltype(zero);
    for (std::int64_t i = 0; i < index.size; ++i)
      static_cast<Word*>(out.data)[i] = static_cast<const Word*>(in.data)[i * cols + entry[i]];
  });
}

void CpuBackend::scatter_along_row(std::int64_t cols, ConstArray in, ConstArray index, Array out) {
  require(in.dtype == out.dtype, "kernel scatter_along_row: from ", name_of(in.dtype), " to ", name_of(out.dtype));
  const std::int32_t* entry = checked("scatter_along_row", index, cols);
  parallel_zero(out.data, out.size * size_of(out.dtype));
  cpu::with_bits(in.dtype, [&](auto zero) {
    using Word = decltype(zero);
    for (std::int64_t i = 0; i < index.size; ++i)
      static_cast<Word*>(out.data)[i * cols + entry[i]] = static_cast<const Word*>(in.data)[i];
  });
}

}  // namespace vergence
