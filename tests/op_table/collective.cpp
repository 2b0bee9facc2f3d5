// The op table: collectives, alone and where every rank's output depends on every rank's input in other ways.
#include "engine/ops/collective.h"

#include "tests/op_table/references.h"

namespace vergence::test {

namespace {

using RunOnRank = std::function<Tensors(const Tensors&, Communicator&)>;

OpCase of_ranks(int ranks, const std::string& name, const std::vector<std::string>& ops,
                const std::vector<Input>& inputs, const RunOnRank& run) {
  OpCase row{.name = join(name, "_", ranks, "_ranks"), .ops = ops, .inputs = {}};
  row.ranks = ranks;
  for (int r = 0; r < ranks; ++r) row.inputs.insert(row.inputs.end(), inputs.begin(), inputs.end());
  row.run_on_rank = run;
  return row;
}

/// The first rank's output.
Values all_inputs(const std::vector<Values>& in) {
  Values all;
  for (const Values& x : in) all.insert(all.end(), x.begin(), x.end());
  return all;
}

Values sum_of_inputs(const std::vector<Values>& in) {
  Values sum(in[0].size());
  for (const Values& x : in)
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += x[i];
  return sum;
}

void add_plain(std::vector<OpCase>& rows) {
  // The larger ones have more values than are added in one message.
  const std::vector<std::pair<int, Shape>> cases = {
      {1, {4, 5}}, {2, {7}}, {3, {4, 5}}, {3, {2, 3, 3, 2}}, {3, {83, 61}}};
  for (const auto& [ranks, shape] : cases) {
    const std::string size = std::to_string(shape.size());
    rows.push_back(of_ranks(ranks, "all_gather_" + size, {"all_gather", "all_reduce", "slice"}, {{shape}},
                            [](const Tensors& in, Communicator& ranks) { return Tensors{all_gather(in[0], ranks)}; }));
    rows.back().expect = all_inputs;
    rows.push_back(of_ranks(ranks, "all_reduce_" + size, {"all_reduce"}, {{shape}},
                            [](const Tensors& in, Communicator& ranks) { return Tensors{all_reduce(in[0], ranks)}; }));
    rows.back().expect = sum_of_inputs;
  }
  rows.push_back(of_ranks(3, "all_reduce_scalar", {"all_reduce"}, {{{}}},
                          [](const Tensors& in, Communicator& ranks) { return Tensors{all_reduce(in[0], ranks)}; }));
}

void add_mixed(std::vector<OpCase>& rows) {
  // Each rank's rows against all rows, as a contrastive loss has them.
  rows.push_back(of_ranks(3, "products_with_all_rows", {"all_gather", "all_reduce", "matmul"}, {{{4, 3}}},
                          [](const Tensors& in, Communicator& ranks) {
                            return Tensors{square(matmul(in[0], all_gather(in[0], ranks), false, true))};
                          }));
  // Rows with the statistics of all ranks' rows, as a batch norm has them.
  rows.push_back(
      of_ranks(3, "standardized_over_ranks", {"all_reduce"}, {{{5, 4}}, {{4}, Draw::positive}},
               [](const Tensors& in, Communicator& ranks) {
                 const double share = 1.0 / static_cast<double>(ranks.ranks() * in[0].rows());
                 const Tensor& x = in[0];
                 const Tensor mean = share * all_reduce(sum_over_rows(x), ranks);
                 const Tensor centered = x - broadcast(mean, x.shape);
                 const Tensor variance = share * all_reduce(sum_over_rows(square(centered)), ranks);
                 return Tensors{mul(centered, broadcast(in[1] * reciprocal(sqrt(variance + 0.1)), x.shape)), mean};
               }));
  rows.push_back(of_ranks(2, "gathered_sum", {"all_gather", "all_reduce"}, {{{3, 2}}, {{3, 2}}},
                          [](const Tensors& in, Communicator& ranks) {
                            const Tensor sum = all_reduce(in[0] * in[1], ranks);
                            return Tensors{all_gather(tanh(sum) * in[0], ranks), square(in[1])};
                          }));
}

struct NormForm {
  const char* name;
  Shape shape;
  std::int64_t groups = 1;
  bool relu = false, add = false, affine = true;
};

/// Batch norms with the statistics of all ranks; gamma and beta are the ranks' mean, the same on all of them.
void add_norms(std::vector<OpCase>& rows) {
  for (const NormForm& f :
       {NormForm{"batch_norm", {5, 4}}, NormForm{"batch_norm_plain", {4, 3}, 1, false, false, false},
        NormForm{"batch_norm_images", {4, 3, 3, 8}, 2, true, true},
        NormForm{"batch_norm_wide", {8, 2, 1, 36}, 2, true}}) {
    const Shape channels{f.shape.cols()};
    std::vector<Input> inputs{{f.shape}};
    if (f.affine)
      inputs.insert(inputs.end(), {{channels, Draw::positive, true, true}, {channels, Draw::normal, true, true}});
    if (f.add) inputs.push_back({f.shape});
    rows.push_back(of_ranks(3, f.name, {"batch_norm", "batch_norm_backward", "batch_norm_double_backward"}, inputs,
                            [f](const Tensors& in, Communicator& ranks) {
                              const auto shared = [&](std::size_t i) {
                                return f.affine ? affine(all_reduce(in[i], ranks), 1.0 / ranks.ranks()) : Tensor{};
                              };
                              return Tensors{batch_norm(in[0], shared(1), shared(2), f.add ? in[3] : Tensor{},
                                                        {.groups = f.groups, .ranks = &ranks, .relu = f.relu})
                                                 .y};
                            }));
    rows.back().kinks = f.relu;
    rows.back().slack = 4;
  }
}

}  // namespace

std::vector<OpCase> collective_cases() {
  std::vector<OpCase> rows;
  add_plain(rows);
  add_mixed(rows);
  add_norms(rows);
  return rows;
}

}  // namespace vergence::test
