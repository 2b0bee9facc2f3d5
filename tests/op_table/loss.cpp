// The op table: fused losses of embeddings. InfoNCE over several tiles, slabs and sets; the cross-correlation loss in
// both its forms.
#include "engine/ops/loss.h"

#include "tests/op_table/references.h"

namespace vergence::test {

namespace {

const std::vector<DType> master_types = {DType::f64, DType::f32};

/// log p of each row's positive, set after set of `rows` rows.
Values info_nce_loops(const Values& u, std::size_t rows, std::size_t width, double temperature) {
  Values log_p;
  for (std::size_t first = 0; first < u.size(); first += rows * width) {
    const auto score = [&](std::size_t i, std::size_t j) {
      double product = 0;
      for (std::size_t k = 0; k < width; ++k) product += u[first + i * width + k] * u[first + j * width + k];
      return product / temperature;
    };
    for (std::size_t i = 0; i < rows; ++i) {
      double sum = 0;
      for (std::size_t j = 0; j < rows; ++j)
        if (j != i) sum += std::exp(score(i, j));
      log_p.push_back(score(i, (i + rows / 2) % rows) - std::log(sum));
    }
  }
  return log_p;
}

struct InfoNceForm {
  const char* name;
  Shape shape;
  double temperature = 0.5;
  bool normalize = true;
};

std::vector<InfoNceForm> info_nce_forms() {
  return {
      {"one_image", {2, 3}},
      {"odd", {6, 5}},
      {"not_unit", {10, 3}, 2.0, false},
      {"cold", {12, 16}, 0.07},
      {"two_tiles", {66, 9}, 0.2},
      {"three_tiles", {150, 33}},
      {"two_slabs", {10, 140}, 0.2},
      {"strata", {3, 8, 4}, 0.2},
      {"strata_tiles", {2, 70, 130}, 0.2},
  };
}

void add_info_nce(std::vector<OpCase>& rows) {
  for (const InfoNceForm& f : info_nce_forms())
    rows.push_back({.name = join("info_nce_", f.name),
                    .ops = {"info_nce", "info_nce_backward", "info_nce_double_backward"},
                    .inputs = {{f.shape}},
                    .run =
                        [f](const Tensors& in) {
                          return Tensors{info_nce(f.normalize ? l2_normalize(in[0]) : in[0], f.temperature)};
                        },
                    .expect =
                        [f](const std::vector<Values>& in) {
                          const auto width = static_cast<std::size_t>(f.shape.cols());
                          return info_nce_loops(f.normalize ? l2_normalize_loops(in[0], width, 1e-12) : in[0],
                                                static_cast<std::size_t>(f.shape[-2]), width, f.temperature);
                        },
                    .dtypes = master_types,
                    // With one other row p is 1, and what should vanish is rounding.
                    .slack = f.shape[-2] == 2 ? 50.0 : 2.0});
}

/// sum_i (c_ii - 1)^2 and sum_{i != j} c_ij^2 of c = z1^T z2 / n.
Values cross_correlation_loops(const Values& z, std::size_t n, std::size_t cols) {
  Values sums(2);
  for (std::size_t i = 0; i < cols; ++i)
    for (std::size_t j = 0; j < cols; ++j) {
      double c = 0;
      for (std::size_t row = 0; row < n; ++row)
        c += z[row * cols + i] * z[(n + row) * cols + j] / static_cast<double>(n);
      sums[i == j ? 0 : 1] += i == j ? (c - 1) * (c - 1) : c * c;
    }
  return sums;
}

void add_cross_correlation(std::vector<OpCase>& rows) {
  // By c itself, then by the Gram matrices.
  for (const Shape& shape : {Shape{2, 1}, Shape{10, 5}, Shape{18, 12}, Shape{140, 70}, Shape{2, 2}, Shape{6, 9},
                             Shape{16, 35}, Shape{74, 66}, Shape{4, 300}})
    rows.push_back({.name = join("cross_correlation_", shape[0], "x", shape[1]),
                    .ops = {"cross_correlation_loss", "cross_correlation_loss_backward"},
                    .inputs = {{shape}},
                    .run =
                        [](const Tensors& in) {
                          const CrossCorrelationLoss loss = cross_correlation_loss(in[0]);
                          return Tensors{concat({reshape(loss.diagonal, {1}), reshape(loss.off_diagonal, {1})}, 0)};
                        },
                    .expect =
                        [shape](const std::vector<Values>& in) {
                          return cross_correlation_loops(in[0], static_cast<std::size_t>(shape[0] / 2),
                                                         static_cast<std::size_t>(shape[1]));
                        },
                    .dtypes = master_types,
                    .slack = 2});
  for (const bool diagonal : {false, true})
    for (const Shape& shape : {Shape{18, 7}, Shape{8, 19}})
      rows.push_back({.name = join("cross_correlation_", diagonal ? "diagonal_" : "off_diagonal_", shape[1]),
                      .ops = {"cross_correlation_loss", "cross_correlation_loss_backward"},
                      .inputs = {{shape}},
                      .run =
                          [diagonal](const Tensors& in) {
                            const CrossCorrelationLoss loss = cross_correlation_loss(in[0]);
                            return Tensors{diagonal ? loss.diagonal : loss.off_diagonal};
                          },
                      .dtypes = master_types,
                      .slack = 2});
}

}  // namespace

std::vector<OpCase> loss_cases() {
  std::vector<OpCase> rows;
  add_info_nce(rows);
  add_cross_correlation(rows);
  return rows;
}

}  // namespace vergence::test
