// Two convolutions with batch norms, in bf16, over the ranks of a communicator: what one rank computes of the whole
// batch. The statistics come from the convolutions' tiles, and the first norm's sums from the second's data gradient.
#include <gtest/gtest.h>

#include "engine/graph.h"
#include "engine/ops/ops.h"
#include "kernels/communicators/threads.h"
#include "tests/device/device_under_test.h"
#include "tests/op_table/runner.h"
#include "tests/support/fusion_counts.h"
#include "tests/support/with_choices.h"

namespace vergence::test {
namespace {

/// Convolutions 3x3 of `in`, `middle` and `out` channels; on two ranks, each has half of each group's images.
struct Block {
  const char* name;
  std::int64_t groups, images /* per group */, side, in, middle, out;
  bool add;
};

void PrintTo(const Block& block, std::ostream* out) { *out << block.name; }

/// All ranks' images as one batch: [groups][ranks][images of a rank]. Each image has its own mean, so that ranks
/// differ.
class Batch {
 public:
  Batch(const Block& block, std::int64_t channels, const char* name)
      : groups_(static_cast<std::size_t>(block.groups)),
        shape_{block.groups * block.images, block.side, block.side, channels},
        values_(normal_values(name, 0, shape_.size())) {
    const Values means = normal_values("mean", 1, shape_[0]);
    const std::size_t image = values_.size() / means.size();
    for (std::size_t i = 0; i < values_.size(); ++i) values_[i] = 0.25 * values_[i] + 0.5 * means[i / image] + 2.0;
  }

  Tensor of_rank(Backend& device, const Communicator& ranks) const {
    Values own;
    for (std::size_t group = 0; group < groups_; ++group) {
      const auto begin = values_.begin() + first(group, ranks);
      own.insert(own.end(), begin, begin + size(ranks));
    }
    const Shape shape{shape_[0] / ranks.ranks(), shape_[1], shape_[2], shape_[3]};
    return leaf(from_values(device, shape, own, DType::bf16));
  }
  /// Puts a rank's values, as of_rank has them, where they belong in the whole batch.
  void place(const Tensor& of_rank, const Communicator& ranks, Values& whole) const {
    whole.resize(values_.size());
    const Values own = of_rank.values();
    for (std::size_t group = 0; group < groups_; ++group)
      std::copy_n(own.begin() + static_cast<std::ptrdiff_t>(group) * size(ranks), size(ranks),
                  whole.begin() + first(group, ranks));
  }

 private:
  std::ptrdiff_t size(const Communicator& ranks) const {
    return static_cast<std::ptrdiff_t>(values_.size() / groups_) / ranks.ranks();
  }
  std::ptrdiff_t first(std::size_t group, const Communicator& ranks) const {
    return (static_cast<std::ptrdiff_t>(group) * ranks.ranks() + ranks.rank()) * size(ranks);
  }

  std::size_t groups_;
  Shape shape_;
  Values values_;
};

/// What all ranks have computed, as of the whole batch.
struct Outcome {
  Values y, gx, g_add;
  std::vector<Values> parameters;               // gradients, added over the ranks
  std::vector<std::vector<Values>> statistics;  // of each rank: mean, rstd, running mean and variance of each norm
  int norms = 0, sums = 0;
  std::vector<std::string> problems;
};

/// One rank's convolution with its norm.
struct Layer {
  Tensor w, gamma, beta, running_mean, running_variance;

  Layer(Backend& device, const char* name, std::int64_t in, std::int64_t out) {
    const Shape weights{out, 3, 3, in}, channels{out};
    w = leaf(from_values(device, weights, normal_values(name, 0, weights.size()), DType::f32));
    gamma = leaf(from_values(device, channels, normal_values(name, 1, out), DType::f32));
    beta = leaf(from_values(device, channels, normal_values(name, 2, out), DType::f32));
    running_mean = full(device, channels, 0, DType::f32), running_variance = full(device, channels, 1, DType::f32);
  }
  Tensor forward(const Tensor& x, const Tensor& add, std::int64_t groups, Communicator& ranks,
                 std::vector<Values>& statistics) const {
    const BatchNormResult result = conv2d_batch_norm(x, w, {.padding = 1}, gamma, beta, add,
                                                     {.groups = groups,
                                                      .ranks = &ranks,
                                                      .relu = true,
                                                      .running_mean = running_mean,
                                                      .running_variance = running_variance,
                                                      .running_share = 0.1});
    for (const Tensor& tensor : {result.mean, result.rstd, running_mean, running_variance})
      statistics.push_back(tensor.values());
    return result.y;
  }
};

void add_to(Values& sum, const Values& values) {
  sum.resize(values.size());
  for (std::size_t i = 0; i < values.size(); ++i) sum[i] += values[i];
}

Outcome run(const Block& block, int rank_count) {
  FusionCounts device(device_under_test());
  const Batch x(block, block.in, "x"), add(block, block.out, "add"), seed(block, block.out, "seed");
  Outcome outcome;
  outcome.parameters.resize(6), outcome.statistics.resize(static_cast<std::size_t>(rank_count));
  run_ranks(rank_count, [&](Communicator& ranks) {
    const Layer first(device, "first", block.in, block.middle), second(device, "second", block.middle, block.out);
    const Tensor own_x = x.of_rank(device, ranks), own_add = block.add ? add.of_rank(device, ranks) : Tensor{};
    std::vector<Values>& statistics = outcome.statistics[static_cast<std::size_t>(ranks.rank())];
    const Tensor between = first.forward(own_x, {}, block.groups, ranks, statistics);
    const Tensor y = second.forward(between, own_add, block.groups, ranks, statistics);
    Tensors wanted{first.w, first.gamma, first.beta, second.w, second.gamma, second.beta, own_x};
    if (own_add) wanted.push_back(own_add);
    const Tensor own_seed = seed.of_rank(device, ranks).detached();
    const Tensors gradients = grad({y}, wanted, {.create = false, .keep = false, .seeds = {own_seed}});
    seed.place(y, ranks, outcome.y);
    x.place(gradients[6], ranks, outcome.gx);
    if (own_add) add.place(gradients[7], ranks, outcome.g_add);
    for (std::size_t i = 0; i < 6; ++i) add_to(outcome.parameters[i], gradients[i].values());
  });
  outcome.norms = device.norms, outcome.sums = device.sums, outcome.problems = device.problems();
  return outcome;
}

class NormRanks : public testing::TestWithParam<Block> {
  const WithChoices own_kernels_{device_under_test(), {.cuda_conv = CudaConv::cuda}};
};

TEST_P(NormRanks, TwoComputeWhatOneDoesOfTheWholeBatch) {
  const Outcome one = run(GetParam(), 1), two = run(GetParam(), 2);
  for (const auto& [outcome, ranks] : {std::pair{&one, 1}, std::pair{&two, 2}}) {
    EXPECT_EQ(outcome->norms, 2 * ranks);
    EXPECT_EQ(outcome->sums, ranks);
    EXPECT_TRUE(outcome->problems.empty());
  }
  EXPECT_EQ(two.statistics[0], two.statistics[1]) << "all ranks have the same bits";
  for (std::size_t i = 0; i < one.statistics[0].size(); ++i)
    EXPECT_LE(relative_error(two.statistics[0][i], one.statistics[0][i]), i < 4 ? 1e-6 : 1e-4) << "statistics " << i;
  // Sums in another order, then rounded to bf16.
  EXPECT_LE(relative_error(two.y, one.y), 1e-3);
  EXPECT_LE(relative_error(two.gx, one.gx), 5e-3);
  EXPECT_EQ(two.g_add.empty(), !GetParam().add);
  EXPECT_LE(relative_error(two.g_add, one.g_add), 5e-3);
  for (std::size_t i = 0; i < one.parameters.size(); ++i)
    EXPECT_LE(relative_error(two.parameters[i], one.parameters[i]), 5e-3) << "gradient of parameter " << i;
}

INSTANTIATE_TEST_SUITE_P(Blocks, NormRanks,
                         testing::Values(Block{"two groups, added", 2, 4, 8, 8, 16, 24, true},
                                         Block{"one group, a part of a tile on each rank", 1, 6, 9, 8, 24, 16, false}),
                         [](const auto& info) { return "Case" + std::to_string(info.index); });

/// One of two ranks that have the same values, as work of the device alone: the other's are this one's.
class Twin final : public Communicator {
 public:
  int gathers = 0, sums = 0;
  int rank() const override { return 0; }
  int ranks() const override { return 2; }

 private:
  void do_all_gather(Backend& backend, ConstArray x, Array out) override {
    for (std::int64_t rank = 0; rank < 2; ++rank)
      backend.copy_block(1, x.size, x, x.size, 0, out, 2 * x.size, rank * x.size);
    ++gathers;
  }
  void do_all_reduce(Backend& backend, ConstArray x, Array out) override {
    backend.map(Map::affine, 1, x.size, {x}, {}, 2, 0, out);
    ++sums;
  }
  void do_broadcast(Backend&, Array, int) override {}
};

/// Twins have one rank's means over rows, so that all but the running variance must be as without ranks.
TEST(NormRanksElsewhere, ArePartOfARecording) {
  Backend& device = device_under_test();
  const Shape images{4, 3, 3, 8}, channels{8};
  const auto values = [&](const char* name, const Shape& shape) {
    return from_values(device, shape, normal_values(name, 0, shape.size()), DType::f32);
  };
  const Tensor x = leaf(values("x", images)), next = values("next", images), gamma = leaf(values("gamma", channels));
  const Tensor beta = values("beta", channels), seed = values("seed", images), a = values("a", images),
               b = values("b", channels);
  const auto run_all = [&](Communicator* ranks) {
    const BatchNormResult result = batch_norm(x, gamma, beta, {}, {.groups = 2, .ranks = ranks, .relu = true});
    const Tensors first = grad({result.y}, {x, gamma}, {.create = true, .keep = true, .seeds = {seed}});
    const Tensors second = grad(first, {x, gamma}, {.create = false, .keep = false, .seeds = {a, b}});
    return Tensors{result.y, result.mean, result.rstd, first[0], first[1], second[0], second[1]};
  };
  Twin twin;
  run_all(&twin);
  EXPECT_EQ(twin.gathers, 1) << "the forward's moments";
  EXPECT_EQ(twin.sums, 2) << "the sums of the backward and of the double backward";
  device.begin_recording();
  const Tensors recorded = run_all(&twin);
  const std::unique_ptr<Recording> recording = device.end_recording();
  assign(x, next);
  recording->replay();
  const Tensors expected = run_all(nullptr);
  for (std::size_t i = 0; i < expected.size(); ++i)
    EXPECT_LE(relative_error(recorded[i].values(), expected[i].values()), 1e-6) << "result " << i;
}

}  // namespace
}  // namespace vergence::test
