// The op table: reductions and broadcasting.
#include "tests/op_table/references.h"

namespace vergence::test {

namespace {

using Unary = Tensor (*)(const Tensor&);
using Binary = Tensor (*)(const Tensor&, const Tensor&);

/// Odd, one element, one row, one column, more than a vector or a thread's share, several parts of a row or a column.
std::vector<Shape> grids() {
  return {{3, 5, 7}, {1, 1}, {1, 1030}, {1030, 1}, {37, 129}, {2, 3, 3, 17}, {2100, 3}, {2100, 16}, {1, 9001}};
}

std::string text(const Shape& shape) {
  std::string name;
  for (int axis = 0; axis < shape.rank(); ++axis) name += join(axis ? "x" : "", shape[axis]);
  return name.empty() ? "scalar" : name;
}

Expect sum_of(const Shape& shape, Over over, double scale = 1) {
  return [=](const std::vector<Values>& in) {
    return sums(in[0].size(), static_cast<std::size_t>(shape.cols()), over,
                [&](std::size_t i) { return scale * in[0][i]; });
  };
}

Expect dot_of(const Shape& shape, Over over) {
  return [=](const std::vector<Values>& in) {
    return sums(in[0].size(), static_cast<std::size_t>(shape.cols()), over,
                [&](std::size_t i) { return in[0][i] * in[1][i]; });
  };
}

void add_sums(std::vector<OpCase>& rows) {
  for (const Shape& shape : grids()) {
    const double inverse = 1.0 / static_cast<double>(shape.size());
    const std::vector<std::tuple<const char*, Unary, Expect, const char*>> ops = {
        {"sum", sum, sum_of(shape, Over::all), "sum"},
        {"mean", mean, sum_of(shape, Over::all, inverse), "scaled_sum"},
        {"sum_over_rows", [](const Tensor& x) { return sum_over_rows(x); }, sum_of(shape, Over::rows), "sum_over_rows"},
        {"sum_cols", sum_cols, sum_of(shape, Over::cols), "sum_cols"},
    };
    for (const auto& [name, op, expect, recorded] : ops)
      rows.push_back({.name = join(name, "_", text(shape)),
                      .ops = {recorded},
                      .inputs = {{shape}},
                      .run = [op = op](const Tensors& in) { return Tensors{op(in[0])}; },
                      .expect = expect});
    rows.push_back({.name = join("scaled_sum_", text(shape)),
                    .ops = {"scaled_sum", "scaled_broadcast"},
                    .inputs = {{shape}},
                    .run = [](const Tensors& in) { return Tensors{scaled_sum(in[0], -0.5)}; },
                    .expect = sum_of(shape, Over::all, -0.5)});
    // The sum of a long normal sample is close to 0 beside its terms: a positive one tests precision fairly.
    rows.push_back({.name = join("sum_positive_", text(shape)),
                    .ops = {"sum"},
                    .inputs = {{shape, Draw::positive}},
                    .run = [](const Tensors& in) { return Tensors{sum(in[0])}; },
                    .expect = sum_of(shape, Over::all)});
  }
}

void add_dots(std::vector<OpCase>& rows) {
  for (const Shape& shape : grids()) {
    const std::vector<std::tuple<const char*, Binary, Expect>> ops = {
        {"dot", dot, dot_of(shape, Over::all)},
        {"dot_rows", dot_rows, dot_of(shape, Over::rows)},
        {"dot_cols", dot_cols, dot_of(shape, Over::cols)},
    };
    for (const auto& [name, op, expect] : ops)
      rows.push_back({.name = join(name, "_", text(shape)),
                      .ops = {name},
                      .inputs = {{shape}, {shape}},
                      .run = [op = op](const Tensors& in) { return Tensors{op(in[0], in[1])}; },
                      .expect = expect});
  }
}

struct Repetition {
  const char* name;
  Shape small, large;
  At at;
  Over over;
};

void add_broadcasts(std::vector<OpCase>& rows) {
  const std::vector<Repetition> repetitions = {
      {"row_vector", {129}, {3, 5, 129}, At::row_vector, Over::rows},
      {"column", {37, 1}, {37, 65}, At::column, Over::cols},
      {"column_images", {2, 3, 3, 1}, {2, 3, 3, 5}, At::column, Over::cols},
      {"scalar", {}, {7, 1030}, At::scalar, Over::all},
      {"one_element", {1}, {5, 5}, At::scalar, Over::all},
  };
  for (const Repetition& r : repetitions) {
    rows.push_back({.name = join("broadcast_", r.name),
                    .ops = {"broadcast"},
                    .inputs = {{r.small}},
                    .run = [shape = r.large](const Tensors& in) { return Tensors{broadcast(in[0], shape)}; },
                    .expect =
                        [r](const std::vector<Values>& in) {
                          Values out(static_cast<std::size_t>(r.large.size()));
                          for (std::size_t i = 0; i < out.size(); ++i) out[i] = in[0][at(r.at, i, r.large.cols())];
                          return out;
                        }});
    rows.push_back({.name = join("sum_to_", r.name),
                    .ops = {r.over == Over::rows   ? "sum_over_rows"
                            : r.over == Over::cols ? "sum_cols"
                                                   : "sum"},
                    .inputs = {{r.large}},
                    .run = [shape = r.small](const Tensors& in) { return Tensors{sum_to(in[0], shape)}; },
                    .expect = sum_of(r.large, r.over)});
  }
}

void add_max(std::vector<OpCase>& rows) {
  for (const Shape& shape : {Shape{5, 7}, Shape{3, 1030}, Shape{1, 1}, Shape{2, 3, 33}})
    rows.push_back({.name = join("max_cols_", text(shape)),
                    .ops = {},
                    .inputs = {{shape, Draw::normal, false}},
                    .run = [](const Tensors& in) { return Tensors{max_cols(in[0])}; },
                    .expect =
                        [shape](const std::vector<Values>& in) {
                          const auto cols = static_cast<std::size_t>(shape.cols());
                          Values out(in[0].size() / cols, -INFINITY);
                          for (std::size_t i = 0; i < in[0].size(); ++i)
                            out[i / cols] = std::max(out[i / cols], in[0][i]);
                          return out;
                        }});
}

}  // namespace

std::vector<OpCase> reduce_cases() {
  std::vector<OpCase> rows;
  add_sums(rows);
  add_dots(rows);
  add_broadcasts(rows);
  add_max(rows);
  return rows;
}

}  // namespace vergence::test
