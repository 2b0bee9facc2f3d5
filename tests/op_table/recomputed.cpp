// The op table: results that are computed again in backward passes.
#include "engine/recomputed.h"

#include "tests/op_table/references.h"

namespace vergence::test {

namespace {

/// A layer whose two results both depend on all inputs.
Tensors layer(const Tensors& in) {
  const Tensor y = sigmoid(matmul(in[0], in[1]) + in[2]);
  return {y, sum_cols(y * y)};
}

Values layer_loops(const std::vector<Values>& in) {
  Values y;
  for (std::size_t i = 0; i < 6; ++i)
    for (std::size_t j = 0; j < 5; ++j) {
      double sum = in[2][j];
      for (std::size_t k = 0; k < 4; ++k) sum += in[0][i * 4 + k] * in[1][k * 5 + j];
      y.push_back(1 / (1 + std::exp(-sum)));
    }
  return y;
}

}  // namespace

std::vector<OpCase> recomputed_cases() {
  OpCase once{.name = "recomputed",
              .ops = {"recomputed"},
              .inputs = {{{6, 4}}, {{4, 5}}, {{5}}},
              .run = [](const Tensors& in) { return recomputed(layer, in); },
              .expect = layer_loops,
              .dtypes = {DType::f64, DType::f32}};
  OpCase nested = once, one_result = once;
  nested.name = "recomputed_nested";
  nested.run = [](const Tensors& in) {
    return recomputed([](const Tensors& x) { return recomputed(layer, x); }, in, layer(in));
  };
  one_result.name = "recomputed_one_result";
  one_result.run = [](const Tensors& in) { return Tensors{recomputed(layer, in)[0]}; };
  return {once, nested, one_result};
}

}  // namespace vergence::test
