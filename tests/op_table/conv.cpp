// The op table: the convolution triple over the geometries that networks use, and some that none should.
#include "tests/op_table/references.h"

namespace vergence::test {

namespace {

struct Geometry {
  const char* name;
  std::int64_t batch, height, width, in, out, kernel_h, kernel_w;
  ConvOptions conv;
};

std::vector<Geometry> geometries() {
  return {
      {"3x3_odd", 2, 7, 5, 3, 5, 3, 3, {1, 1, 1, 1}},
      {"3x3_unpadded", 1, 6, 7, 4, 3, 3, 3, {1, 0, 1, 1}},
      {"3x3_even_16", 2, 8, 8, 16, 16, 3, 3, {1, 1, 1, 1}},
      {"3x3_even_64", 1, 8, 8, 64, 64, 3, 3, {1, 1, 1, 1}},
      {"3x3_tail_of_tiles", 3, 9, 11, 17, 33, 3, 3, {1, 1, 1, 1}},
      {"3x3_stem", 2, 16, 16, 3, 16, 3, 3, {1, 1, 1, 1}},
      {"3x3_stem_padding_2", 2, 8, 7, 3, 16, 3, 3, {1, 2, 1, 1}},
      {"3x3_stride_2", 2, 9, 8, 6, 8, 3, 3, {2, 1, 1, 1}},
      {"3x3_stride_2_even_32", 2, 8, 8, 32, 64, 3, 3, {2, 1, 1, 1}},
      {"3x3_stride_2_whole_vectors", 2, 9, 8, 24, 72, 3, 3, {2, 1, 1, 1}},
      {"3x3_smallest_map", 5, 1, 1, 6, 7, 3, 3, {1, 1, 1, 1}},
      {"1x1", 3, 5, 5, 7, 9, 1, 1, {1, 0, 1, 1}},
      {"1x1_stride_2", 2, 8, 6, 5, 10, 1, 1, {2, 0, 1, 1}},
      {"1x1_stride_2_odd", 1, 7, 9, 16, 32, 1, 1, {2, 0, 1, 1}},
      {"1x1_wide", 1, 3, 3, 130, 129, 1, 1, {1, 0, 1, 1}},
      {"1x1_padded", 1, 3, 3, 2, 3, 1, 1, {1, 1, 1, 1}},
      {"7x7_stem", 1, 17, 15, 3, 8, 7, 7, {2, 3, 1, 1}},
      {"5x5", 1, 6, 6, 3, 4, 5, 5, {1, 2, 1, 1}},
      {"4x4_stride_2", 2, 8, 8, 3, 5, 4, 4, {2, 1, 1, 1}},
      {"2x2_stride_2", 1, 7, 7, 3, 2, 2, 2, {2, 0, 1, 1}},
      {"dilation_2", 1, 9, 7, 4, 4, 3, 3, {1, 2, 2, 1}},
      {"dilation_3_stride_2", 1, 11, 10, 2, 3, 3, 3, {2, 1, 3, 1}},
      {"groups_2", 2, 6, 5, 6, 4, 3, 3, {1, 1, 1, 2}},
      {"groups_4_stride_2", 1, 7, 7, 8, 12, 3, 3, {2, 1, 1, 4}},
      {"groups_3_dilation_2", 1, 8, 8, 3, 9, 3, 3, {1, 2, 2, 3}},
      {"depthwise", 2, 6, 6, 17, 17, 3, 3, {1, 1, 1, 17}},
      {"1x3_kernel", 1, 5, 6, 3, 4, 1, 3, {1, 1, 1, 1}},
      {"stride_3_leftover", 1, 10, 11, 2, 3, 2, 2, {3, 0, 1, 1}},
      {"whole_image", 3, 4, 4, 5, 6, 4, 4, {1, 0, 1, 1}},
      {"one_of_everything", 1, 1, 1, 1, 1, 1, 1, {1, 0, 1, 1}},
  };
}

ConvShape conv_shape(const Geometry& g) {
  ConvShape s;
  s.batch = g.batch, s.in_height = g.height, s.in_width = g.width, s.in_channels = g.in, s.out_channels = g.out;
  s.kernel_height = g.kernel_h, s.kernel_width = g.kernel_w;
  s.stride = g.conv.stride, s.padding = g.conv.padding, s.dilation = g.conv.dilation, s.groups = g.conv.groups;
  return s;
}

/// The three maps of one geometry. `master`: weights (and their gradients) of the master type.
void add_triple(std::vector<OpCase>& rows, const Geometry& g, bool master) {
  const ConvShape s = conv_shape(g);
  const Shape x{g.batch, g.height, g.width, g.in}, w{g.out, g.kernel_h, g.kernel_w, g.in / g.conv.groups};
  const Shape y{g.batch, s.out_height(), s.out_width(), g.out};
  const std::string suffix = join(g.name, master ? "_master" : "");
  const std::vector<DType> dtypes =
      master ? std::vector{DType::bf16} : std::vector{DType::f64, DType::f32, DType::bf16};
  auto add = [&](const char* op, Input first, Input second, auto run, auto expect) {
    rows.push_back({.name = join(op, "_", suffix),
                    .ops = {op, "conv2d", "conv2d_data", "conv2d_weight"},
                    .inputs = {first, second},
                    .run = run,
                    .expect = expect,
                    .dtypes = dtypes});
  };
  const Input weights{w, Draw::normal, true, master};
  add(
      "conv2d", {x}, weights, [c = g.conv](const Tensors& in) { return Tensors{conv2d(in[0], in[1], c)}; },
      [s](const std::vector<Values>& in) {
        Values out(static_cast<std::size_t>(s.out_size()));
        for_each_conv_term(s, [&](auto o, auto i, auto j) { out[o] += in[0][i] * in[1][j]; });
        return out;
      });
  add(
      "conv2d_data", {y}, weights,
      [c = g.conv, x](const Tensors& in) { return Tensors{conv2d_data(in[0], in[1], x, c)}; },
      [s](const std::vector<Values>& in) {
        Values out(static_cast<std::size_t>(s.in_size()));
        for_each_conv_term(s, [&](auto o, auto i, auto j) { out[i] += in[0][o] * in[1][j]; });
        return out;
      });
  add(
      "conv2d_weight", {x}, {y},
      [c = g.conv, w, master](const Tensors& in) {
        const DType type = master ? master_of(in[0].dtype) : in[0].dtype;
        return Tensors{conv2d_weight(in[0], in[1], w, type, c)};
      },
      [s](const std::vector<Values>& in) {
        Values out(static_cast<std::size_t>(s.weight_size()));
        for_each_conv_term(s, [&](auto o, auto i, auto j) { out[j] += in[0][i] * in[1][o]; });
        return out;
      });
}

}  // namespace

std::vector<OpCase> conv_cases() {
  std::vector<OpCase> rows;
  for (const Geometry& g : geometries())
    for (bool master : {false, true}) add_triple(rows, g, master);
  const auto run = [](const Tensors& in) { return Tensors{conv2d(in[0], in[1], {1, 1, 1, 1})}; };
  rows.push_back({.name = "conv2d_constant_images",
                  .ops = {"conv2d", "conv2d_weight"},
                  .inputs = {{{2, 6, 6, 3}, Draw::normal, false}, {{4, 3, 3, 3}}},
                  .run = run});
  rows.push_back({.name = "conv2d_frozen_weights",
                  .ops = {"conv2d", "conv2d_data"},
                  .inputs = {{{2, 6, 6, 3}}, {{4, 3, 3, 3}, Draw::normal, false}},
                  .run = run});
  return rows;
}

}  // namespace vergence::test
