// Parameter sets, optimizers and schedules: trajectories against references written down here in double, and values.
#include "engine/optimizer.h"

#include <cmath>
#include <functional>
#include <gtest/gtest.h>
#include <limits>
#include <numbers>

#include "engine/gradient_buckets.h"
#include "engine/graph.h"
#include "engine/ops/ops.h"
#include "engine/schedule.h"
#include "kernels/communicators/threads.h"
#include "kernels/random.h"

namespace vergence {
namespace {

using Values = std::vector<double>;

Values random_values(std::size_t count, std::uint64_t stream) {
  Random random(7, Purpose::test, 0, stream);
  Values values(count);
  for (double& value : values) value = random.uniform(-1, 1);
  return values;
}

double length(const Values& values) {
  double sum = 0;
  for (double value : values) sum += value * value;
  return std::sqrt(sum);
}

/// A weight [5, 7] and a bias [5] as one set, and the reference's copy of both.
struct Problem {
  std::vector<Values> reference{random_values(35, 1), random_values(5, 2)};
  Tensor weight, bias;
  ParameterSet set;

  explicit Problem(DType dtype = DType::f64)
      : weight(from_values(cpu_backend(), {5, 7}, reference[0], dtype)),
        bias(from_values(cpu_backend(), {5}, reference[1], dtype)),
        set({{"layer.weight", &weight}, {"layer.bias", &bias}}) {
    reference = {weight.values(), bias.values()};
  }

  /// The gradients of step `step`: any numbers will do, also a zero one for the bias in step 3.
  std::vector<Values> gradients(int step) const {
    const auto stream = static_cast<std::uint64_t>(100 + 2 * step);
    return {random_values(35, stream), step == 3 ? Values(5, 0.0) : random_values(5, stream + 1)};
  }

  void gather(const std::vector<Values>& gradients) {
    set.gather_gradients({from_values(cpu_backend(), {5, 7}, gradients[0], weight.dtype),
                          from_values(cpu_backend(), {5}, gradients[1], weight.dtype)});
  }
};

/// One step of a reference: parameters p, gradient g and two state vectors of tensor number `which`.
using Reference = std::function<void(int step, double lr, std::size_t which, Values& p, const Values& g, Values& first,
                                     Values& second)>;

void expect_trajectory(const OptimizerSettings& settings, const Reference& reference, DType dtype = DType::f64,
                       double tolerance = 1e-13) {
  Problem problem(dtype);
  Optimizer optimizer(problem.set, settings);
  std::vector<Values> first{Values(35), Values(5)}, second = first;
  for (int step = 0; step < 20; ++step) {
    const double lr = 0.3 / (1 + step);
    const auto gradients = problem.gradients(step);
    problem.gather(gradients);
    optimizer.step(lr);
    for (std::size_t i = 0; i < 2; ++i) reference(step, lr, i, problem.reference[i], gradients[i], first[i], second[i]);
    const std::vector<Values> got{problem.weight.values(), problem.bias.values()};
    for (std::size_t i = 0; i < 2; ++i)
      for (std::size_t k = 0; k < got[i].size(); ++k)
        ASSERT_NEAR(got[i][k], problem.reference[i][k], tolerance) << "step " << step << " tensor " << i << " at " << k;
  }
  EXPECT_EQ(optimizer.steps(), 20);
}

Reference sgd_reference(double momentum, double decay, bool nesterov, bool decay_bias) {
  return [=](int step, double lr, std::size_t which, Values& p, const Values& g, Values& v, Values&) {
    const double wd = which == 0 || decay_bias ? decay : 0;
    for (std::size_t k = 0; k < p.size(); ++k) {
      const double d = g[k] + wd * p[k];
      v[k] = step == 0 ? d : momentum * v[k] + d;
      p[k] -= lr * (nesterov ? d + momentum * v[k] : v[k]);
    }
  };
}

TEST(Sgd, Plain) { expect_trajectory({.momentum = 0}, sgd_reference(0, 0, false, true)); }

TEST(Sgd, MomentumAndDecayOnEverything) {
  expect_trajectory({.weight_decay = 0.05}, sgd_reference(0.9, 0.05, false, true));
}

TEST(Sgd, Nesterov) {
  expect_trajectory({.momentum = 0.8, .weight_decay = 0.05, .nesterov = true}, sgd_reference(0.8, 0.05, true, true));
}

TEST(Sgd, VectorsCanGoWithoutDecay) {
  expect_trajectory({.weight_decay = 0.05, .exclude_vectors = true}, sgd_reference(0.9, 0.05, false, false));
}

TEST(Sgd, SinglePrecision) {
  expect_trajectory({.weight_decay = 0.05}, sgd_reference(0.9, 0.05, false, true), DType::f32, 3e-6);
}

/// solo-learn's form: an excluded or zero tensor skips decay and adaptation; the buffer holds scaled gradients.
Reference lars_reference(double decay, bool clip, bool joint, bool exclude_bias) {
  return [=](int step, double lr, std::size_t which, Values& p, const Values& g, Values& v, Values&) {
    const double eta = 0.02, epsilon = 1e-8, p_norm = length(p), g_norm = length(g);
    double ratio = 1, wd = 0;
    if ((which == 0 || !exclude_bias) && p_norm > 0 && g_norm > 0) {
      wd = decay;
      Values d = g;
      for (std::size_t k = 0; k < d.size(); ++k) d[k] += wd * p[k];
      ratio = eta * p_norm / (joint ? length(d) : g_norm + wd * p_norm + epsilon);
      if (clip) ratio = std::min(ratio / lr, 1.0);
    }
    for (std::size_t k = 0; k < p.size(); ++k) {
      const double d = ratio * (g[k] + wd * p[k]);
      v[k] = step == 0 ? d : 0.9 * v[k] + d;
      p[k] -= lr * v[k];
    }
  };
}

TEST(Lars, ExcludesVectors) {
  expect_trajectory({.kind = OptimizerKind::lars, .weight_decay = 0.05}, lars_reference(0.05, false, false, true));
}

TEST(Lars, Clip) {
  expect_trajectory({.kind = OptimizerKind::lars, .weight_decay = 0.05, .clip = true},
                    lars_reference(0.05, true, false, true));
}

TEST(Lars, JointNorm) {
  expect_trajectory({.kind = OptimizerKind::lars, .weight_decay = 0.05, .joint_norm = true},
                    lars_reference(0.05, false, true, true));
}

TEST(Lars, VectorsIncludedOnRequest) {
  expect_trajectory({.kind = OptimizerKind::lars, .weight_decay = 0.05, .exclude_vectors = false},
                    lars_reference(0.05, false, false, false));
}

Reference adam_reference(double decay, bool decoupled) {
  return [=](int step, double lr, std::size_t, Values& p, const Values& g, Values& m, Values& v) {
    for (std::size_t k = 0; k < p.size(); ++k) {
      if (decoupled) p[k] -= lr * decay * p[k];
      const double d = g[k] + (decoupled ? 0 : decay * p[k]);
      m[k] = 0.9 * m[k] + 0.1 * d;
      v[k] = 0.999 * v[k] + 0.001 * d * d;
      const double m_hat = m[k] / (1 - std::pow(0.9, step + 1)), v_hat = v[k] / (1 - std::pow(0.999, step + 1));
      p[k] -= lr * m_hat / (std::sqrt(v_hat) + 1e-8);
    }
  };
}

TEST(Adam, AddsDecayToTheGradient) {
  expect_trajectory({.kind = OptimizerKind::adam, .weight_decay = 0.05}, adam_reference(0.05, false));
}

TEST(Adam, DecoupledDecay) {
  expect_trajectory({.kind = OptimizerKind::adamw, .weight_decay = 0.05}, adam_reference(0.05, true));
}

TEST(Optimizer, StateRestoresTheTrajectory) {
  for (OptimizerKind kind : {OptimizerKind::sgd, OptimizerKind::lars, OptimizerKind::adam, OptimizerKind::adamw}) {
    const OptimizerSettings settings{.kind = kind, .weight_decay = 0.05};
    Problem straight, resumed;
    Optimizer a(straight.set, settings), b(resumed.set, settings);
    for (int step = 0; step < 6; ++step) {
      straight.gather(straight.gradients(step));
      a.step(0.1);
      if (step == 2) {
        from_host(resumed.set.flat(), to_host(straight.set.flat()));
        for (const auto& [name, tensor] : a.state()) from_host(b.state(name), to_host(tensor));
        b.set_steps(a.steps());
      }
      if (step <= 2) continue;
      resumed.gather(resumed.gradients(step));
      b.step(0.1);
    }
    EXPECT_EQ(straight.set.flat().values(), resumed.set.flat().values());
  }
}

TEST(Optimizer, RefusesImpossibleSettings) {
  Problem problem;
  EXPECT_THROW(Optimizer(problem.set, {.momentum = 1.5}), UsageError);
  EXPECT_THROW(Optimizer(problem.set, {.weight_decay = -1}), UsageError);
  EXPECT_THROW(Optimizer(problem.set, {.weight_decay = std::nan("")}), UsageError);
  EXPECT_THROW(Optimizer(problem.set, {.momentum = 0, .nesterov = true}), UsageError);
  Optimizer optimizer(problem.set, {});
  EXPECT_THROW(optimizer.step(std::numeric_limits<double>::infinity()), Error);
  EXPECT_THROW(optimizer.state("second_moment"), Error);
}

TEST(ParameterSet, MovesTheModelIntoOneBuffer) {
  Problem problem;
  const Values before = problem.reference[0];
  EXPECT_EQ(problem.weight.values(), before);
  EXPECT_EQ(problem.set.size(), 40);
  EXPECT_EQ(problem.set.index_of("layer.bias"), 1u);
  EXPECT_THROW(problem.set.index_of("other"), Error);
  EXPECT_TRUE(problem.set.segments()[0].adapt);
  EXPECT_FALSE(problem.set.segments()[1].adapt);
  EXPECT_EQ(problem.set.segments()[1].offset % 16, 0);
  cpu_backend().fill(problem.set.flat().array(), 3);
  EXPECT_EQ(problem.weight.values(), Values(35, 3.0));
  EXPECT_EQ(problem.bias.values(), Values(5, 3.0));
}

TEST(ParameterSet, GathersGradientsOfItsLeaves) {
  Problem problem;
  const Tensor x = from_values(cpu_backend(), {3, 7}, random_values(21, 3));
  const Tensors gradients = grad({sum(square(linear(x, problem.weight, problem.bias)))}, problem.set.tensors());
  const Tensor flat = problem.set.gather_gradients(gradients);
  const Tensors parts = problem.set.parts_of(flat);
  EXPECT_EQ(parts[0].values(), gradients[0].values());
  EXPECT_EQ(parts[1].values(), gradients[1].values());
  problem.set.gather_gradients({gradients[0], {}});
  EXPECT_EQ(problem.set.parts_of(flat)[1].values(), Values(5, 0.0));
  double total = 0;
  for (double value : problem.set.gradient().values()) total += value * value;
  EXPECT_DOUBLE_EQ(std::sqrt(total), length(gradients[0].values())) << "the gaps must stay zero";
  const Tensors in_place = grad({sum(square(linear(x, problem.weight, problem.bias)))}, problem.set.tensors(),
                                {.places = problem.set.gradient_places()});
  EXPECT_EQ(in_place[1].data, problem.set.gradient_places()[1].data);
  problem.set.gather_gradients({{}, in_place[1]});
  EXPECT_EQ(problem.set.parts_of(flat)[0].values(), Values(35, 0.0));
  EXPECT_EQ(problem.set.parts_of(flat)[1].values(), gradients[1].values()) << "what lies there already stays";
  EXPECT_THROW(problem.set.gather_gradients({gradients[0]}), Error);
  EXPECT_THROW(problem.set.gather_gradients({gradients[1], gradients[0]}), Error);
}

/// A parameter that all layers use, weight and bias of four layers, and a parameter that nothing uses.
struct Stack {
  Tensors tensors;
  ParameterSet set;

  Stack() {
    const auto draw = [&](const Shape& shape) {
      const Values drawn = random_values(static_cast<std::size_t>(shape.size()), 20 + tensors.size());
      tensors.push_back(from_values(cpu_backend(), shape, drawn));
    };
    draw({8});
    for (int layer = 0; layer < 4; ++layer) draw({8, 8}), draw({8});
    draw({8});
    std::vector<NamedTensor> list;
    for (Tensor& tensor : tensors) list.push_back({std::to_string(list.size()), &tensor});
    set = ParameterSet(list);
  }

  /// `late` is called by the backward pass between the second layer and the first.
  Tensor loss(std::uint64_t stream, const std::function<void()>& late = nullptr) const {
    Tensor y = from_values(cpu_backend(), {3, 8}, random_values(24, stream));
    for (std::size_t layer = 0; layer < 4; ++layer) {
      y = tanh(linear(y, tensors[2 * layer + 1], tensors[2 * layer + 2]) * tensors[0]);
      if (layer > 0 || !late) continue;
      const Tensor before = y;
      y = clone(before);
      record("late", {before}, {}, {&y}, [late](const VjpContext& c) {
        late();
        return Tensors{c.g()};
      });
    }
    return sum(square(y));
  }
};

/// One of two ranks that have the same values. It adds at the end, and sees that nobody changed them meanwhile.
class Twin final : public Communicator {
 public:
  std::vector<Array> begun;
  int rank() const override { return 0; }
  int ranks() const override { return 2; }

 private:
  void do_all_gather(Backend&, ConstArray, Array) override { throw Error("not expected"); }
  void do_all_reduce(Backend&, ConstArray, Array) override { throw Error("not expected"); }
  void do_broadcast(Backend&, Array, int) override { throw Error("not expected"); }
  void do_begin_sum(Backend&, Array x) override {
    begun.push_back(x);
    before_.emplace_back(x.as<double>(), x.as<double>() + x.size);
  }
  void do_finish_sums(Backend&) override {
    for (std::size_t i = 0; i < begun.size(); ++i) {
      double* x = begun[i].as<double>();
      EXPECT_EQ(before_[i], Values(x, x + begun[i].size));
      for (std::int64_t k = 0; k < begun[i].size; ++k) x[k] *= 2;
    }
  }

  std::vector<Values> before_;
};

TEST(SummedBackward, SendsBucketsWhileTheBackwardPassGoesOn) {
  const Stack stack;
  const Values expected = stack.set.backward(stack.loss(50)).values();
  Twin twin;
  std::size_t early = 0;
  const Tensor loss = stack.loss(50, [&] { early = twin.begun.size(); });
  EXPECT_EQ(summed_backward(stack.set, loss, {&twin}, 700).values(), expected);
  EXPECT_EQ(early, 3u) << "all but the buckets with a bias or a weight of the first layer";
  EXPECT_EQ(twin.begun.size(), 5u);
  std::int64_t left = stack.set.gradient().size();
  for (const Array& bucket : twin.begun) {
    left -= bucket.size;
    EXPECT_EQ(bucket.data, stack.set.gradient().array().as<double>() + left);
    EXPECT_LE(bucket.size * 8, 700);
  }
  EXPECT_EQ(left, 0);
}

TEST(SummedBackward, IsTheSumOfTheRanksGradients) {
  for (const std::int64_t most_bytes : {std::int64_t{1}, std::int64_t{700}, bucket_bytes})
    run_ranks(3, [&](Communicator& communicator) {
      const Stack stack;
      const Ranks ranks{&communicator};
      const auto stream = static_cast<std::uint64_t>(60 + communicator.rank());
      const Tensor own = stack.set.backward(ranks.share(stack.loss(stream)));
      const Values expected = ranks.sum(own).values();
      EXPECT_EQ(summed_backward(stack.set, stack.loss(stream), ranks, most_bytes).values(), expected) << most_bytes;
    });
  const Stack alone;
  const Values expected = alone.set.backward(alone.loss(50)).values();
  EXPECT_EQ(summed_backward(alone.set, alone.loss(50), {}, 700).values(), expected);
}

TEST(ParameterSet, RefusesBadLists) {
  Tensor a = zeros(cpu_backend(), {2}), b = zeros(cpu_backend(), {2}, DType::f64), none;
  EXPECT_THROW(ParameterSet(std::vector<NamedTensor>{}), Error);
  EXPECT_THROW(ParameterSet({{"a", &a}, {"a", &a}}), Error);
  EXPECT_THROW(ParameterSet({{"a", &a}, {"b", &b}}), Error);
  EXPECT_THROW(ParameterSet({{"a", &none}}), Error);
}

TEST(Ema, FollowsARunOfTheSource) {
  Problem source;
  Tensor extra = from_values(cpu_backend(), {4}, {1, 2, 3, 4});
  Tensor w = source.weight, b = source.bias;
  const ParameterSet all({{"extra", &extra}, {"layer.weight", &w}, {"layer.bias", &b}});
  Tensor tw = full(cpu_backend(), {5, 7}, 2, DType::f64), tb = full(cpu_backend(), {5}, -1, DType::f64);
  const ParameterSet target({{"layer.weight", &tw}, {"layer.bias", &tb}}, Role::constant);
  EXPECT_EQ(tw.node, nullptr);
  const Tensor keep = from_values(cpu_backend(), {1}, {0.99});
  ema_update(target, all, keep);
  for (std::size_t k = 0; k < 35; ++k) EXPECT_NEAR(tw.values()[k], 0.99 * 2 + 0.01 * source.reference[0][k], 1e-15);
  for (std::size_t k = 0; k < 5; ++k) EXPECT_NEAR(tb.values()[k], -0.99 + 0.01 * source.reference[1][k], 1e-15);
  Tensor stranger = zeros(cpu_backend(), {5, 7}, DType::f64);
  EXPECT_THROW(ema_update(ParameterSet({{"stranger", &stranger}}, Role::constant), all, keep), Error);
}

TEST(Schedule, WarmUpThenCosineInEpochs) {
  const Schedule schedule({.base = 0.06, .epochs = 10, .steps_per_epoch = 195, .warmup_epochs = 1});
  EXPECT_TRUE(schedule.notice().empty());
  for (int epoch = 0; epoch < 10; ++epoch)
    for (int s = 0; s < 195; ++s) {
      const double now = epoch + s / 195.0;
      const double expected =
          now < 1 ? 0.06 * now : 0.06 * 0.5 * (1 + std::cos(std::numbers::pi * (now - 1) / (10 - 1)));
      ASSERT_NEAR(schedule.at(epoch * 195 + s), expected, 1e-16);
    }
  EXPECT_EQ(schedule.at(0), 0);
  EXPECT_DOUBLE_EQ(schedule.at(195), 0.06);
  EXPECT_EQ(schedule.at(5000), schedule.at(1949)) << "past the end";
}

TEST(Schedule, StartAndMinimum) {
  const Schedule schedule(
      {.base = 0.4, .epochs = 100, .steps_per_epoch = 10, .warmup_epochs = 10, .start = 3e-5, .minimum = 0.1});
  EXPECT_DOUBLE_EQ(schedule.at(0), 3e-5);
  EXPECT_DOUBLE_EQ(schedule.at(50), (0.4 + 3e-5) / 2);
  EXPECT_DOUBLE_EQ(schedule.at(550), 0.25);
  EXPECT_NEAR(schedule.at(999), 0.1, 1e-5);
}

TEST(Schedule, StepAndConstant) {
  const Schedule step({.kind = ScheduleKind::step,
                       .base = 1,
                       .epochs = 10,
                       .steps_per_epoch = 4,
                       .milestones = {6, 8.5},
                       .factor = 0.2});
  EXPECT_DOUBLE_EQ(step.at(23), 1);
  EXPECT_DOUBLE_EQ(step.at(24), 0.2);
  EXPECT_DOUBLE_EQ(step.at(33), 0.2);
  EXPECT_DOUBLE_EQ(step.at(34), 0.04);
  const Schedule constant(
      {.kind = ScheduleKind::constant, .base = 2, .epochs = 4, .steps_per_epoch = 2, .warmup_epochs = 2});
  EXPECT_DOUBLE_EQ(constant.at(1), 0.5);
  EXPECT_DOUBLE_EQ(constant.at(4), 2);
  EXPECT_DOUBLE_EQ(constant.at(7), 2);
}

TEST(Schedule, Exponential) {
  const Schedule schedule({.kind = ScheduleKind::exponential, .base = 1e-2, .epochs = 500, .minimum = 1e-6});
  EXPECT_DOUBLE_EQ(schedule.at(0), 1e-2);
  EXPECT_NEAR(schedule.at(250), 1e-4, 1e-15);
  EXPECT_NEAR(schedule.at(499) / schedule.at(498), std::pow(1e-4, 1 / 500.0), 1e-12);
  const Schedule none({.kind = ScheduleKind::exponential, .base = 0, .epochs = 4, .minimum = 0});
  for (std::int64_t step = 0; step < none.steps(); ++step) EXPECT_EQ(none.at(step), 0);
}

TEST(Schedule, ALongWarmUpIsCutWithANotice) {
  const Schedule schedule({.base = 1, .epochs = 5, .steps_per_epoch = 20, .warmup_epochs = 10});
  EXPECT_NE(schedule.notice().find("0.5 epochs"), std::string::npos) << schedule.notice();
  EXPECT_DOUBLE_EQ(schedule.at(5), 0.5);
  EXPECT_DOUBLE_EQ(schedule.at(10), 1);
}

TEST(Schedule, RefusesImpossibleSettings) {
  EXPECT_THROW(Schedule({.base = -1}), UsageError);
  EXPECT_THROW(Schedule({.base = std::nan("")}), UsageError);
  EXPECT_THROW(Schedule({.base = 1, .epochs = 0}), UsageError);
  EXPECT_THROW(Schedule({.base = 1, .warmup_epochs = -1}), UsageError);
  EXPECT_THROW(Schedule({.base = 1, .milestones = {3, 2}}), UsageError);
}

}  // namespace
}  // namespace vergence
