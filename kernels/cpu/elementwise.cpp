// Elementwise kernels: out[r, c] = f(a[r, c], b[r, c]; alpha, beta) with repeated operands, type conversion, and mask
// scaling's two gradients gx = g m, gm = sum over rows of g x. Bound by memory: every unrepeated operand is read once
// and the output written once, rows * cols * size_of(type) bytes each. Functions of the C library (exp, log, tanh) run
// scalar; everything else vectorizes.
#include <cstring>

#include "kernels/cpu/backend.h"
#include "kernels/cpu/loops.h"
#include "kernels/shared/functors.h"

namespace vergence {
namespace {

/// The grid with repeats simplified: a repeat along an extent of one is dropped, and if no operand repeats along only
/// one direction, the grid becomes a single row.
struct Grid {
  std::int64_t rows, cols;
  Repeat a, b;

  Grid(std::int64_t rows, std::int64_t cols, Repeat a, Repeat b) : rows(rows), cols(cols), a(simple(a)), b(simple(b)) {
    if (whole(this->a) && whole(this->b)) this->cols *= this->rows, this->rows = 1;
  }

 private:
  Repeat simple(Repeat repeat) const {
    if (repeat == Repeat::over_rows) return rows == 1 ? Repeat::none : cols == 1 ? Repeat::everywhere : repeat;
    if (repeat == Repeat::over_cols) return cols == 1 ? Repeat::none : rows == 1 ? Repeat::everywhere : repeat;
    return repeat;
  }
  static bool whole(Repeat repeat) { return repeat == Repeat::none || repeat == Repeat::everywhere; }
};

/// Row `row` of an operand.
template <class T>
const T* row_of(const T* values, Repeat repeat, std::int64_t row, std::int64_t cols) {
  if (repeat == Repeat::none) return values + row * cols;
  return repeat == Repeat::over_cols ? values + row : values;
}
bool is_scalar(Repeat repeat) { return repeat == Repeat::over_cols || repeat == Repeat::everywhere; }

/// Calls `run(row, begin, end)` in parallel for runs of columns that together cover the grid.
template <class Run>
void for_runs(const Grid& grid, const Run& run) {
  const bool one = grid.rows == 1;  // then split its columns over the threads
  parallel_for(one ? grid.cols : grid.rows, one ? cpu::grain : cpu::row_grain(grid.cols),
               [&](std::int64_t begin, std::int64_t end) {
                 const std::int64_t first_row = one ? 0 : begin, last_row = one ? 1 : end;
                 const std::int64_t first = one ? begin : 0, last = one ? end : grid.cols;
                 for (std::int64_t row = first_row; row < last_row; ++row) run(row, first, last);
               });
}

template <class T, class Functor>
void map_unary(const Grid& grid, Functor f, const T* a, Compute<T> alpha, Compute<T> beta, T* out) {
  using Real = Compute<T>;
  for_runs(grid, [&](std::int64_t row, std::int64_t begin, std::int64_t end) {
    const T* pa = row_of(a, grid.a, row, grid.cols);
    T* po = out + row * grid.cols;
    if (is_scalar(grid.a)) {
      std::fill(po + begin, po + end, static_cast<T>(f(static_cast<Real>(*pa), Real(0), alpha, beta)));
    } else {
      cpu::for_simd(begin, end,
                    [=](std::int64_t c) { po[c] = static_cast<T>(f(static_cast<Real>(pa[c]), Real(0), alpha, beta)); });
    }
  });
}

template <class T, class Functor>
void map_binary(const Grid& grid, Functor f, const T* a, const T* b, Compute<T> alpha, Compute<T> beta, T* out) {
  using Real = Compute<T>;
  cpu::with_flag(is_scalar(grid.a), [&](auto scalar_a) {
    cpu::with_flag(is_scalar(grid.b), [&](auto scalar_b) {
      for_runs(grid, [&](std::int64_t row, std::int64_t begin, std::int64_t end) {
        const T* pa = row_of(a, grid.a, row, grid.cols);
        const T* pb = row_of(b, grid.b, row, grid.cols);
        T* po = out + row * grid.cols;
        const Real first_a = static_cast<Real>(*pa), first_b = static_cast<Real>(*pb);
        cpu::for_simd(begin, end, [=](std::int64_t c) {
          const Real va = decltype(scalar_a)::value ? first_a : static_cast<Real>(pa[c]);
          const Real vb = decltype(scalar_b)::value ? first_b : static_cast<Real>(pb[c]);
          po[c] = static_cast<T>(f(va, vb, alpha, beta));
        });
      });
    });
  });
}

template <class To, class From>
void copy(const Grid& grid, const From* a, To* out) {
  for_runs(grid, [&](std::int64_t row, std::int64_t begin, std::int64_t end) {
    const From* pa = row_of(a, grid.a, row, grid.cols);
    To* po = out + row * grid.cols;
    if (is_scalar(grid.a)) {
      std::fill(po + begin, po + end, convert<To>(*pa));
    } else if constexpr (std::is_same_v<To, From>) {
      std::memcpy(po + begin, pa + begin, static_cast<std::size_t>(end - begin) * sizeof(To));
    } else {
      cpu::for_simd(begin, end, [=](std::int64_t c) { po[c] = convert<To>(pa[c]); });
    }
  });
}

}  // namespace

void CpuBackend::fill(Array out, double value) {
  with_any(out.dtype, [&](auto zero) {
    using T = decltype(zero);
    T* to = out.as<T>();
    const T element = convert<T>(value);
    parallel_for(out.size, cpu::grain,
                 [&](std::int64_t begin, std::int64_t end) { std::fill(to + begin, to + end, element); });
  });
}

void CpuBackend::map(Map op, std::int64_t rows, std::int64_t cols, Operand a, Operand b, double alpha, double beta,
                     Array out) {
  if (rows * cols == 0) return;
  const Grid grid(rows, cols, a.repeat, b.values ? b.repeat : Repeat::none);
  if (op == Map::copy) {
    with_any(a.values.dtype, [&](auto from) {
      with_any(out.dtype, [&](auto to) { copy(grid, a.values.as<decltype(from)>(), out.as<decltype(to)>()); });
    });
    return;
  }
  with_float(out.dtype, [&](auto zero) {
    using T = decltype(zero);
    using Real = Compute<T>;
    const T *pa = a.values.as<T>(), *pb = b.values.as<T>();
    T* po = out.as<T>();
    const Real real_alpha = static_cast<Real>(alpha), real_beta = static_cast<Real>(beta);
    with_functor(op, [&](auto functor) {
      if constexpr (decltype(functor)::inputs == 1) {
        map_unary(grid, functor, pa, real_alpha, real_beta, po);
      } else {
        require(pb != nullptr, "kernel map: a function of two inputs got one");
        map_binary(grid, functor, pa, pb, real_alpha, real_beta, po);
      }
    });
  });
}

void CpuBackend::mask_backward(std::int64_t rows, std::int64_t cols, ConstArray g, ConstArray x, ConstArray m, Array gx,
                               Array gm) {
  with_float(g.dtype, [&](auto zero) {
    using T = decltype(zero);
    using Real = Compute<T>;
    const T *pg = g.as<T>(), *px = x.as<T>(), *pm = m.as<T>();
    T *pgx = gx.as<T>(), *pgm = gm.as<T>();
    const std::vector<double> sums =
        cpu::column_sums<1, Real>(1, rows, cols, [=](std::int64_t i, std::int64_t c, Real* add) {
          const Real gi = static_cast<Real>(pg[i]);
          pgx[i] = static_cast<T>(gi * static_cast<Real>(pm[c]));
          add[0] += gi * static_cast<Real>(px[i]);
        });
    for (std::int64_t c = 0; c < cols; ++c)
      pgm[c] = static_cast<T>(static_cast<Real>(sums[static_cast<std::size_t>(c)]));
  });
}

}  // namespace vergence
