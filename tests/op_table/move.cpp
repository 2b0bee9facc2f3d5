// The op table: ops that move values.
#include "tests/op_table/references.h"

namespace vergence::test {

namespace {

/// The expectation of a move: element i of the output is element source(i) of the first input, or 0 below 0.
Expect moved(std::int64_t size, const std::function<std::int64_t(std::int64_t)>& source) {
  return [=](const std::vector<Values>& in) {
    Values out(static_cast<std::size_t>(size));
    for (std::int64_t i = 0; i < size; ++i)
      if (const std::int64_t from = source(i); from >= 0)
        out[static_cast<std::size_t>(i)] = in[0][static_cast<std::size_t>(from)];
    return out;
  };
}

struct Split {
  std::int64_t outer = 1, inner = 1;
};

Split split_at(const Shape& shape, int axis) {
  Split split;
  for (int i = 0; i < axis; ++i) split.outer *= shape[i];
  for (int i = axis + 1; i < shape.rank(); ++i) split.inner *= shape[i];
  return split;
}

void add_cuts(std::vector<OpCase>& rows) {
  const std::vector<Shape> shapes = {{7, 5}, {3, 4, 5, 6}, {1030, 3}, {2, 1030}};
  for (const Shape& shape : shapes)
    for (int axis = 0; axis < shape.rank(); ++axis) {
      const std::int64_t extent = shape[axis], start = extent / 3, count = extent - start - 1;
      const Split s = split_at(shape, axis);
      const std::string suffix = join(shape.size(), "_axis", axis);
      rows.push_back({.name = "slice_" + suffix,
                      .ops = {"slice", "pad"},
                      .inputs = {{shape}},
                      .run = [=](const Tensors& in) { return Tensors{slice(in[0], axis, start, count)}; },
                      .expect = moved(s.outer * count * s.inner, [=](std::int64_t i) {
                        const std::int64_t block = i / (count * s.inner), rest = i % (count * s.inner);
                        return (block * extent + start) * s.inner + rest;
                      })});
      const std::int64_t total = extent + 4;
      rows.push_back({.name = "pad_" + suffix,
                      .ops = {"pad", "slice"},
                      .inputs = {{shape}},
                      .run = [=](const Tensors& in) { return Tensors{pad(in[0], axis, 3, total)}; },
                      .expect = moved(s.outer * total * s.inner, [=](std::int64_t i) {
                        const std::int64_t block = i / (total * s.inner), at = i / s.inner % total - 3;
                        return at < 0 || at >= extent ? -1 : (block * extent + at) * s.inner + i % s.inner;
                      })});
    }
  rows.push_back({.name = "slice_last_axis_by_negative_number",
                  .ops = {"slice"},
                  .inputs = {{{5, 7}}},
                  .run = [](const Tensors& in) { return Tensors{slice(in[0], -1, 2, 1)}; },
                  .expect = moved(5, [](std::int64_t i) { return i * 7 + 2; })});
}

void add_concat(std::vector<OpCase>& rows) {
  const std::vector<std::pair<int, std::vector<Shape>>> cases = {{0, {{3, 5}, {1, 5}, {4, 5}}},
                                                                 {1, {{3, 5}, {3, 1}, {3, 130}}},
                                                                 {3, {{2, 3, 3, 5}, {2, 3, 3, 4}}},
                                                                 {1, {{2, 3, 4}, {2, 1, 4}}},
                                                                 {0, {{1030}, {7}}},
                                                                 {0, {{2, 3}}}};
  int number = 0;
  for (const auto& [axis, shapes] : cases) {
    std::vector<Input> inputs;
    for (const Shape& shape : shapes) inputs.push_back({shape});
    rows.push_back({.name = join("concat_", number++, "_axis", axis),
                    .ops = {"concat"},
                    .inputs = inputs,
                    .run = [axis = axis](const Tensors& in) { return Tensors{concat(in, axis)}; },
                    .expect =
                        [axis = axis, shapes = shapes](const std::vector<Values>& in) {
                          const std::int64_t outer = split_at(shapes[0], axis).outer;
                          Values out;
                          for (std::int64_t block = 0; block < outer; ++block)
                            for (const Values& part : in) {
                              const auto run = static_cast<std::ptrdiff_t>(part.size()) / outer;
                              out.insert(out.end(), part.begin() + block * run, part.begin() + (block + 1) * run);
                            }
                          return out;
                        }});
  }
  rows.push_back({.name = "concat_with_a_constant",
                  .ops = {"concat"},
                  .inputs = {{{2, 3}, Draw::normal, false}, {{2, 3}}},
                  .run = [](const Tensors& in) { return Tensors{concat(in, 0)}; }});
}

void add_transposes(std::vector<OpCase>& rows) {
  for (const Shape& shape : {Shape{5, 7}, Shape{1, 9}, Shape{67, 130}, Shape{3, 5, 4}, Shape{2, 3, 4, 33}}) {
    const std::int64_t h = shape[-2], w = shape[-1];
    rows.push_back({.name = join("transpose_", shape.size()),
                    .ops = {"transpose"},
                    .inputs = {{shape}},
                    .run = [](const Tensors& in) { return Tensors{transpose(in[0])}; },
                    .expect = moved(shape.size(), [=](std::int64_t i) {
                      return i / (h * w) * h * w + i % h * w + i % (h * w) / h;
                    })});
  }
  rows.push_back({.name = "reshape",
                  .ops = {"reshape"},
                  .inputs = {{{6, 35}}},
                  .run =
                      [](const Tensors& in) {
                        return Tensors{reshape(in[0], {2, 3, 5, 7})};
                      },
                  .expect = each([](double x) { return x; })});
  rows.push_back({.name = "reshape_to_scalar",
                  .ops = {"reshape"},
                  .inputs = {{{1, 1}}},
                  .run = [](const Tensors& in) { return Tensors{reshape(in[0], {})}; },
                  .expect = each([](double x) { return x; })});
}

std::size_t whole(double value) { return static_cast<std::size_t>(value); }

void add_gathers(std::vector<OpCase>& rows) {
  // Repeated indices (more indices than rows), unused rows (fewer), one row, wide rows, images.
  const std::vector<std::pair<Shape, std::int64_t>> cases = {
      {{5, 7}, 11}, {{40, 3}, 6}, {{1, 4}, 3}, {{9, 1030}, 9}, {{6, 2, 2, 3}, 5}, {{8}, 17}, {{2500, 3}, 9}};
  for (const auto& [shape, count] : cases) {
    const std::int64_t rows_in = shape[0], cols = shape.size() / rows_in;
    rows.push_back(
        {.name = join("gather_rows_", count, "_from_", shape.size()),
         .ops = {"gather_rows", "scatter_rows"},
         .inputs = {{shape}, {{count}, Draw::index, false, false, rows_in}},
         .run = [](const Tensors& in) { return Tensors{gather_rows(in[0], in[1])}; },
         .expect =
             [=, n = count](const std::vector<Values>& in) {
               Values out;
               for (std::size_t i = 0; i < whole(static_cast<double>(n) * static_cast<double>(cols)); ++i)
                 out.push_back(in[0][whole(in[1][i / static_cast<std::size_t>(cols)]) * static_cast<std::size_t>(cols) +
                                     i % static_cast<std::size_t>(cols)]);
               return out;
             }});
    rows.push_back({.name = join("scatter_rows_", shape.size(), "_to_", count),
                    .ops = {"scatter_rows", "gather_rows"},
                    .inputs = {{shape}, {{rows_in}, Draw::index, false, false, count}},
                    .run = [n = count](const Tensors& in) { return Tensors{scatter_rows(in[0], in[1], n)}; },
                    .expect =
                        [=, n = count](const std::vector<Values>& in) {
                          const auto width = static_cast<std::size_t>(cols);
                          Values out(static_cast<std::size_t>(n) * width);
                          for (std::size_t i = 0; i < in[0].size(); ++i)
                            out[whole(in[1][i / width]) * width + i % width] += in[0][i];
                          return out;
                        }});
  }
}

void add_picks(std::vector<OpCase>& rows) {
  for (const Shape& shape : {Shape{5, 7}, Shape{1, 1}, Shape{130, 3}, Shape{4, 1030}}) {
    const std::int64_t r = shape[0], cols = shape[1];
    const auto width = static_cast<std::size_t>(cols);
    rows.push_back({.name = join("pick_", r, "x", cols),
                    .ops = {"take_along_row", "scatter_along_row"},
                    .inputs = {{shape}, {{r}, Draw::index, false, false, cols}},
                    .run = [](const Tensors& in) { return Tensors{take_along_row(in[0], in[1])}; },
                    .expect =
                        [=](const std::vector<Values>& in) {
                          Values out;
                          for (std::size_t i = 0; i < in[1].size(); ++i)
                            out.push_back(in[0][i * width + whole(in[1][i])]);
                          return out;
                        }});
    rows.push_back({.name = join("unpick_", r, "x", cols),
                    .ops = {"scatter_along_row", "take_along_row"},
                    .inputs = {{{r}}, {{r}, Draw::index, false, false, cols}},
                    .run = [cols](const Tensors& in) { return Tensors{scatter_along_row(in[0], in[1], cols)}; },
                    .expect =
                        [=](const std::vector<Values>& in) {
                          Values out(in[0].size() * width);
                          for (std::size_t i = 0; i < in[0].size(); ++i) out[i * width + whole(in[1][i])] = in[0][i];
                          return out;
                        }});
  }
}

}  // namespace

std::vector<OpCase> move_cases() {
  std::vector<OpCase> rows;
  add_cuts(rows);
  add_concat(rows);
  add_transposes(rows);
  add_gathers(rows);
  add_picks(rows);
  return rows;
}

}  // namespace vergence::test
