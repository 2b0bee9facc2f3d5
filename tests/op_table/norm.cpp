// The op table: batch normalization in all its forms, L2 normalization, and the softmax family.
#include "tests/op_table/references.h"

namespace vergence::test {

namespace {

struct NormForm {
  const char* name;
  Shape shape;
  std::int64_t groups = 1;
  bool affine = true, add = false, relu = false;
  Draw draw = Draw::normal;
};

std::vector<NormForm> norm_forms() {
  return {
      {"odd", {5, 7}},
      {"images", {4, 3, 3, 5}},
      {"wide", {6, 1030}},
      {"tall", {1031, 3}},
      {"many_rows", {2, 33, 17, 9}},
      {"one_channel", {9, 1}},
      {"three_rows", {3, 6}},
      {"one_row", {1, 6}},
      {"groups_2", {4, 3, 2, 5}, 2},
      {"groups_3", {9, 17}, 3},
      {"relu", {6, 3, 3, 4}, 1, true, false, true},
      {"relu_groups", {6, 2, 2, 17}, 2, true, false, true},
      {"add", {4, 3, 3, 5}, 1, true, true, false},
      {"add_groups", {4, 3, 3, 5}, 2, true, true, false},
      {"add_relu", {4, 3, 3, 5}, 1, true, true, true},
      {"add_relu_groups", {4, 3, 3, 17}, 2, true, true, true},
      {"plain", {8, 7}, 1, false},
      {"plain_groups", {8, 130}, 2, false},
      {"plain_relu", {8, 7}, 1, false, false, true},
      {"plain_add_relu_groups", {6, 7}, 2, false, true, true},
      {"far_from_zero", {64, 9}, 1, true, false, false, Draw::offset},
      // Channels in whole 16-byte vectors; rows and channels enough for several blocks.
      {"vectors", {5, 3, 2, 16}},
      {"vectors_relu_groups", {6, 2, 2, 24}, 2, true, false, true},
      {"vectors_add_relu_groups", {4, 3, 3, 8}, 2, true, true, true},
      {"vectors_plain_add", {6, 40}, 1, false, true, false},
      {"vectors_far_from_zero", {64, 16}, 1, true, false, false, Draw::offset},
      {"vectors_row_blocks", {80, 256}, 1, true, true, true},
      {"row_blocks_groups", {140, 33}, 2, true, true, true},
  };
}

std::vector<Input> norm_inputs(const NormForm& f) {
  std::vector<Input> inputs = {{f.shape, f.draw}};
  const Shape channels{f.shape.cols()};
  if (f.affine)
    inputs.push_back({channels, Draw::off_zero, true, true}), inputs.push_back({channels, Draw::normal, true, true});
  if (f.add) inputs.push_back({f.shape});
  return inputs;
}

struct NormArguments {
  Tensor x, gamma, beta, add;
};

NormArguments arguments(const NormForm& f, const Tensors& in) {
  std::size_t at = 1;
  NormArguments a{in[0], {}, {}, {}};
  if (f.affine) a.gamma = in[at++], a.beta = in[at++];
  if (f.add) a.add = in[at++];
  return a;
}

Values expected(const NormForm& f, const std::vector<Values>& in, const Values& mean, const Values& variance) {
  const std::size_t add = f.affine ? 3 : 1;
  return batch_norm_loops(in[0], static_cast<std::size_t>(f.shape.cols()), static_cast<std::size_t>(f.groups),
                          f.affine ? in[1] : Values{}, f.affine ? in[2] : Values{}, f.add ? in[add] : Values{}, f.relu,
                          1e-5, mean, variance);
}

void add_training(std::vector<OpCase>& rows) {
  for (const NormForm& f : norm_forms()) {
    const bool far = f.draw == Draw::offset;
    // One row has no variance: what should vanish is rounding times 1 / sqrt(epsilon).
    const bool one_row = f.shape.rows() == f.groups;
    const std::vector<DType> exact = {DType::f64, DType::f32};
    rows.push_back({.name = join("batch_norm_", f.name),
                    .ops = {"batch_norm", "batch_norm_backward", "batch_norm_double_backward"},
                    .inputs = norm_inputs(f),
                    .run =
                        [f](const Tensors& in) {
                          const NormArguments a = arguments(f, in);
                          const BatchNormResult r =
                              batch_norm(a.x, a.gamma, a.beta, a.add, {.groups = f.groups, .relu = f.relu});
                          return Tensors{r.y, r.mean, r.rstd};
                        },
                    .expect = [f](const std::vector<Values>& in) { return expected(f, in, {}, {}); },
                    .dtypes = far || one_row ? exact : std::vector{DType::f64, DType::f32, DType::bf16},
                    .kinks = f.relu,
                    .slack = one_row ? 200.0 : 1.0});
  }
}

void add_eval(std::vector<OpCase>& rows) {
  for (const NormForm& f : norm_forms()) {
    if (f.draw == Draw::offset) continue;
    std::vector<Input> inputs = norm_inputs(f);
    const Shape channels{f.shape.cols()};
    inputs.push_back({channels, Draw::normal, false, true});
    inputs.push_back({channels, Draw::positive, false, true});
    rows.push_back(
        {.name = join("batch_norm_eval_", f.name),
         .ops = {"batch_norm", "batch_norm_backward", "batch_norm_double_backward"},
         .inputs = inputs,
         .run =
             [f](const Tensors& in) {
               const NormArguments a = arguments(f, in);
               const Tensor &mean = in[in.size() - 2], &variance = in[in.size() - 1];
               return Tensors{
                   batch_norm_eval(a.x, a.gamma, a.beta, a.add, mean, variance, {.groups = f.groups, .relu = f.relu})};
             },
         .expect = [f](const std::vector<Values>& in) { return expected(f, in, in[in.size() - 2], in[in.size() - 1]); },
         .kinks = f.relu});
  }
}

/// Which cotangents are asked for decides which of the fused kernels' outputs exist.
void add_pruned(std::vector<OpCase>& rows) {
  const Shape shape{6, 9}, channels{9};
  auto add = [&](const char* name, bool x, bool gamma, bool beta, bool addend) {
    rows.push_back({.name = join("batch_norm_asked_for_", name),
                    .ops = {"batch_norm", "batch_norm_backward"},
                    .inputs = {{shape, Draw::normal, x},
                               {channels, Draw::off_zero, gamma, true},
                               {channels, Draw::normal, beta, true},
                               {shape, Draw::normal, addend}},
                    .run =
                        [](const Tensors& in) {
                          return Tensors{batch_norm(in[0], in[1], in[2], in[3], {.groups = 2, .relu = true}).y};
                        },
                    .kinks = true});
  };
  add("x", true, false, false, false);
  add("gamma", false, true, false, false);
  add("beta", false, false, true, false);
  add("addend", false, false, false, true);
  add("x_and_addend", true, false, false, true);
  add("gamma_and_beta", false, true, true, false);
}

void add_rows_ops(std::vector<OpCase>& rows) {
  for (const Shape& shape : {Shape{5, 7}, Shape{33, 130}, Shape{3, 1030}, Shape{4, 2}, Shape{2, 3, 9}, Shape{6}}) {
    const auto cols = static_cast<std::size_t>(shape.cols());
    rows.push_back(
        {.name = join("l2_normalize_", shape.size()),
         .ops = {"l2_normalize", "l2_normalize_backward"},
         .inputs = {{shape}},
         .run = [](const Tensors& in) { return Tensors{l2_normalize(in[0])}; },
         .expect = [cols](const std::vector<Values>& in) { return l2_normalize_loops(in[0], cols, 1e-12); }});
    rows.push_back({.name = join("log_softmax_", shape.size()),
                    .ops = {"log_softmax", "log_softmax_backward"},
                    .inputs = {{shape}},
                    .run = [](const Tensors& in) { return Tensors{log_softmax(in[0])}; },
                    .expect = [cols](const std::vector<Values>& in) { return log_softmax_loops(in[0], cols); }});
    rows.push_back({.name = join("softmax_", shape.size()),
                    .ops = {"log_softmax", "exp"},
                    .inputs = {{shape}},
                    .run = [](const Tensors& in) { return Tensors{softmax(in[0])}; },
                    .expect =
                        [cols](const std::vector<Values>& in) {
                          Values y = log_softmax_loops(in[0], cols);
                          for (double& value : y) value = std::exp(value);
                          return y;
                        },
                    .slack = 2});
  }
  // Some rows shorter than epsilon, some longer; then every row shorter.
  for (double epsilon : {2.8, 1e3})
    rows.push_back(
        {.name = join("l2_normalize_clamped_", epsilon > 10 ? "all" : "some"),
         .ops = {"l2_normalize", "l2_normalize_backward"},
         .inputs = {{{19, 8}}},
         .run = [epsilon](const Tensors& in) { return Tensors{l2_normalize(in[0], epsilon)}; },
         .expect = [epsilon](const std::vector<Values>& in) { return l2_normalize_loops(in[0], 8, epsilon); }});
  rows.push_back({.name = "log_softmax_one_column",
                  .ops = {"log_softmax"},
                  .inputs = {{{7, 1}}},
                  .run = [](const Tensors& in) { return Tensors{log_softmax(in[0])}; },
                  .expect = each([](double) { return 0; })});
  rows.push_back({.name = "log_softmax_far_from_zero",
                  .ops = {"log_softmax"},
                  .inputs = {{{5, 33}, Draw::offset}},
                  .run = [](const Tensors& in) { return Tensors{log_softmax(affine(in[0], 16))}; },
                  .dtypes = {DType::f64, DType::f32},
                  .finite_differences = false,
                  .slack = 10});
}

void add_cross_entropy(std::vector<OpCase>& rows) {
  for (const Shape& shape : {Shape{5, 7}, Shape{1, 2}, Shape{130, 10}, Shape{4, 1030}})
    rows.push_back({.name = join("cross_entropy_", shape[0], "x", shape[1]),
                    .ops = {"log_softmax", "take_along_row", "scaled_sum"},
                    .inputs = {{shape}, {{shape[0]}, Draw::index, false, false, shape[1]}},
                    .run = [](const Tensors& in) { return Tensors{cross_entropy(in[0], in[1])}; },
                    .expect =
                        [shape](const std::vector<Values>& in) {
                          const auto cols = static_cast<std::size_t>(shape[1]);
                          const Values y = log_softmax_loops(in[0], cols);
                          double sum = 0;
                          for (std::size_t i = 0; i < in[1].size(); ++i)
                            sum -= y[i * cols + static_cast<std::size_t>(in[1][i])];
                          return Values{sum / static_cast<double>(in[1].size())};
                        },
                    .slack = 2});
}

}  // namespace

std::vector<OpCase> norm_cases() {
  std::vector<OpCase> rows;
  add_training(rows);
  add_eval(rows);
  add_pruned(rows);
  add_rows_ops(rows);
  add_cross_entropy(rows);
  return rows;
}

}  // namespace vergence::test
