// What `grad` promises to ops that leave an epilogue, and to those that may apply it.
#include <gtest/gtest.h>

#include "engine/graph.h"
#include "engine/ops/ops.h"

namespace vergence::test {
namespace {

using Values = std::vector<double>;

Tensor values(const Values& list) { return from_values(cpu_backend(), {static_cast<std::int64_t>(list.size())}, list); }

struct Scaling final : Epilogue {
  double factor = 1;
};
struct Other final : Epilogue {};

/// What the vjp of each `scaled` has found in `gathered`.
using Seen = std::vector<Values>;

/// 2x, which leaves it to others to double its cotangent.
Tensor scaled(const Tensor& x, Seen& seen) {
  auto epilogue = std::make_shared<Scaling>();
  epilogue->factor = 2;
  Tensor y = affine(x.detached(), 2);
  record(
      "scaled", {x}, {}, {&y},
      [&seen](const VjpContext& c) {
        seen.push_back(c.gathered ? c.gathered.values() : Values{});
        return Tensors{c.gathered ? c.g() : affine(c.g(), 2)};
      },
      epilogue);
  return y;
}

/// 3x, whose vjp applies such an epilogue and gathers the sum of what it returns.
Tensor tripled(const Tensor& x) {
  Tensor y = affine(x.detached(), 3);
  record("tripled", {x}, {}, {&y}, [](const VjpContext& c) {
    EXPECT_EQ(c.epilogue<Other>(0), nullptr);
    Tensor g = affine(c.g(), 3);
    const auto* epilogue = c.epilogue<Scaling>(0);
    if (!epilogue) return Tensors{g};
    const Tensor before = c.partial(0);
    g = affine(before ? before + g : g, epilogue->factor);
    c.applied(0, sum(g));
    if (!before) return Tensors{g};
    assign(before, g);
    return Tensors{before};
  });
  return y;
}

TEST(Epilogue, IsAppliedByWhoMakesTheCotangentAlone) {
  Seen seen;
  const Tensor x = leaf(values({1, 2}));
  EXPECT_EQ(grad({tripled(scaled(x, seen))}, {x}, {.seeds = {values({5, 7})}})[0].values(), (Values{30, 42}));
  EXPECT_EQ(seen, (Seen{{72}}));
}

TEST(Epilogue, LeavesWhatWasGatheredToOneOpAlone) {
  Seen seen;
  const Tensor x = leaf(values({1, 2}));
  EXPECT_EQ(grad({tripled(scaled(scaled(x, seen), seen))}, {x}, {.seeds = {values({5, 7})}})[0].values(),
            (Values{60, 84}));
  EXPECT_EQ(seen, (Seen{{72}, {}}));
}

TEST(Epilogue, IsAppliedToASumByWhoAddsTheLastPart) {
  Seen seen;
  const Tensor x = leaf(values({1, 2})), y = scaled(x, seen);
  const Tensors first{tripled(y), tripled(y), tripled(y)};
  EXPECT_EQ(grad({first[0] + first[1] + first[2]}, {x}, {.seeds = {values({5, 7})}})[0].values(), (Values{90, 126}));
  EXPECT_EQ(seen, (Seen{{216}}));
}

TEST(Epilogue, IsNotForThoseAfterWhomMoreComes) {
  Seen seen;
  const Tensor x = leaf(values({1, 2})), seed = values({5, 7}), y = scaled(x, seen);
  const Tensor last = square(y), first = tripled(y);  // of the backward pass
  EXPECT_EQ(grad({first, last}, {x}, {.seeds = {seed, seed}})[0].values(), (Values{70, 154}));
  EXPECT_EQ(seen, (Seen{{}}));
}

TEST(Epilogue, IsNotForThoseWhoCannotAddToWhatCameBefore) {
  Seen seen;
  const Tensor x = leaf(values({1, 2})), seed = values({5, 7}), y = scaled(x, seen);
  EXPECT_EQ(grad({tripled(y), y}, {x}, {.seeds = {seed, seed}})[0].values(), (Values{40, 56}));
  EXPECT_EQ(seen, (Seen{{}}));
  EXPECT_EQ(seed.values(), (Values{5, 7}));
}

TEST(Epilogue, IsNotAppliedToWhatIsAskedFor) {
  Seen seen;
  const Tensor x = leaf(values({1, 2})), y = scaled(x, seen);
  const Tensors found = grad({tripled(y)}, {y, x}, {.seeds = {values({5, 7})}});
  EXPECT_EQ(found[0].values(), (Values{15, 21}));
  EXPECT_EQ(found[1].values(), (Values{30, 42}));
  EXPECT_EQ(seen, (Seen{{}}));
}

TEST(Epilogue, IsNotAppliedWhereHistoryIsKept) {
  Seen seen;
  const Tensor x = leaf(values({1, 2})), seed = leaf(values({5, 7}));
  const Tensor g = grad({tripled(scaled(x, seen))}, {x}, {.create = true, .seeds = {seed}})[0];
  EXPECT_EQ(grad({sum(g)}, {seed})[0].values(), (Values{6, 6}));
  EXPECT_EQ(seen, (Seen{{}}));
}

TEST(Epilogue, StaysAsLongAsTheGraph) {
  Seen seen;
  const Tensor x = leaf(values({1, 2})), y = scaled(x, seen), z = tripled(y), seed = values({5, 7});
  const std::weak_ptr<const Epilogue> epilogue = y.node->epilogue;
  EXPECT_EQ(grad({z}, {x}, {.keep = true, .seeds = {seed}})[0].values(), (Values{30, 42}));
  EXPECT_FALSE(epilogue.expired());
  EXPECT_EQ(grad({z}, {x}, {.seeds = {seed}})[0].values(), (Values{30, 42}));
  EXPECT_TRUE(epilogue.expired()) << "its memory goes with what the node keeps";
  EXPECT_EQ(seen, (Seen{{72}, {72}}));
}

TEST(Epilogue, IsForOpsOfOneOutput) {
  const Tensor x = leaf(values({1, 2}));
  Tensor a = clone(x), b = clone(x);
  const auto vjp = [](const VjpContext& c) { return Tensors{c.g()}; };
  EXPECT_THROW(record("two", {x}, {}, {&a, &b}, vjp, std::make_shared<Other>()), Error);
}

}  // namespace
}  // namespace vergence::test
