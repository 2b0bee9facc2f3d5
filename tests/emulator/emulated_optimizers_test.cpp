// Compares optimizers on the emulated GPU with the CPU: several steps over segments of several sizes with gaps between
// them, eager and recorded.
#include <cmath>
#include <functional>
#include <gtest/gtest.h>

#include "kernels/cuda/emulated/backend.h"
#include "kernels/random.h"

namespace vergence::test {
namespace {

using Values = std::vector<double>;

/// Segments of one and several chunks, whole vectors or not, aligned or not. No segment has elements 0..2, 75..79 and
/// the last.
const std::vector<Segment> segments = {{3, 1, true},        {4, 64, true},      {68, 7, false},
                                       {80, 9001, true},    {9088, 4096, true}, {13184, 64, true},
                                       {13248, 130, false}, {13381, 0, true},   {13381, 300, true}};
constexpr std::int64_t size = 13682;
/// This segment's gradients are all zero, so LARS leaves it alone.
constexpr Segment still = {13184, 64, true};

template <class T>
class Buffers {
 public:
  explicit Buffers(Backend& device) : device_(device) {
    for (int which = 0; which < 4; ++which) arrays_.push_back(allocate(size));
    scalars_ = device.allocate(scalar_bytes);
    set(parameters(), values(1));
    set(first(), Values(size));
    set(second(), Values(size));
  }
  ~Buffers() {
    for (const Array& array : arrays_) device_.release(array.data, bytes);
    device_.release(scalars_, scalar_bytes);
  }
  Buffers(const Buffers&) = delete;
  Buffers& operator=(const Buffers&) = delete;

  Array parameters() const { return arrays_[0]; }
  Array gradient() const { return arrays_[1]; }
  Array first() const { return arrays_[2]; }
  Array second() const { return arrays_[3]; }
  ConstArray scalars() const { return {scalars_, 3, DType::f64}; }
  Backend& device() const { return device_; }

  void prepare(int step) {
    Values slope = values(10 + static_cast<std::uint64_t>(step));
    for (std::int64_t i = still.offset; i < still.offset + still.size; ++i) slope[static_cast<std::size_t>(i)] = 0;
    set(gradient(), slope);
    const double now[3] = {0.3 / (1 + step), 1 - std::pow(0.9, step + 1), 1 - std::pow(0.99, step + 1)};
    device_.upload(scalars_, now, sizeof now);
  }

  Values get(const Array& array) const {
    std::vector<T> host(size);
    device_.download(host.data(), array.data, bytes);
    return {host.begin(), host.end()};
  }

 private:
  static constexpr std::int64_t bytes = size * static_cast<std::int64_t>(sizeof(T)), scalar_bytes = 24;

  Array allocate(std::int64_t count) { return {device_.allocate(bytes), count, dtype_of<T>()}; }
  void set(const Array& array, const Values& from) {
    const std::vector<T> host(from.begin(), from.end());
    device_.upload(array.data, host.data(), bytes);
  }
  static Values values(std::uint64_t stream) {
    Random random(7, Purpose::test, 0, stream);
    Values result(size);
    for (double& value : result) value = random.uniform(-1, 1);
    return result;
  }

  Backend& device_;
  std::vector<Array> arrays_;
  void* scalars_;
};

template <class T>
using Step = std::function<void(Buffers<T>&)>;

template <class T>
std::vector<Values> after_three_steps(Backend& device, const Step<T>& step) {
  Buffers<T> buffers(device);
  for (int k = 0; k < 3; ++k) {
    buffers.prepare(k);
    step(buffers);
  }
  return {buffers.get(buffers.parameters()), buffers.get(buffers.first()), buffers.get(buffers.second()),
          buffers.get(buffers.gradient())};
}

/// Records a step without running it, then replays it three times with other scalars and gradients.
template <class T>
std::vector<Values> after_three_replays(Backend& device, const Step<T>& step) {
  Buffers<T> buffers(device);
  device.begin_recording();
  step(buffers);
  const auto recording = device.end_recording();
  for (int k = 0; k < 3; ++k) {
    buffers.prepare(k);
    recording->replay();
  }
  return {buffers.get(buffers.parameters()), buffers.get(buffers.first()), buffers.get(buffers.second()),
          buffers.get(buffers.gradient())};
}

bool in_a_segment(std::size_t i) {
  for (const Segment& segment : segments)
    if (static_cast<std::int64_t>(i) >= segment.offset && static_cast<std::int64_t>(i) < segment.offset + segment.size)
      return true;
  return false;
}

template <class T>
void check(const Step<T>& step, bool whole_buffer = false) {
  Backend& device = emulated_backend();
  const std::vector<Values> expected = after_three_steps<T>(cpu_backend(), step);
  const std::vector<Values> recorded = after_three_replays<T>(device, step), found = after_three_steps<T>(device, step);
  EXPECT_TRUE(found == recorded) << "a recorded step gave other bits";
  EXPECT_TRUE(found == after_three_steps<T>(device, step)) << "a second run gave other bits";
  const double limit = sizeof(T) == 8 ? 1e-13 : 2e-6;
  const std::vector<Values> start = after_three_steps<T>(cpu_backend(), [](Buffers<T>&) {});
  for (std::size_t which = 0; which < expected.size(); ++which)
    for (std::size_t i = 0; i < size; ++i) {
      ASSERT_NEAR(found[which][i], expected[which][i], limit) << "array " << which << " at " << i;
      if (!whole_buffer && !in_a_segment(i)) {
        ASSERT_EQ(found[which][i], start[which][i]) << "a gap, at " << i;
      }
    }
}

template <class T>
class EmulatedOptimizers : public testing::Test {
 protected:
  static void sgd(const SgdSettings& settings) {
    check<T>([settings](Buffers<T>& r) {
      r.device().sgd(settings, segments, r.scalars(), r.gradient(), r.parameters(), r.first());
    });
  }
  static void lars(const LarsSettings& settings) {
    check<T>([settings](Buffers<T>& r) {
      r.device().lars(settings, segments, r.scalars(), r.gradient(), r.parameters(), r.first());
    });
  }
  static void adam(const AdamSettings& settings) {
    check<T>([settings](Buffers<T>& r) {
      r.device().adam(settings, segments, r.scalars(), r.gradient(), r.parameters(), r.first(), r.second());
    });
  }
};

using Types = testing::Types<double, float>;
TYPED_TEST_SUITE(EmulatedOptimizers, Types);

TYPED_TEST(EmulatedOptimizers, SgdWithoutMomentum) { this->sgd({.momentum = 0, .weight_decay = 0.05}); }
TYPED_TEST(EmulatedOptimizers, SgdWithMomentum) { this->sgd({.momentum = 0.9, .weight_decay = 0.05}); }
TYPED_TEST(EmulatedOptimizers, SgdNesterov) { this->sgd({.momentum = 0.9, .weight_decay = 0.05, .nesterov = true}); }
TYPED_TEST(EmulatedOptimizers, Lars) { this->lars({.momentum = 0.9, .weight_decay = 0.05}); }
TYPED_TEST(EmulatedOptimizers, LarsClipped) {
  this->lars({.momentum = 0.9, .weight_decay = 0.05, .eta = 0.5, .clip = true});
}
TYPED_TEST(EmulatedOptimizers, LarsJointNorm) { this->lars({.momentum = 0, .weight_decay = 0.05, .joint_norm = true}); }
TYPED_TEST(EmulatedOptimizers, Adam) { this->adam({.beta1 = 0.9, .beta2 = 0.99, .weight_decay = 0.05}); }
TYPED_TEST(EmulatedOptimizers, AdamDecoupled) {
  this->adam({.beta1 = 0.9, .beta2 = 0.99, .weight_decay = 0.05, .decoupled = true});
}
TYPED_TEST(EmulatedOptimizers, MovingAverage) {
  check<TypeParam>([](Buffers<TypeParam>& r) { r.device().moving_average(r.scalars(), r.gradient(), r.parameters()); },
                   true);
}

TEST(EmulatedOptimizersItself, NoSegmentsNoWork) {
  Buffers<float> buffers(emulated_backend());
  const Values before = buffers.get(buffers.parameters());
  buffers.prepare(0);
  buffers.device().sgd({}, {}, buffers.scalars(), buffers.gradient(), buffers.parameters(), buffers.first());
  buffers.device().lars({}, {{5, 0, true}}, buffers.scalars(), buffers.gradient(), buffers.parameters(),
                        buffers.first());
  EXPECT_EQ(buffers.get(buffers.parameters()), before);
}

}  // namespace
}  // namespace vergence::test
