// The op table: elementwise ops.
#include "engine/graph.h"
#include "tests/op_table/references.h"

namespace vergence::test {

namespace {

using Binary = Tensor (*)(const Tensor&, const Tensor&);
using Unary = Tensor (*)(const Tensor&);

struct BinaryOp {
  const char* name;
  Binary op;
  std::function<double(double, double)> f;
  Draw right;
};

struct Form {
  const char* name;
  Shape left, right;
  At left_at, right_at;
};

/// Every legal pair of shapes: equal (odd, one element, past a vector), and each kind of repetition on either side.
std::vector<Form> forms() {
  return {{"equal", {3, 5, 7}, {3, 5, 7}, At::same, At::same},
          {"long", {2, 1030}, {2, 1030}, At::same, At::same},
          {"one_element", {1}, {1}, At::same, At::same},
          {"row_vector", {17, 129}, {129}, At::same, At::row_vector},
          {"row_vector_left", {129}, {3, 5, 129}, At::row_vector, At::same},
          {"column", {5, 3, 33}, {5, 3, 1}, At::same, At::column},
          {"column_left", {37, 1}, {37, 6}, At::column, At::same},
          {"scalar", {9, 31}, {}, At::same, At::scalar},
          {"scalar_left", {1}, {9, 31}, At::scalar, At::same},
          {"one_row_of_one", {1, 1}, {1}, At::same, At::same}};
}

void add_binary(std::vector<OpCase>& rows) {
  const std::vector<BinaryOp> ops = {
      {"add", add, [](double a, double b) { return a + b; }, Draw::normal},
      {"sub", sub, [](double a, double b) { return a - b; }, Draw::normal},
      {"mul", mul, [](double a, double b) { return a * b; }, Draw::normal},
      {"div", div, [](double a, double b) { return a / b; }, Draw::off_zero},
  };
  for (const BinaryOp& op : ops)
    for (const Form& form : forms()) {
      const Shape& out = form.left.size() >= form.right.size() ? form.left : form.right;
      rows.push_back({.name = join(op.name, "_", form.name),
                      .ops = {op.name},
                      .inputs = {{form.left}, {form.right, op.right}},
                      .run = [f = op.op](const Tensors& in) { return Tensors{f(in[0], in[1])}; },
                      .expect = pairs(out.size(), out.cols(), form.left_at, form.right_at, op.f)});
    }
  for (const BinaryOp& op : ops)
    rows.push_back({.name = join(op.name, "_constant_left"),
                    .ops = {op.name},
                    .inputs = {{{4, 9}, Draw::normal, false}, {{9}, op.right}},
                    .run = [f = op.op](const Tensors& in) { return Tensors{f(in[0], in[1])}; },
                    .expect = pairs(36, 9, At::same, At::row_vector, op.f)});
}

struct UnaryOp {
  const char* name;
  std::function<Tensor(const Tensor&)> op;
  std::function<double(double)> f;
  Draw draw = Draw::normal;
  const char* recorded = nullptr;  // where it differs from the name
};

void add_unary(std::vector<OpCase>& rows) {
  const std::vector<UnaryOp> ops = {
      {"affine", [](const Tensor& x) { return affine(x, -1.5, 0.25); }, [](double x) { return 0.25 - 1.5 * x; }},
      {"number_times", [](const Tensor& x) { return 3 * x; }, [](double x) { return 3 * x; }, Draw::normal, "affine"},
      {"times_number", [](const Tensor& x) { return x * -3; }, [](double x) { return -3 * x; }, Draw::normal, "affine"},
      {"over_number", [](const Tensor& x) { return x / 4; }, [](double x) { return x / 4; }, Draw::normal, "affine"},
      {"number_plus", [](const Tensor& x) { return 2 + x; }, [](double x) { return 2 + x; }, Draw::normal, "affine"},
      {"plus_number", [](const Tensor& x) { return x + 2; }, [](double x) { return 2 + x; }, Draw::normal, "affine"},
      {"number_minus", [](const Tensor& x) { return 2 - x; }, [](double x) { return 2 - x; }, Draw::normal, "affine"},
      {"minus_number", [](const Tensor& x) { return x - 2; }, [](double x) { return x - 2; }, Draw::normal, "affine"},
      {"minus", [](const Tensor& x) { return -x; }, [](double x) { return -x; }, Draw::normal, "affine"},
      {"neg", Unary{neg}, [](double x) { return -x; }, Draw::normal, "affine"},
      {"square", Unary{square}, [](double x) { return x * x; }, Draw::normal, "mul"},
      {"relu", Unary{relu}, [](double x) { return x > 0 ? x : 0; }, Draw::off_zero},
      {"sigmoid", Unary{sigmoid}, [](double x) { return 1 / (1 + std::exp(-x)); }},
      {"tanh", Unary{tanh}, [](double x) { return std::tanh(x); }},
      {"exp", Unary{exp}, [](double x) { return std::exp(x); }},
      {"log", Unary{log}, [](double x) { return std::log(x); }, Draw::positive},
      {"sqrt", Unary{sqrt}, [](double x) { return std::sqrt(x); }, Draw::positive},
      {"reciprocal", Unary{reciprocal}, [](double x) { return 1 / x; }, Draw::off_zero},
      {"abs", Unary{abs}, [](double x) { return std::abs(x); }, Draw::off_zero},
      {"clamp_min", [](const Tensor& x) { return clamp_min(x, 0.1); }, [](double x) { return std::max(x, 0.1); },
       Draw::off_zero},
      {"clamp_min_negative", [](const Tensor& x) { return clamp_min(x, -0.15); },
       [](double x) { return std::max(x, -0.15); }, Draw::off_zero, "clamp_min"},
      {"identity", Unary{identity}, [](double x) { return x; }},
  };
  for (const UnaryOp& op : ops)
    for (const auto& [suffix, shape] : {std::pair{"odd", Shape{3, 7, 5}}, std::pair{"long", Shape{3, 1030}},
                                        std::pair{"scalar", Shape{}}, std::pair{"images", Shape{2, 3, 3, 17}}})
      rows.push_back({.name = join(op.name, "_", suffix),
                      .ops = {op.recorded ? op.recorded : op.name},
                      .inputs = {{shape, op.draw}},
                      .run = [f = op.op](const Tensors& in) { return Tensors{f(in[0])}; },
                      .expect = each(op.f)});
}

void add_relu_mask(std::vector<OpCase>& rows) {
  for (const Shape& shape : {Shape{5, 13}, Shape{2, 1030}, Shape{1}})
    rows.push_back({.name = join("relu_mask_", shape.size()),
                    .ops = {"relu_mask"},
                    .inputs = {{shape}, {shape, Draw::off_zero, false}},
                    .run = [](const Tensors& in) { return Tensors{relu_mask(in[0], in[1])}; },
                    .expect = pairs(shape.size(), shape.cols(), At::same, At::same,
                                    [](double a, double b) { return b > 0 ? a : 0; })});
  rows.push_back({.name = "relu_at_zero",
                  .ops = {"relu", "relu_mask"},
                  .inputs = {{{4, 9}, Draw::off_zero}},
                  .run =
                      [](const Tensors& in) {
                        const Tensor zero = in[0] - in[0].detached();  // with derivative 1
                        const Tensor y = relu(zero), ones = full(y.backend(), y.shape, 1, y.dtype);
                        const Tensor gradient = grad({y}, {in[0]}, {.create = true, .keep = true, .seeds = {ones}})[0];
                        return Tensors{gradient, y, relu(in[0])};
                      },
                  .expect = each([](double) { return 0; }),
                  .finite_differences = false});
}

/// Precision is lost on the way, so differences in f64 say nothing; the reference rounds in the same places.
void add_cast(std::vector<OpCase>& rows) {
  for (DType to : {DType::f32, DType::bf16, DType::f64})
    for (const Shape& shape : {Shape{7, 11}, Shape{1030}, Shape{1, 1}})
      for (DType from : {DType::f64, DType::f32, DType::bf16})
        if (from != to)
          rows.push_back({.name = join("cast_", name_of(from), "_to_", name_of(to), "_", shape.size()),
                          .ops = {"cast"},
                          .inputs = {{shape}},
                          .run =
                              [from, to](const Tensors& in) {
                                const Tensor x = in[0].dtype == from ? in[0] : cast(in[0], from);
                                return Tensors{cast(x, to)};
                              },
                          .dtypes = {from},
                          .finite_differences = false});
}

}  // namespace

std::vector<OpCase> elementwise_cases() {
  std::vector<OpCase> rows;
  add_binary(rows);
  add_unary(rows);
  add_relu_mask(rows);
  add_cast(rows);
  return rows;
}

}  // namespace vergence::test
