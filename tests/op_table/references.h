// Plain loops over host values that the op table's expectations are made of. They share nothing with the engine.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <vector>

#include "tests/op_table/cases.h"

namespace vergence::test {

using Expect = std::function<Values(const std::vector<Values>&)>;

/// A value per element of the first input.
inline Expect each(const std::function<double(double)>& f) {
  return [f](const std::vector<Values>& in) {
    Values out = in[0];
    for (double& value : out) value = f(value);
    return out;
  };
}

/// Where element (row, col) of a grid of `cols` columns lies in a repeated operand.
enum class At { same, row_vector /* [C] */, column /* [..., 1] */, scalar };

inline std::size_t at(At how, std::size_t i, std::int64_t cols) {
  const auto width = static_cast<std::size_t>(cols);
  switch (how) {
    case At::same:
      return i;
    case At::row_vector:
      return i % width;
    case At::column:
      return i / width;
    case At::scalar:
      return 0;
  }
  return 0;
}

/// f(a, b) over a grid of `size` elements and `cols` columns.
inline Expect pairs(std::int64_t size, std::int64_t cols, At a, At b, const std::function<double(double, double)>& f) {
  return [=](const std::vector<Values>& in) {
    Values out(static_cast<std::size_t>(size));
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = f(in[0][at(a, i, cols)], in[1][at(b, i, cols)]);
    return out;
  };
}

/// Sums of f(i) over the grid's rows (cols results), columns (rows results) or everything, in long double: where terms
/// cancel, the reference must be better than what it judges.
enum class Over { rows, cols, all };

inline Values sums(std::size_t size, std::size_t cols, Over over, const std::function<double(std::size_t)>& f) {
  std::vector<long double> wide(over == Over::rows ? cols : over == Over::cols ? size / cols : 1);
  for (std::size_t i = 0; i < size; ++i)
    wide[over == Over::rows ? i % cols : over == Over::cols ? i / cols : 0] += static_cast<long double>(f(i));
  return {wide.begin(), wide.end()};
}

inline Values matmul_loops(const Values& a, const Values& b, std::size_t m, std::size_t n, std::size_t k, bool ta,
                           bool tb) {
  Values out(m * n);
  for (std::size_t i = 0; i < m; ++i)
    for (std::size_t j = 0; j < n; ++j)
      for (std::size_t l = 0; l < k; ++l)
        out[i * n + j] += (ta ? a[l * m + i] : a[i * k + l]) * (tb ? b[j * k + l] : b[l * n + j]);
  return out;
}

/// Visits every term g[y] x[i] w[j] of a convolution's trilinear form as visit(y, i, j): NHWC images, OHWI weights.
template <class Visit>
void for_each_conv_term(const ConvShape& s, Visit&& visit) {
  const std::int64_t in_group = s.in_channels / s.groups, out_group = s.out_channels / s.groups;
  std::int64_t y = 0;
  for (std::int64_t n = 0; n < s.batch; ++n)
    for (std::int64_t oh = 0; oh < s.out_height(); ++oh)
      for (std::int64_t ow = 0; ow < s.out_width(); ++ow)
        for (std::int64_t o = 0; o < s.out_channels; ++o, ++y)
          for (std::int64_t kh = 0; kh < s.kernel_height; ++kh)
            for (std::int64_t kw = 0; kw < s.kernel_width; ++kw) {
              const std::int64_t h = oh * s.stride - s.padding + kh * s.dilation;
              const std::int64_t w = ow * s.stride - s.padding + kw * s.dilation;
              if (h < 0 || w < 0 || h >= s.in_height || w >= s.in_width) continue;
              for (std::int64_t c = 0; c < in_group; ++c)
                visit(static_cast<std::size_t>(y),
                      static_cast<std::size_t>(((n * s.in_height + h) * s.in_width + w) * s.in_channels +
                                               o / out_group * in_group + c),
                      static_cast<std::size_t>(((o * s.kernel_height + kh) * s.kernel_width + kw) * in_group + c));
            }
}

/// [relu](gamma (x - mean) rstd + beta [+ add]) for each group of rows. Empty gamma, beta or add count as absent.
/// `mean` and `variance` are the given ones of eval mode, or empty for the group's own.
inline Values batch_norm_loops(const Values& x, std::size_t cols, std::size_t groups, const Values& gamma,
                               const Values& beta, const Values& add, bool relu, double epsilon = 1e-5,
                               const Values& mean = {}, const Values& variance = {}) {
  const std::size_t rows = x.size() / cols / groups;
  Values y(x.size());
  for (std::size_t g = 0; g < groups; ++g)
    for (std::size_t c = 0; c < cols; ++c) {
      const std::size_t first = g * rows * cols + c;
      double m = 0, v = 0;
      for (std::size_t r = 0; r < rows; ++r) m += x[first + r * cols];
      m = mean.empty() ? m / static_cast<double>(rows) : mean[c];
      for (std::size_t r = 0; r < rows; ++r) v += (x[first + r * cols] - m) * (x[first + r * cols] - m);
      v = variance.empty() ? v / static_cast<double>(rows) : variance[c];
      for (std::size_t r = 0; r < rows; ++r) {
        const std::size_t i = first + r * cols;
        double value = (x[i] - m) / std::sqrt(v + epsilon);
        if (!gamma.empty()) value = value * gamma[c] + beta[c];
        if (!add.empty()) value += add[i];
        y[i] = relu ? std::max(value, 0.0) : value;
      }
    }
  return y;
}

inline Values log_softmax_loops(const Values& x, std::size_t cols) {
  Values y = x;
  for (std::size_t first = 0; first < x.size(); first += cols) {
    double top = x[first], sum = 0;
    for (std::size_t c = 0; c < cols; ++c) top = std::max(top, x[first + c]);
    for (std::size_t c = 0; c < cols; ++c) sum += std::exp(x[first + c] - top);
    for (std::size_t c = 0; c < cols; ++c) y[first + c] = x[first + c] - top - std::log(sum);
  }
  return y;
}

inline Values l2_normalize_loops(const Values& x, std::size_t cols, double epsilon) {
  Values y = x;
  for (std::size_t first = 0; first < x.size(); first += cols) {
    double square = 0;
    for (std::size_t c = 0; c < cols; ++c) square += x[first + c] * x[first + c];
    for (std::size_t c = 0; c < cols; ++c) y[first + c] = x[first + c] / std::max(std::sqrt(square), epsilon);
  }
  return y;
}

/// Maximum, or mean over the cells inside the image, of each window.
inline Values pool_loops(const Values& x, const Shape& shape, std::int64_t kernel, std::int64_t stride,
                         std::int64_t padding, bool maximum) {
  const std::int64_t height = shape[1], width = shape[2], channels = shape[3];
  const std::int64_t out_h = (height + 2 * padding - kernel) / stride + 1;
  const std::int64_t out_w = (width + 2 * padding - kernel) / stride + 1;
  Values y;
  for (std::int64_t n = 0; n < shape[0]; ++n)
    for (std::int64_t oh = 0; oh < out_h; ++oh)
      for (std::int64_t ow = 0; ow < out_w; ++ow)
        for (std::int64_t c = 0; c < channels; ++c) {
          double best = -INFINITY, sum = 0, cells = 0;
          for (std::int64_t h = oh * stride - padding; h < oh * stride - padding + kernel; ++h)
            for (std::int64_t w = ow * stride - padding; w < ow * stride - padding + kernel; ++w) {
              if (h < 0 || w < 0 || h >= height || w >= width) continue;
              const double value = x[static_cast<std::size_t>(((n * height + h) * width + w) * channels + c)];
              best = std::max(best, value), sum += value, ++cells;
            }
          y.push_back(maximum ? best : sum / cells);
        }
  return y;
}

}  // namespace vergence::test
