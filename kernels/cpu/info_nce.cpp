// InfoNCE on the CPU, in tiles of rows whose scores stay in a core's cache. With s = u u^T / temperature,
// p[i,j] = exp(s[i,j] - lse[i]) off the diagonal and 0 on it, and + the positive of row i:
//   forward      log_p[i] = s[i,+] - lse[i]
//   backward     gu = W u, W[i,j] = ((g[i] + g[j]) [j = +] - g[i] p[i,j] - g[j] p[j,i]) / temperature
//   double       t = (a u^T + u a^T) / temperature, m[i] = sum_j p[i,j] t[i,j]: dg[i] = t[i,+] - m[i], du = V u + W a,
//                V[i,j] = -(g[i] p[i,j] (t[i,j] - m[i]) + g[j] p[j,i] (t[i,j] - m[j])) / temperature
// FLOP for R rows of width d: 2, 4 and 16 R^2 d. Bound by the matrix products; the exponentials are vectorized.
#include <cmath>
#include <limits>

#include "kernels/cpu/backend.h"
#include "kernels/cpu/loops.h"
#include "kernels/cpu/typed_product.h"
#include "kernels/cpu/workspace.h"
#include "kernels/shared/exact_exp.h"

namespace vergence {
namespace {

/// Vectorized by the compiler in f32.
inline double exponential(double x) { return std::exp(x); }
inline float exponential(float x) { return exact_exp(x); }

/// A tile of rows of one set: `before` rows come before the set, `first` rows of the set before the tile.
struct Tile {
  std::int64_t before, first, rows;
};

/// The number of rows whose scores stay in a core's cache.
std::int64_t tile_rows(const InfoNceShape& shape) {
  return std::clamp<std::int64_t>((1 << 18) / shape.rows, std::min<std::int64_t>(64, shape.rows), shape.rows);
}

/// The operands and products of one call, of type T.
template <class T>
class InfoNceCall {
 public:
  InfoNceCall(Backend& backend, const InfoNceShape& shape, int matrices)
      : backend_(backend),
        shape_(shape),
        scale_(static_cast<T>(1 / shape.temperature)),
        size_(tile_rows(shape) * std::max(shape.rows, shape.width)),
        memory_(backend, matrices * size_ * static_cast<std::int64_t>(sizeof(T))) {}

  T scale() const { return scale_; }
  /// A matrix with the tile's rows.
  T* matrix(int which) const { return memory_.as<T>() + which * size_; }
  std::int64_t positive(std::int64_t row) const { return (row + shape_.rows / 2) % shape_.rows; }

  template <class Visit>
  void for_tiles(const Visit& visit) const {
    for (std::int64_t set = 0; set < shape_.sets; ++set)
      for (std::int64_t first = 0; first < shape_.rows; first += tile_rows(shape_))
        visit(Tile{set * shape_.rows, first, std::min(tile_rows(shape_), shape_.rows - first)});
  }
  /// Calls `row(i, k)` in parallel for each row, i in the set and k in the tile.
  template <class Row>
  void for_rows(const Tile& tile, const Row& row) const {
    parallel_for(tile.rows, std::max<std::int64_t>(1, cpu::row_grain(shape_.rows) / 4),
                 [&](std::int64_t begin, std::int64_t end) {
                   for (std::int64_t k = begin; k < end; ++k) row(tile.first + k, k);
                 });
  }

  /// out = x[tile] y^T over the whole set.
  void scores(const Tile& tile, const T* x, const T* y, T* out) const {
    cpu::product(backend_, false, true, tile.rows, shape_.rows, shape_.width,
                 x + (tile.before + tile.first) * shape_.width, y + tile.before * shape_.width, out);
  }
  /// out = weights x of the whole set.
  void combine(const Tile& tile, const T* weights, const T* x, T* out) const {
    cpu::product(backend_, false, false, tile.rows, shape_.width, shape_.rows, weights, x + tile.before * shape_.width,
                 out);
  }

 private:
  Backend& backend_;
  const InfoNceShape& shape_;
  T scale_;
  std::int64_t size_;
  Workspace memory_;
};

/// log_p and lse of row i, from its products with all rows.
template <class T>
void forward_row(std::int64_t rows, std::int64_t i, std::int64_t positive, T scale, T* products, T& log_p, T& lse) {
  products[i] = -std::numeric_limits<T>::infinity();
  T most = products[positive];
  for (std::int64_t j = 0; j < rows; ++j) most = std::max(most, products[j]);
  const double sum = cpu::sum_range(0, rows, [=](std::int64_t j) { return exponential((products[j] - most) * scale); });
  const T log_sum = static_cast<T>(std::log(sum));
  log_p = (products[positive] - most) * scale - log_sum;
  lse = most * scale + log_sum;
}

/// Writes row i of W in place of its products. g and lse are those of the whole set.
template <class T>
void weights_row(std::int64_t rows, std::int64_t i, std::int64_t positive, T scale, const T* g, const T* lse,
                 T* products) {
  const T gi = g[i], lse_i = lse[i];
  cpu::for_simd(0, rows, [=](std::int64_t j) {
    const T s = products[j] * scale;
    products[j] = -scale * (gi * exponential(s - lse_i) + g[j] * exponential(s - lse[j]));
  });
  products[i] = 0;
  products[positive] += scale * (gi + g[positive]);
}

/// m of row i; p[i, j] and t[i, j] come from their products.
template <class T>
T tangent_mean(std::int64_t rows, std::int64_t i, T scale, T lse, const T* products, const T* au, const T* ua) {
  const auto term = [=](std::int64_t j) { return exponential(products[j] * scale - lse) * ((au[j] + ua[j]) * scale); };
  return static_cast<T>(cpu::sum_range(0, i, term) + cpu::sum_range(i + 1, rows, term));
}

/// Writes row i of V in place of `au`, and of W in place of `products`.
template <class T>
void second_weights_row(std::int64_t rows, std::int64_t i, std::int64_t positive, T scale, const T* g, const T* lse,
                        const T* m, T* products, T* au, const T* ua) {
  const T gi = g[i], lse_i = lse[i], mi = m[i];
  cpu::for_simd(0, rows, [=](std::int64_t j) {
    const T s = products[j] * scale, t = (au[j] + ua[j]) * scale;
    const T own = gi * exponential(s - lse_i), other = g[j] * exponential(s - lse[j]);
    au[j] = -scale * (own * (t - mi) + other * (t - m[j]));
    products[j] = -scale * (own + other);
  });
  products[i] = au[i] = 0;
  products[positive] += scale * (gi + g[positive]);
}

}  // namespace

void CpuBackend::info_nce(const InfoNceShape& shape, ConstArray u, Array log_p, Array lse) {
  if (u.size == 0) return;
  with_master(u.dtype, [&](auto zero) {
    using T = decltype(zero);
    const InfoNceCall<T> call(*this, shape, 1);
    const T* pu = u.as<T>();
    T *p_log = log_p.as<T>(), *p_lse = lse.as<T>(), *products = call.matrix(0);
    call.for_tiles([&](const Tile& tile) {
      call.scores(tile, pu, pu, products);
      call.for_rows(tile, [&](std::int64_t i, std::int64_t k) {
        forward_row(shape.rows, i, call.positive(i), call.scale(), products + k * shape.rows, p_log[tile.before + i],
                    p_lse[tile.before + i]);
      });
    });
  });
}

void CpuBackend::info_nce_backward(const InfoNceShape& shape, ConstArray g, ConstArray u, ConstArray lse, Array gu) {
  if (u.size == 0) return;
  with_master(u.dtype, [&](auto zero) {
    using T = decltype(zero);
    const InfoNceCall<T> call(*this, shape, 1);
    const T *pg = g.as<T>(), *pu = u.as<T>(), *p_lse = lse.as<T>();
    T *pgu = gu.as<T>(), *products = call.matrix(0);
    call.for_tiles([&](const Tile& tile) {
      call.scores(tile, pu, pu, products);
      call.for_rows(tile, [&](std::int64_t i, std::int64_t k) {
        weights_row(shape.rows, i, call.positive(i), call.scale(), pg + tile.before, p_lse + tile.before,
                    products + k * shape.rows);
      });
      call.combine(tile, products, pu, pgu + (tile.before + tile.first) * shape.width);
    });
  });
}

void CpuBackend::info_nce_double_backward(const InfoNceShape& shape, ConstArray a, ConstArray g, ConstArray u,
                                          ConstArray lse, Array dg, Array du) {
  if (u.size == 0) return;
  with_master(u.dtype, [&](auto zero) {
    using T = decltype(zero);
    const InfoNceCall<T> call(*this, shape, 3);
    const Workspace means(*this, shape.sets * shape.rows * static_cast<std::int64_t>(sizeof(T)));
    const T *pa = a.as<T>(), *pg = g.as<T>(), *pu = u.as<T>(), *p_lse = lse.as<T>();
    T *pdg = dg.as<T>(), *pdu = du.as<T>(), *m = means.as<T>();
    T *products = call.matrix(0), *au = call.matrix(1), *ua = call.matrix(2);
    const auto scores = [&](const Tile& tile) {
      call.scores(tile, pu, pu, products), call.scores(tile, pa, pu, au), call.scores(tile, pu, pa, ua);
    };
    call.for_tiles([&](const Tile& tile) {
      scores(tile);
      call.for_rows(tile, [&](std::int64_t i, std::int64_t k) {
        const std::int64_t row = k * shape.rows, at = tile.before + i, plus = row + call.positive(i);
        m[at] = tangent_mean(shape.rows, i, call.scale(), p_lse[at], products + row, au + row, ua + row);
        pdg[at] = (au[plus] + ua[plus]) * call.scale() - m[at];
      });
    });
    if (!pdu) return;
    call.for_tiles([&](const Tile& tile) {
      scores(tile);
      call.for_rows(tile, [&](std::int64_t i, std::int64_t k) {
        const std::int64_t row = k * shape.rows;
        second_weights_row(shape.rows, i, call.positive(i), call.scale(), pg + tile.before, p_lse + tile.before,
                           m + tile.before, products + row, au + row, ua + row);
      });
      T* out = pdu + (tile.before + tile.first) * shape.width;
      call.combine(tile, au, pu, out);
      call.combine(tile, products, pa, ua);
      cpu::for_simd(0, tile.rows * shape.width, [=](std::int64_t i) { out[i] += ua[i]; });
    });
  });
}

}  // namespace vergence
