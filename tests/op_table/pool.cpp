// The op table: pooling.
#include "engine/graph.h"
#include "tests/op_table/references.h"

namespace vergence::test {

std::vector<OpCase> pool_cases() {
  struct Form {
    const char* name;
    Shape shape;
    PoolOptions pool;
  };
  const std::vector<Form> forms = {
      {"halves", {2, 6, 4, 5}, {2, 2, 0}},        {"leftover", {1, 7, 5, 3}, {2, 2, 0}},
      {"stem", {2, 9, 8, 7}, {3, 2, 1}},          {"overlap", {1, 6, 6, 17}, {3, 1, 1}},
      {"whole", {3, 4, 4, 2}, {4, 4, 0}},         {"wide", {1, 5, 5, 130}, {3, 2, 1}},
      {"one_cell", {2, 1, 1, 3}, {1, 1, 0}},      {"gaps", {1, 8, 8, 3}, {2, 3, 0}},
      {"one_channel", {1, 33, 31, 1}, {3, 2, 1}}, {"vectors", {2, 5, 6, 16}, {3, 2, 1}},
  };
  std::vector<OpCase> rows;
  for (const Form& f : forms) {
    rows.push_back({.name = join("max_pool_", f.name),
                    .ops = {"max_pool", "max_pool_scatter", "max_pool_gather"},
                    .inputs = {{f.shape, Draw::distinct}},
                    .run = [p = f.pool](const Tensors& in) { return Tensors{max_pool(in[0], p)}; },
                    .expect =
                        [f](const std::vector<Values>& in) {
                          return pool_loops(in[0], f.shape, f.pool.kernel, f.pool.stride, f.pool.padding, true);
                        }});
    rows.push_back({.name = join("average_pool_", f.name),
                    .ops = {"average_pool", "average_pool_backward"},
                    .inputs = {{f.shape}},
                    .run = [p = f.pool](const Tensors& in) { return Tensors{average_pool(in[0], p)}; },
                    .expect =
                        [f](const std::vector<Values>& in) {
                          return pool_loops(in[0], f.shape, f.pool.kernel, f.pool.stride, f.pool.padding, false);
                        }});
  }
  for (const Shape& shape : {Shape{3, 4, 4, 17}, Shape{2, 1, 1, 5}, Shape{1, 7, 3, 1030}, Shape{5, 33, 2, 1}})
    rows.push_back({.name = join("global_average_pool_", shape.size()),
                    .ops = {"average_pool", "average_pool_backward"},
                    .inputs = {{shape}},
                    .run = [](const Tensors& in) { return Tensors{global_average_pool(in[0])}; },
                    .expect =
                        [shape](const std::vector<Values>& in) {
                          const std::int64_t cells = shape[1] * shape[2], channels = shape[3];
                          Values out(static_cast<std::size_t>(shape[0] * channels));
                          for (std::size_t i = 0; i < in[0].size(); ++i) {
                            const auto at = static_cast<std::int64_t>(i);
                            out[static_cast<std::size_t>(at / (cells * channels) * channels + at % channels)] +=
                                in[0][i] / static_cast<double>(cells);
                          }
                          return out;
                        }});
  // What an encoder in half precision ends in.
  for (const Shape& shape : {Shape{3, 4, 4, 16}, Shape{2, 5, 3, 7}})
    rows.push_back(
        {.name = join("global_average_pool_to_master_", shape.size()),
         .ops = {"average_pool", "average_pool_backward"},
         .inputs = {{shape}},
         .run = [](const Tensors& in) { return Tensors{global_average_pool(in[0], master_of(in[0].dtype))}; },
         .dtypes = {DType::bf16}});
  // Equal values: the first cell of a window wins, and the gradient goes to it alone.
  rows.push_back({.name = "max_pool_ties",
                  .ops = {"max_pool", "max_pool_scatter"},
                  .inputs = {{{1, 6, 6, 5}}},
                  .run =
                      [](const Tensors& in) {
                        const Tensor ties = affine(in[0] - in[0].detached(), 1, 3);  // 3, with derivative 1
                        const Tensor y = max_pool(ties, {3, 2, 1}), ones = full(y.backend(), y.shape, 1, y.dtype);
                        const Tensor gradient = grad({y}, {in[0]}, {.create = true, .keep = true, .seeds = {ones}})[0];
                        return Tensors{gradient, y};
                      },
                  .expect =
                      [](const std::vector<Values>& in) {
                        const auto begins = [](std::size_t at) { return at == 0 || at == 1 || at == 3; };  // a window
                        Values gradient(in[0].size());
                        for (std::size_t i = 0; i < gradient.size(); ++i)
                          gradient[i] = begins(i / 30) && begins(i / 5 % 6);
                        return gradient;
                      },
                  .finite_differences = false});
  return rows;
}

}  // namespace vergence::test
