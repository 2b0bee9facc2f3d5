// The op table: matrix products, linear layers and masks.
#include "tests/op_table/references.h"

namespace vergence::test {

namespace {

void add_matmul(std::vector<OpCase>& rows) {
  struct Size {
    std::int64_t m, n, k;
  };
  for (const auto& [m, n, k] : {Size{3, 5, 7}, Size{1, 1, 1}, Size{1, 9, 130}, Size{33, 1, 17}, Size{65, 70, 1},
                                Size{37, 129, 65}, Size{5, 3, 1030}})
    for (bool ta : {false, true})
      for (bool tb : {false, true})
        rows.push_back({.name = join("matmul_", m, "x", n, "x", k, ta ? "_t" : "_n", tb ? "t" : "n"),
                        .ops = {"matmul"},
                        .inputs = {{ta ? Shape{k, m} : Shape{m, k}}, {tb ? Shape{n, k} : Shape{k, n}}},
                        .run = [ta, tb](const Tensors& in) { return Tensors{matmul(in[0], in[1], ta, tb)}; },
                        .expect =
                            [m = m, n = n, k = k, ta, tb](const std::vector<Values>& in) {
                              return matmul_loops(in[0], in[1], static_cast<std::size_t>(m),
                                                  static_cast<std::size_t>(n), static_cast<std::size_t>(k), ta, tb);
                            }});
  rows.push_back(
      {.name = "matmul_with_itself",
       .ops = {"matmul"},
       .inputs = {{{9, 6}}},
       .run = [](const Tensors& in) { return Tensors{matmul(in[0], in[0], false, true)}; },
       .expect = [](const std::vector<Values>& in) { return matmul_loops(in[0], in[0], 9, 9, 6, false, true); }});
}

void add_linear(std::vector<OpCase>& rows) {
  struct Size {
    std::int64_t batch, in, out;
  };
  for (const auto& [batch, width, out] : {Size{4, 7, 5}, Size{1, 1, 1}, Size{33, 130, 17}, Size{3, 5, 129}})
    for (bool bias : {true, false}) {
      std::vector<Input> inputs = {{{batch, width}}, {{out, width}}};
      if (bias) inputs.push_back({{out}});
      rows.push_back(
          {.name = join("linear_", batch, "x", width, "x", out, bias ? "_bias" : ""),
           .ops = {"linear"},
           .inputs = inputs,
           .run = [bias](const Tensors& in) { return Tensors{linear(in[0], in[1], bias ? in[2] : Tensor{})}; },
           .expect =
               [batch = batch, width = width, out = out, bias](const std::vector<Values>& in) {
                 Values y = matmul_loops(in[0], in[1], static_cast<std::size_t>(batch), static_cast<std::size_t>(out),
                                         static_cast<std::size_t>(width), false, true);
                 for (std::size_t i = 0; bias && i < y.size(); ++i) y[i] += in[2][i % static_cast<std::size_t>(out)];
                 return y;
               }});
    }
  rows.push_back({.name = "linear_constant_input",
                  .ops = {"linear"},
                  .inputs = {{{6, 5}, Draw::normal, false}, {{3, 5}}, {{3}}},
                  .run = [](const Tensors& in) { return Tensors{linear(in[0], in[1], in[2])}; }});
  rows.push_back({.name = "linear_frozen_weights",
                  .ops = {"linear"},
                  .inputs = {{{6, 5}}, {{3, 5}, Draw::normal, false}, {{3}, Draw::normal, false}},
                  .run = [](const Tensors& in) { return Tensors{linear(in[0], in[1], in[2])}; }});
}

void add_masks(std::vector<OpCase>& rows) {
  for (const Shape& shape : {Shape{5, 7}, Shape{1, 1}, Shape{130, 33}, Shape{3, 1030}, Shape{2, 3, 3, 5}}) {
    const Expect scaled =
        pairs(shape.size(), shape.cols(), At::same, At::row_vector, [](double x, double m) { return x * m; });
    const Shape mask{shape.cols()};
    const auto run = [](const Tensors& in) { return Tensors{mask_scale(in[0], in[1])}; };
    rows.push_back({.name = join("mask_scale_", shape.size()),
                    .ops = {"mask_scale", "mask_backward"},
                    .inputs = {{shape}, {mask}},
                    .run = run,
                    .expect = scaled});
    rows.push_back({.name = join("mask_scale_constant_mask_", shape.size()),
                    .ops = {"mask_scale"},
                    .inputs = {{shape}, {mask, Draw::normal, false}},
                    .run = run,
                    .expect = scaled});
    rows.push_back({.name = join("mask_scale_constant_features_", shape.size()),
                    .ops = {"mask_scale"},
                    .inputs = {{shape, Draw::normal, false}, {mask}},
                    .run = run,
                    .expect = scaled});
  }
}

}  // namespace

std::vector<OpCase> linear_cases() {
  std::vector<OpCase> rows;
  add_matmul(rows);
  add_linear(rows);
  add_masks(rows);
  return rows;
}

}  // namespace vergence::test
