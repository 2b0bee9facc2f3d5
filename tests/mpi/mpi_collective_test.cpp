// Collectives as ops among processes, against one process that computes the same for all ranks without any: values, and
// derivatives of order one and two. Bits are the same on every rank and repeat.
#include <gtest/gtest.h>

#include "engine/graph.h"
#include "engine/ops/collective.h"
#include "engine/ops/ops.h"
#include "tests/mpi/world.h"
#include "tests/op_table/runner.h"

namespace vergence::test {
namespace {

constexpr std::int64_t rows = 6, width = 5, features = 40;

Tensor drawn(const std::string& name, int rank, const Shape& shape, DType dtype) {
  return from_values(cpu_backend(), shape, normal_values(name, static_cast<std::uint64_t>(rank), shape.size()), dtype);
}

/// One rank's variables: its images, and its copy of the weights, which all ranks share.
struct Variables {
  Tensor x, w;
  Variables(int rank, DType dtype)
      : x(leaf(drawn("x", rank, {rows, width}, dtype))), w(leaf(drawn("w", 0, {width, features}, dtype))) {}
  Tensors list() const { return {x, w}; }
};

Tensors directions(int rank, DType dtype) {
  return {drawn("direction of x", rank, {rows, width}, dtype), drawn("direction of w", rank, {width, features}, dtype)};
}

Tensor embedded(const Variables& v) { return tanh(matmul(v.x, v.w)); }
Tensor moments(const Tensor& z) { return sum_over_rows(square(z)); }

/// A rank's share of the loss: its rows against all rows, and the distance of all rows' mean square from one.
Tensor loss_share(const Tensor& z, const Tensor& all, const Tensor& all_moments, int ranks) {
  const double share = 1.0 / static_cast<double>(ranks * rows);
  const Tensor scores = log_softmax(matmul(z, all, false, true));
  return -share * sum(square(scores)) + (1.0 / ranks) * sum(square(share * all_moments - 1));
}

struct Orders {
  std::vector<Values> values;  // the loss; its derivatives of order one; of order two
};

/// The loss of `shares`, and its first derivatives and their derivative along the directions, for `wrt`.
Orders orders_of(const Tensor& loss, const Tensors& wrt, const Tensors& along) {
  Orders orders;
  orders.values.push_back(loss.values());
  const Tensors first = grad({loss}, wrt, {.create = true, .keep = true, .seeds = {}});
  for (const Tensor& g : first) orders.values.push_back(g.values());
  for (const Tensor& h : grad(first, wrt, {.create = false, .keep = false, .seeds = along}))
    orders.values.push_back(h.values());
  return orders;
}

Orders with_collectives(DType dtype) {
  Communicator& ranks = world();
  const Variables v(ranks.rank(), dtype);
  const Tensor z = embedded(v);
  const Tensor loss = loss_share(z, all_gather(z, ranks), all_reduce(moments(z), ranks), ranks.ranks());
  return orders_of(loss, v.list(), directions(ranks.rank(), dtype));
}

/// The same for all ranks in one graph. Returns this rank's part.
Orders in_one_process(DType dtype) {
  const int ranks = world().ranks();
  Tensors wrt, along, parts;
  for (int r = 0; r < ranks; ++r) {
    const Variables v(r, dtype);
    for (const Tensor& variable : v.list()) wrt.push_back(variable);
    for (const Tensor& direction : directions(r, dtype)) along.push_back(direction);
    parts.push_back(embedded(v));
  }
  const Tensor all = concat(parts, 0), all_moments = moments(all);
  Tensor loss, own;
  for (int r = 0; r < ranks; ++r) {
    const Tensor share = loss_share(parts[static_cast<std::size_t>(r)], all, all_moments, ranks);
    loss = loss ? loss + share : share;
    if (r == world().rank()) own = share;
  }
  const Orders everything = orders_of(loss, wrt, along);
  const std::size_t count = wrt.size(), first = 1 + 2 * static_cast<std::size_t>(world().rank());
  return {{own.values(), everything.values[first], everything.values[first + 1], everything.values[first + count],
           everything.values[first + count + 1]}};
}

class MpiCollective : public testing::TestWithParam<DType> {};

TEST_P(MpiCollective, EqualsOneProcessUpToOrderTwo) {
  const DType dtype = GetParam();
  const double limit = dtype == DType::f64 ? 1e-12 : 1e-5;
  const Orders found = with_collectives(dtype), expected = in_one_process(dtype), again = with_collectives(dtype);
  ASSERT_EQ(found.values.size(), expected.values.size());
  for (std::size_t i = 0; i < found.values.size(); ++i) {
    EXPECT_LE(relative_error(found.values[i], expected.values[i]), limit) << i;
    EXPECT_GT(relative_error(found.values[i], Values(found.values[i].size())), 0.01) << i << " is nothing";
    EXPECT_EQ(found.values[i], again.values[i]) << i << ": another time, other bits";
  }
}

TEST_P(MpiCollective, EveryRankHasTheSameBits) {
  Communicator& ranks = world();
  for (const Shape& shape : {Shape{7}, Shape{70, 61}}) {
    const Tensor x = drawn("bits", ranks.rank(), shape, GetParam());
    for (const Tensor& same : {all_reduce(x, ranks), all_gather(x, ranks)}) {
      const Tensor flat = reshape(same, {1, same.size()}), all = all_gather(flat, ranks);
      for (int r = 0; r < ranks.ranks(); ++r) EXPECT_EQ(slice(all, 0, r, 1).values(), same.values()) << "rank " << r;
    }
  }
}

/// The sum over the ranks of their gradients of shared weights is the gradient of one rank that has all rows.
TEST_P(MpiCollective, RanksTogetherAreOneRankWithAllRows) {
  const DType dtype = GetParam();
  Communicator& ranks = world();
  const Variables own(ranks.rank(), dtype);
  const Tensor z = embedded(own);
  const Tensor loss = loss_share(z, all_gather(z, ranks), all_reduce(moments(z), ranks), ranks.ranks());
  const Tensor found = all_reduce(grad({loss}, {own.w})[0], ranks);
  Tensors images;
  for (int r = 0; r < ranks.ranks(); ++r) images.push_back(Variables(r, dtype).x.detached());
  const Tensor w = leaf(own.w), all = tanh(matmul(concat(images, 0), w));
  const double share = 1.0 / static_cast<double>(ranks.ranks() * rows);
  const Tensor whole =
      -share * sum(square(log_softmax(matmul(all, all, false, true)))) + sum(square(share * moments(all) - 1));
  const double limit = dtype == DType::f64 ? 1e-12 : 1e-5;
  EXPECT_LE(relative_error(found.values(), grad({whole}, {w})[0].values()), limit);
}

INSTANTIATE_TEST_SUITE_P(In, MpiCollective, testing::Values(DType::f64, DType::f32),
                         [](const testing::TestParamInfo<DType>& info) { return std::string(name_of(info.param)); });

}  // namespace
}  // namespace vergence::test
