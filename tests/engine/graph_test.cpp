// What `grad` promises: pruning, accumulation, seeds, keeping and freeing, long chains, memory.
#include "engine/graph.h"

#include <gtest/gtest.h>

#include "engine/ops/ops.h"
#include "tests/support/checked_backend.h"

namespace vergence::test {
namespace {

using Values = std::vector<double>;

Backend& cpu() { return cpu_backend(); }
Tensor values(const Values& list) { return from_values(cpu(), {static_cast<std::int64_t>(list.size())}, list); }
Tensor scalar(double value) { return full(cpu(), {}, value, DType::f64); }

/// The identity, which counts how often its derivative is asked for.
Tensor counted(const Tensor& x, int& runs) {
  Tensor y = clone(x);
  record("counted", {x}, {}, {&y}, [&runs](const VjpContext& c) {
    ++runs;
    return Tensors{c.g()};
  });
  return y;
}

/// Two outputs: 2x and 3x.
Tensors twins(const Tensor& x, std::vector<bool>* given = nullptr) {
  Tensor a = affine(x.detached(), 2), b = affine(x.detached(), 3);
  record("twins", {x}, {}, {&a, &b}, [given](const VjpContext& c) {
    if (given) *given = {bool(c.g(0)), bool(c.g(1))};
    Tensor g;
    if (c.g(0)) g = affine(c.g(0), 2);
    if (c.g(1)) g = g ? g + affine(c.g(1), 3) : affine(c.g(1), 3);
    return Tensors{g};
  });
  return {a, b};
}

std::string message_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(Grad, OfASumIsOnes) {
  const Tensor x = leaf(values({1, 2, 3}));
  EXPECT_EQ(grad({sum(x)}, {x})[0].values(), (Values{1, 1, 1}));
}

TEST(Grad, OfALeafItselfIsItsSeed) {
  const Tensor x = leaf(values({1, 2}));
  EXPECT_EQ(grad({x}, {x}, {.seeds = {values({5, 7})}})[0].values(), (Values{5, 7}));
}

/// Derivatives with respect to w (of a linear layer), b (its bias) and v (used twice), with places for all.
struct Placed {
  Tensors places, found, expected;
};

Placed placed(bool create) {
  const auto draw = [](const Shape& shape, double from) {
    Values list(static_cast<std::size_t>(shape.size()));
    for (double& value : list) value = from += 0.37;
    return from_values(cpu(), shape, list);
  };
  const Tensor x = draw({3, 2}, 0), w = leaf(draw({4, 2}, 1)), b = leaf(draw({4}, 2)), v = leaf(draw({4}, 3));
  const auto value = [&] {
    const Tensor y = linear(x, w, b);
    return sum(square(y * v) + y * v);
  };
  Placed result;
  for (const Tensor& tensor : {w, b, v}) result.places.push_back(full(cpu(), tensor.shape, -7, tensor.dtype));
  result.expected = grad({value()}, {w, b, v});
  result.found = grad({value()}, {w, b, v}, {.create = create, .places = result.places});
  return result;
}

TEST(Grad, LiesWhereItIsWantedIfOneOpBringsIt) {
  const Placed run = placed(false);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(run.found[i].values(), run.expected[i].values()) << i;
  EXPECT_EQ(run.found[0].data, run.places[0].data);
  EXPECT_EQ(run.found[1].data, run.places[1].data);
  EXPECT_NE(run.found[2].data, run.places[2].data) << "a sum of two";
  EXPECT_EQ(run.places[2].values(), Values(4, -7));
}

TEST(Grad, LiesInMemoryOfItsOwnWhereItIsDifferentiatedAgain) {
  const Placed run = placed(true);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(run.found[i].values(), run.expected[i].values()) << i;
    EXPECT_EQ(run.places[i].values(), Values(static_cast<std::size_t>(run.places[i].size()), -7)) << i;
  }
}

TEST(Grad, UnreachableArgumentsGetZeros) {
  const Tensor x = leaf(values({1, 2})), y = leaf(values({3, 4, 5}));
  const Tensors g = grad({sum(square(x))}, {y, x});
  EXPECT_EQ(g[0].values(), (Values{0, 0, 0}));
  EXPECT_EQ(g[0].shape, y.shape);
  EXPECT_EQ(g[1].values(), (Values{2, 4}));
}

TEST(Grad, AConstantOutputGivesZeros) {
  const Tensor x = leaf(values({1, 2}));
  EXPECT_EQ(grad({sum(values({3, 4}))}, {x})[0].values(), (Values{0, 0}));
}

TEST(Grad, RunsOnlyWhatLeadsToTheArguments) {
  const Tensor x = leaf(values({1, 2})), y = leaf(values({3, 4}));
  int on_path = 0, off_path = 0;
  const Tensor z = sum(mul(counted(x, on_path), counted(y, off_path)));
  EXPECT_EQ(grad({z}, {x})[0].values(), (Values{3, 4}));
  EXPECT_EQ(on_path, 1);
  EXPECT_EQ(off_path, 0);
}

TEST(Grad, StopsAtAnIntermediateValue) {
  const Tensor x = leaf(values({1, 2}));
  int runs = 0;
  const Tensor h = square(counted(x, runs));
  EXPECT_EQ(grad({sum(square(h))}, {h}, {.keep = true})[0].values(), (Values{2, 8}));
  EXPECT_EQ(runs, 0);
  const Tensors both = grad({sum(square(h))}, {h, x});
  EXPECT_EQ(both[0].values(), (Values{2, 8}));
  EXPECT_EQ(both[1].values(), (Values{4, 32}));
  EXPECT_EQ(runs, 1);
}

TEST(Grad, AccumulatesOverUses) {
  const Tensor x = leaf(values({2, 3}));
  const Tensor y = x + x + mul(x, x);
  EXPECT_EQ(grad({sum(y)}, {x})[0].values(), (Values{6, 8}));
  EXPECT_EQ(grad({sum(x), sum(square(x))}, {x})[0].values(), (Values{5, 7}));
}

TEST(Grad, AskedTwiceForTheSameArgument) {
  const Tensor x = leaf(values({2, 3}));
  const Tensors g = grad({sum(square(x))}, {x, x});
  EXPECT_EQ(g[0].values(), g[1].values());
}

TEST(Grad, SeesEachNodeOnceInADiamond) {
  Tensor x = leaf(scalar(1));
  int runs = 0;
  Tensor y = counted(x, runs);
  for (int i = 0; i < 30; ++i) y = y + y;
  EXPECT_EQ(grad({y}, {x})[0].item(), 1073741824.0);
  EXPECT_EQ(runs, 1);
}

TEST(Grad, SeveralOutputsOfOneOp) {
  const Tensor x = leaf(values({1, 1}));
  std::vector<bool> given;
  Tensors ab = twins(x, &given);
  EXPECT_EQ(grad({sum(ab[1])}, {x})[0].values(), (Values{3, 3}));
  EXPECT_EQ(given, (std::vector<bool>{false, true}));
  ab = twins(x, &given);
  EXPECT_EQ(grad({sum(ab[0]) + sum(ab[1])}, {x})[0].values(), (Values{5, 5}));
  EXPECT_EQ(given, (std::vector<bool>{true, true}));
  ab = twins(x);
  EXPECT_EQ(grad({dot(ab[0], ab[1])}, {ab[0]})[0].values(), (Values{3, 3}));
}

TEST(Grad, SeedsWeightTheOutputs) {
  const Tensor x = leaf(values({1, 2}));
  const Tensor y = square(x), z = affine(x, 3);
  EXPECT_EQ(grad({y, z}, {x}, {.seeds = {values({10, 1}), values({0, 1})}})[0].values(), (Values{20, 7}));
  EXPECT_EQ(grad({square(x), affine(x, 3)}, {x}, {.seeds = {Tensor{}, values({1, 1})}})[0].values(), (Values{3, 3}));
}

TEST(Grad, SeedsAreDifferentiable) {
  const Tensor x = leaf(values({2, 3})), seed = leaf(values({5, 7}));
  const Tensor g = grad({square(x)}, {x}, {.create = true, .seeds = {seed}})[0];
  EXPECT_EQ(g.values(), (Values{20, 42}));
  const Tensors second = grad({sum(g)}, {seed, x});
  EXPECT_EQ(second[0].values(), (Values{4, 6}));
  EXPECT_EQ(second[1].values(), (Values{10, 14}));
}

TEST(Grad, ErrorsSayWhatIsWrong) {
  const Tensor x = leaf(values({1, 2}));
  EXPECT_NE(message_of([&] { grad({square(x)}, {x}); }).find("[2]"), std::string::npos);
  EXPECT_NE(message_of([&] { grad({square(x)}, {x}, {.seeds = {values({1, 2, 3})}}); }).find("[3]"), std::string::npos);
  EXPECT_NE(message_of([&] { grad({sum(x)}, {values({1})}); }).find("constant"), std::string::npos);
  EXPECT_NE(message_of([&] { grad({sum(x), sum(x)}, {x}, {.seeds = {scalar(1)}}); }).find("seeds"), std::string::npos);
}

TEST(Grad, AGraphIsRefusedAfterAnErrorInIt) {
  const Tensor x = leaf(values({1, 2}));
  Tensor y = clone(x);
  record("failing", {x}, {x}, {&y}, [](const VjpContext&) -> Tensors { throw Error("no memory"); });
  const auto again = [&] { return message_of([&] { grad({y}, {x}, {.seeds = {values({1, 1})}}); }); };
  EXPECT_EQ(again(), "no memory");
  EXPECT_NE(again().find("'failing' was freed"), std::string::npos) << again();
}

TEST(Grad, AFreedGraphIsRefusedByName) {
  const Tensor x = leaf(values({1, 2}));
  const Tensor y = sum(exp(x));
  grad({y}, {x});
  const std::string message = message_of([&] { grad({y}, {x}); });
  EXPECT_NE(message.find("freed"), std::string::npos) << message;
  EXPECT_NE(message.find("keep"), std::string::npos) << message;
  EXPECT_NE(message.find("'sum'"), std::string::npos) << message;
}

TEST(Grad, KeepAllowsASecondWalk) {
  const Tensor x = leaf(values({1, 2}));
  const Tensor y = sum(square(x));
  EXPECT_EQ(grad({y}, {x}, {.keep = true})[0].values(), (Values{2, 4}));
  EXPECT_EQ(grad({y}, {x}, {.create = true})[0].values(), (Values{2, 4}));
  EXPECT_EQ(grad({y}, {x})[0].values(), (Values{2, 4}));
}

TEST(Grad, ResultsAreRecordedOnlyWithCreate) {
  const Tensor x = leaf(values({1, 2}));
  const Tensor y = sum(square(x));
  EXPECT_EQ(grad({y}, {x}, {.keep = true})[0].node, nullptr);
  const Tensor g = grad({y}, {x}, {.create = true})[0];
  ASSERT_NE(g.node, nullptr);
  EXPECT_EQ(grad({sum(square(g))}, {x})[0].values(), (Values{8, 16}));
}

/// A seed with a history must not leave one on a gradient that nobody asked to record.
TEST(Grad, WithoutCreateSeedsLoseTheirHistory) {
  const Tensor x = leaf(values({1, 2})), seed = leaf(values({1, 1}));
  EXPECT_EQ(grad({square(x)}, {x}, {.seeds = {seed}})[0].node, nullptr);
  EXPECT_EQ(grad({identity(x)}, {x}, {.seeds = {seed}})[0].node, nullptr);
}

TEST(Grad, OrdersUpToFour) {
  const Tensor x = leaf(scalar(0.5));
  Tensor y = mul(square(square(x)), x);  // x^5
  for (double expected : {5 * 0.0625, 20 * 0.125, 60 * 0.25, 120 * 0.5}) {
    y = grad({y}, {x}, {.create = true})[0];
    EXPECT_NEAR(y.item(), expected, 1e-13);
  }
}

/// A value computed from a gradient may be differentiated together with what the gradient was taken of.
TEST(Grad, ThroughAnInnerStep) {
  const Tensor w = leaf(scalar(3)), m = leaf(scalar(2));
  const Tensor inner = mul(m, square(w));
  const Tensor moved = w - affine(grad({inner}, {w}, {.create = true})[0], 0.1);  // w - 0.1 * 2 m w
  const Tensors g = grad({square(moved)}, {m, w});
  EXPECT_NEAR(g[0].item(), 2 * 1.8 * (-0.1 * 2 * 3), 1e-13);
  EXPECT_NEAR(g[1].item(), 2 * 1.8 * (1 - 0.1 * 2 * 2), 1e-13);
}

TEST(Ready, ComesOncePerArgumentAsSoonAsItsDerivativeIsFinal) {
  const Tensor a = leaf(values({1, 2})), b = leaf(values({3, 4})), c = leaf(values({5, 6})), alone = leaf(values({7}));
  int runs = 0;
  const Tensor h = mul(a, b), product = mul(counted(mul(counted(h, runs), b), runs), c), total = sum(product);
  const Tensors arguments{a, b, c, alone, h, total, c};
  std::vector<std::pair<std::size_t, int>> told;  // the argument, and how many of the two `counted` have run
  Tensors then(arguments.size());
  const auto ready = [&](std::size_t index, const Tensor& derivative) {
    told.emplace_back(index, runs);
    then[index] = clone(derivative);
  };
  const Tensors results = grad({total}, arguments, {.ready = ready});
  EXPECT_EQ(told, (std::vector<std::pair<std::size_t, int>>{{3, 0}, {5, 0}, {2, 0}, {6, 0}, {4, 2}, {0, 2}, {1, 2}}));
  const std::vector<Values> expected{{45, 96}, {30, 96}, {9, 32}, {0}, {15, 24}, {1}, {9, 32}};
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    EXPECT_EQ(results[i].values(), expected[i]) << i;
    EXPECT_EQ(then[i].values(), expected[i]) << i;
  }
  EXPECT_NE(message_of([&] { grad({total}, {a}, {.create = true, .ready = ready}); }).find("create"),
            std::string::npos);
}

/// The identity, whose derivative adds to what its input's cotangent has come to, where it may; `added` counts that.
Tensor adding(const Tensor& x, int& added) {
  Tensor y = clone(x);
  record("adding", {x}, {}, {&y}, [&added](const VjpContext& c) {
    if (!c.partial(0)) return Tensors{affine(c.g(), 1)};
    ++added;
    assign(c.partial(0), c.partial(0).detached() + c.g());
    return Tensors{c.partial(0)};
  });
  return y;
}

TEST(Partial, IsOfferedToWhatComesLater) {
  const Tensor x = leaf(values({1, 2}));
  int added = 0;
  const Tensor early = adding(x, added), late = affine(x, 3);  // what is recorded later comes first
  EXPECT_EQ(grad({sum(early + late)}, {x})[0].values(), (Values{4, 4}));
  EXPECT_EQ(added, 1);
  const Tensor first = adding(x, added), second = adding(x, added), third = adding(x, added);
  EXPECT_EQ(grad({sum(square(first + second + third))}, {x})[0].values(), (Values{18, 36}));
  EXPECT_EQ(added, 3);
}

TEST(Partial, IsNotWhatAnybodyElseHolds) {
  int added = 0;
  const Tensor x = leaf(values({1, 2})), seed = values({5, 7});
  const Tensor y = adding(x, added);
  EXPECT_EQ(grad({y, x}, {x}, {.seeds = {seed, seed}})[0].values(), (Values{10, 14}));
  EXPECT_EQ(seed.values(), (Values{5, 7}));
  EXPECT_EQ(added, 0);
  // The sum's cotangent goes to both of its terms.
  const Tensor a = leaf(values({1, 2})), b = leaf(values({3, 4}));
  const Tensor early = adding(a, added), both = a + b;
  const Tensors g = grad({sum(square(both) + early)}, {a, b});
  EXPECT_EQ(g[0].values(), (Values{9, 13}));
  EXPECT_EQ(g[1].values(), (Values{8, 12}));
  EXPECT_EQ(added, 0);
  // A part of a larger storage.
  const Tensor whole = values({1, 1, 1, 1});
  const Tensor before = leaf(values({1, 2}));
  const Tensor w = adding(before, added);
  Tensor v = clone(before);
  record("parts", {before}, {}, {&v}, [&whole](const VjpContext&) { return Tensors{part_of(whole, 2, {2})}; });
  EXPECT_EQ(grad({sum(w + v)}, {before})[0].values(), (Values{2, 2}));
  EXPECT_EQ(whole.values(), (Values{1, 1, 1, 1}));
  EXPECT_EQ(added, 0);
}

TEST(Partial, IsOfferedWithItsHistory) {
  const Tensor x = leaf(values({1, 2}));
  int added = 0;
  const Tensor early = adding(x, added), late = square(x);
  const Tensor g = grad({sum(early + late)}, {x}, {.create = true})[0];
  EXPECT_EQ(g.values(), (Values{3, 5}));
  EXPECT_EQ(added, 1);
  EXPECT_EQ(grad({sum(g)}, {x})[0].values(), (Values{2, 2}));
}

/// What a node of the recorded pass keeps is not written to.
TEST(Partial, IsNotWhatTheHistoryKeeps) {
  const Tensor x = leaf(values({1, 2}));
  int added = 0;
  const Tensor early = adding(x, added), seed = leaf(values({0, 0}));
  Tensor late = clone(x);
  record("late", {x}, {}, {&late}, [](const VjpContext& c) { return Tensors{exp(c.g())}; });  // exp keeps its result
  const Tensor g = grad({early + late}, {x}, {.create = true, .seeds = {seed}})[0];
  EXPECT_EQ(g.values(), (Values{1, 1}));
  EXPECT_EQ(added, 0);
  EXPECT_EQ(grad({sum(g)}, {seed})[0].values(), (Values{2, 2}));
}

/// Nor is it offered to two inputs that are one tensor.
TEST(Partial, IsOfferedOnceToInputsThatAreTheSame) {
  const Tensor x = leaf(values({1, 2}));
  Tensor y = affine(x, 2);
  int offers = 0;
  record("twice", {x, x}, {}, {&y}, [&offers](const VjpContext& c) {
    offers += bool(c.partial(0)) + bool(c.partial(1));
    return Tensors{c.g(), c.g()};
  });
  EXPECT_EQ(grad({sum(y + square(x))}, {x})[0].values(), (Values{4, 6}));
  EXPECT_EQ(offers, 1);
}

TEST(Record, DetachedValuesDoNotRecord) {
  const Tensor x = leaf(values({1, 2}));
  EXPECT_EQ(square(x.detached()).node, nullptr);
  EXPECT_EQ(add(values({1, 2}), values({3, 4})).node, nullptr);
  EXPECT_EQ(grad({sum(mul(x, x.detached()))}, {x})[0].values(), (Values{1, 2}));
}

TEST(Record, ALeafHasNoPast) {
  const Tensor x = leaf(values({1, 2}));
  const Tensor y = leaf(square(x));
  EXPECT_EQ(grad({sum(square(y))}, {x})[0].values(), (Values{0, 0}));
}

TEST(LongChain, OfAHundredThousandOps) {
  const Tensor x = leaf(scalar(1));
  Tensor y = x;
  for (int i = 0; i < 100000; ++i) y = affine(y, 1, 1);
  EXPECT_EQ(y.item(), 100001);
  EXPECT_EQ(grad({y}, {x})[0].item(), 1);
}

TEST(LongChain, IsDestroyedWithoutRecursion) {
  const Tensor x = leaf(scalar(1));
  Tensor y = x, kept = x;
  for (int i = 0; i < 100000; ++i) y = affine(y, 1, 1);
  // Each node keeps its predecessor's output: chains through `kept` as well as through edges.
  for (int i = 0; i < 100000; ++i) kept = mul(kept, x);
  y = kept = Tensor{};
  SUCCEED();
}

TEST(LongChain, OfRecordedGradients) {
  const Tensor x = leaf(scalar(1));
  Tensor y = x;
  for (int i = 0; i < 20000; ++i) y = mul(y, x);
  const Tensor g = grad({y}, {x}, {.create = true})[0];
  EXPECT_EQ(g.item(), 20001);
  EXPECT_EQ(grad({g}, {x})[0].item(), 20001.0 * 20000);
}

Tensor network(const Tensor& x, const Tensor& w, const Tensor& gamma) {
  const Tensor h = conv2d(x, w, {1, 1, 1, 1});
  const Tensor y = batch_norm(h, gamma, zeros_like(gamma), {}, {.relu = true}).y;
  return sum(log_softmax(l2_normalize(global_average_pool(max_pool(y, {})))));
}

/// No blocks outlive a step, at any order, whatever is freed first: there are no cycles of references.
TEST(Memory, ReturnsToWhereItWas) {
  CheckedBackend device(cpu());
  for (int order : {0, 1, 2}) {
    for (bool keep : {false, true}) {
      const Tensor x = full(device, {2, 6, 6, 3}, 0.5, DType::f64);
      Tensor w = leaf(full(device, {4, 3, 3, 3}, 0.1, DType::f64)), gamma = leaf(full(device, {4}, 1, DType::f64));
      const std::size_t before = device.live_blocks();
      {
        const Tensor loss = network(x, w, gamma);
        if (order > 0) {
          const Tensors g = grad({loss}, {w, gamma}, {.create = order > 1, .keep = keep, .seeds = {}});
          if (order > 1) grad({dot(g[0], g[0])}, {w, gamma}, {.create = false, .keep = keep, .seeds = {}});
        }
      }
      EXPECT_EQ(device.live_blocks(), before) << "order " << order << ", keep " << keep;
    }
  }
  EXPECT_EQ(device.live_blocks(), 0u);
  EXPECT_TRUE(device.problems().empty());
}

TEST(Memory, OfABackendReturnsToItsBaseline) {
  const std::int64_t before = cpu().memory().used;
  {
    const Tensor x = full(cpu(), {2, 6, 6, 3}, 0.5, DType::f64);
    const Tensor w = leaf(full(cpu(), {4, 3, 3, 3}, 0.1, DType::f64)), gamma = leaf(full(cpu(), {4}, 1, DType::f64));
    grad({network(x, w, gamma)}, {w, gamma});
    EXPECT_GT(cpu().memory().used, before);
  }
  EXPECT_EQ(cpu().memory().used, before);
}

/// Without keep, what a node kept is given back as soon as its derivative has run, although the loss is still held.
TEST(Memory, IsGivenBackAsTheGraphIsConsumed) {
  CheckedBackend device(cpu());
  const Tensor x = leaf(full(device, {1000}, 0.5, DType::f64));
  const std::size_t before = device.live_blocks();
  Tensor y = x;
  for (int i = 0; i < 50; ++i) y = exp(affine(y, 0.1));
  const Tensor loss = sum(y);
  y = Tensor{};
  EXPECT_GE(device.live_blocks(), before + 50);
  const Tensors g = grad({loss}, {x});
  EXPECT_LE(device.live_blocks(), before + 2) << "only the loss and its gradient should be left";
}

/// The cotangents of a walk are let go on the way too: its peak does not grow with the length of the chain.
TEST(Memory, OfAWalkDoesNotGrowWithItsLength) {
  auto peak = [](int length) {
    const Tensor x = leaf(full(cpu(), {100000}, 0.5, DType::f64));
    Tensor y = x;
    for (int i = 0; i < length; ++i) y = affine(y, 0.5);  // keeps nothing
    y = sum(y);
    cpu().reset_peak();
    const std::int64_t before = cpu().memory().used;
    grad({y}, {x});
    return cpu().memory().peak - before;
  };
  EXPECT_LE(peak(40), peak(4) + 2 * 800000);
}

}  // namespace
}  // namespace vergence::test
