// Compares convolutions of every kind of shape in encoders and decoders, above all tiny, narrow and odd maps, with sums
// in f64. Guard zones surround operands and temporary memory, unwritten memory holds garbage, and each pass runs again
// with other garbage. So the tests find kernels that read or write out of bounds, or read what they have not written.
// Bounds allow for rounding only, so they hold on every processor.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <gtest/gtest.h>
#include <omp.h>
#include <vector>

#include "kernels/cpu/conv/rules.h"
#include "kernels/cpu/conv/unfold.h"
#include "kernels/cpu/conv/winograd.h"
#include "kernels/random.h"
#include "tests/support/checked_backend.h"
#ifndef VERGENCE_PLAIN_CPU
#include "kernels/cpu/conv/direct.h"
#endif

namespace vergence {
namespace {

using Values = std::vector<double>;

/// Bytes to fill memory with: zeros, NaN in every type, and 3.4e38 in f32 and bf16.
constexpr unsigned char fillings[] = {0x00, 0xff, 0x7f};

std::size_t count(std::int64_t n) { return static_cast<std::size_t>(n); }

/// Values in [-1, 1) that bf16 holds exactly.
Values draw(std::int64_t size, std::uint64_t seed) {
  Random random(seed, Purpose::test, static_cast<std::uint32_t>(size));
  Values values(count(size));
  for (double& v : values) v = bf16(static_cast<float>(2 * static_cast<double>(random.uniform()) - 1));
  return values;
}

/// An array between two guard zones, both filled with one byte value.
class Operand {
 public:
  Operand(std::int64_t size, DType type, unsigned char filling)
      : filling_(filling), bytes_(count(size * size_of(type) + 2 * guard + alignment), filling) {
    const auto start = reinterpret_cast<std::uintptr_t>(bytes_.data()) + guard;
    array_ = {reinterpret_cast<void*>((start + alignment - 1) / alignment * alignment), size, type};
  }
  Operand(const Values& values, DType type, unsigned char filling)
      : Operand(static_cast<std::int64_t>(values.size()), type, filling) {
    for (std::size_t i = 0; i < values.size(); ++i)
      if (type == DType::f32)
        array_.as<float>()[i] = static_cast<float>(values[i]);
      else
        array_.as<bf16>()[i] = bf16(static_cast<float>(values[i]));
  }
  Operand(const Operand&) = delete;
  Operand& operator=(const Operand&) = delete;

  Array array() const { return array_; }
  double get(std::size_t i) const {
    return array_.dtype == DType::f32 ? array_.as<float>()[i] : static_cast<float>(array_.as<bf16>()[i]);
  }
  std::vector<unsigned char> contents() const { return {begin(), end()}; }
  bool guards_intact() const {
    const auto intact = [this](unsigned char byte) { return byte == filling_; };
    return std::all_of(bytes_.data(), begin(), intact) && std::all_of(end(), bytes_.data() + bytes_.size(), intact);
  }

 private:
  static constexpr std::int64_t guard = 1024, alignment = 64;
  const unsigned char* begin() const { return static_cast<const unsigned char*>(array_.data); }
  const unsigned char* end() const { return begin() + array_.size * size_of(array_.dtype); }

  unsigned char filling_;
  std::vector<unsigned char> bytes_;
  Array array_;
};

/// Sums of products, and of the products' absolute values.
struct Sums {
  Values exact, magnitude;
  explicit Sums(std::int64_t size) : exact(count(size)), magnitude(count(size)) {}
  void add(std::int64_t i, double product) { exact[count(i)] += product, magnitude[count(i)] += std::abs(product); }
};

/// A convolution's operands, and the expected results of its three passes.
struct Case {
  ConvShape shape;
  Values x, w, g;
  Sums y, dx, dw;

  explicit Case(const ConvShape& s)
      : shape(s),
        x(draw(s.in_size(), 1)),
        w(draw(s.weight_size(), 2)),
        g(draw(s.out_size(), 3)),
        y(s.out_size()),
        dx(s.in_size()),
        dw(s.weight_size()) {
    for (std::int64_t pixel = 0; pixel < s.batch * s.out_height() * s.out_width(); ++pixel)
      for (std::int64_t tap = 0; tap < s.kernel_height * s.kernel_width; ++tap) add_tap(pixel, tap);
  }

  const Sums& expected(ConvPass pass) const { return pass == ConvPass::forward ? y : pass == ConvPass::data ? dx : dw; }
  /// The largest number of products in a sum of this pass.
  std::int64_t terms(ConvPass pass) const {
    const std::int64_t taps = shape.kernel_height * shape.kernel_width;
    return pass == ConvPass::forward ? taps * shape.in_channels
           : pass == ConvPass::data  ? taps * shape.out_channels
                                     : shape.out_size() / shape.out_channels;
  }

 private:
  void add_tap(std::int64_t pixel, std::int64_t tap) {
    const ConvShape& s = shape;
    const std::int64_t row = pixel / s.out_width() % s.out_height(), image = pixel / s.out_width() / s.out_height(),
                       h = row * s.stride - s.padding + tap / s.kernel_width,
                       v = pixel % s.out_width() * s.stride - s.padding + tap % s.kernel_width;
    if (h < 0 || h >= s.in_height || v < 0 || v >= s.in_width) return;
    for (std::int64_t o = 0; o < s.out_channels; ++o)
      for (std::int64_t i = 0; i < s.in_channels; ++i) {
        const std::int64_t ix = ((image * s.in_height + h) * s.in_width + v) * s.in_channels + i,
                           iy = pixel * s.out_channels + o,
                           iw = (o * s.kernel_height * s.kernel_width + tap) * s.in_channels + i;
        y.add(iy, x[count(ix)] * w[count(iw)]);
        dx.add(ix, g[count(iy)] * w[count(iw)]);
        dw.add(iw, g[count(iy)] * x[count(ix)]);
      }
  }
};

/// The largest error of a sum `exact` of products whose absolute values sum to `magnitude`: `roundings` roundings of
/// 2^-24 of that in f32, as a sum of n products in any order has at most n, and one more of 2^-8 in bf16.
double bound(double exact, double magnitude, double roundings, DType type) {
  const double sum = roundings * std::ldexp(magnitude, -24);
  return type == DType::bf16 ? sum + std::ldexp(std::abs(exact) + sum, -8) : sum;
}

struct Types {
  DType activations, weights;
};

/// Runs a pass on the CPU backend; run_with runs one algorithm, with temporary memory from `pool`.
void run_on_cpu(const ConvShape& s, ConvPass pass, Array first, Array second, Array out) {
  Backend& cpu = cpu_backend();
  if (pass == ConvPass::forward) return cpu.conv2d(s, first, second, out);
  if (pass == ConvPass::data) return cpu.conv2d_data(s, first, second, out);
  cpu.conv2d_weight(s, first, second, out);
}
void run_with(Backend& pool, CpuConvAlgorithm algorithm, const ConvShape& s, ConvPass pass, Array first, Array second,
              Array out) {
  if (algorithm == CpuConvAlgorithm::winograd)
    return winograd_conv(s, pass, first.as<float>(), second.as<float>(), out.as<float>(), pool);
  if (algorithm == CpuConvAlgorithm::unfold) return unfold_conv(s, pass, first, second, out, pool);
#ifndef VERGENCE_PLAIN_CPU
  if (onednn_conv(s, pass, first, second, out, pool)) return;
#endif
  run_on_cpu(s, pass, first, second, out);
}

/// Winograd's transforms (winograd.h) multiply the error of the largest sum by less than 2^16.
void check_values(const Case& c, ConvPass pass, bool winograd, const Operand& out) {
  const Sums& sums = c.expected(pass);
  const double roundings = static_cast<double>(c.terms(pass) + 2) * (winograd ? 65536 : 1),
               largest = *std::max_element(sums.magnitude.begin(), sums.magnitude.end());
  int shown = 0;
  for (std::size_t i = 0; i < sums.exact.size() && shown < 3; ++i) {
    const double most = bound(sums.exact[i], winograd ? largest : sums.magnitude[i], roundings, out.array().dtype);
    if (std::abs(out.get(i) - sums.exact[i]) <= most) continue;  // false for NaN
    ADD_FAILURE() << "element " << i << " is " << out.get(i) << ", expected " << sums.exact[i] << " +- " << most;
    ++shown;
  }
}

/// For each filling: correct values, accesses within operands and temporary memory, and always the same bits.
void check_pass(const Case& c, ConvPass pass, Types types) {
  const char* const names[] = {"forward", "data", "weight"};
  const ConvShape& s = c.shape;
  const CpuConvAlgorithm algorithm = choose_cpu_conv(s, pass, types.activations, CpuConv::automatic);
  std::vector<unsigned char> before;
  for (const unsigned char filling : fillings) {
    SCOPED_TRACE(join(names[static_cast<int>(pass)], ' ', name_of(types.activations), '/', name_of(types.weights), ' ',
                      s.batch, 'x', s.in_height, 'x', s.in_width, 'x', s.in_channels, " -> ", s.out_channels,
                      ", kernel ", s.kernel_height, " stride ", s.stride, ", ", omp_get_max_threads(),
                      " threads, memory filled with ", static_cast<int>(filling)));
    const Operand x(c.x, types.activations, filling), g(c.g, types.activations, filling),
        w(c.w, types.weights, filling),
        out(static_cast<std::int64_t>(c.expected(pass).exact.size()),
            pass == ConvPass::weight ? types.weights : types.activations, filling);
    const Operand &first = pass == ConvPass::data ? g : x, &second = pass == ConvPass::weight ? g : w;
    test::CheckedBackend pool(cpu_backend(), filling);
    run_with(pool, algorithm, s, pass, first.array(), second.array(), out.array());
    check_values(c, pass, algorithm == CpuConvAlgorithm::winograd, out);
    EXPECT_TRUE(x.guards_intact() && g.guards_intact() && w.guards_intact()) << "wrote outside an input";
    EXPECT_TRUE(out.guards_intact()) << "wrote outside its output";
    EXPECT_TRUE(pool.problems().empty()) << pool.problems().front();
    if (before.empty()) before = out.contents();
    EXPECT_EQ(before, out.contents()) << "depends on what was in memory";
    run_on_cpu(s, pass, first.array(), second.array(), out.array());
    EXPECT_EQ(before, out.contents()) << "the CPU's own way gives something else";
  }
}

/// All passes and types, every third time with two threads. Not with more: if they share a processor, oneDNN's barriers
/// waste their time.
void check(const ConvShape& s) {
  static int turn = 0;
  const int threads = omp_get_max_threads();
  omp_set_num_threads(++turn % 3 == 0 ? 2 : 1);
  const Case c(s);
  for (const ConvPass pass : {ConvPass::forward, ConvPass::data, ConvPass::weight}) {
    check_pass(c, pass, {DType::f32, DType::f32});
    check_pass(c, pass, {DType::bf16, DType::f32});
    if (turn % 4 == 0) check_pass(c, pass, {DType::bf16, DType::bf16});
  }
  omp_set_num_threads(threads);
}

ConvShape shape_of(std::int64_t batch, std::int64_t height, std::int64_t width, std::int64_t in, std::int64_t out,
                   std::int64_t kernel, std::int64_t stride) {
  return {batch, height, width, in, out, kernel, kernel, stride, kernel / 2, 1, 1};
}

struct Pair {
  std::int64_t first, second;
};

/// One and few channels, odd numbers, whole vectors, and one more or less.
constexpr Pair channels[] = {{1, 5},   {3, 16},  {16, 16}, {8, 7},   {17, 33}, {32, 64}, {5, 3},
                             {24, 48}, {15, 17}, {2, 1},   {64, 15}, {12, 24}, {33, 32}};

/// Every kernel and stride on every map. Channels and batch take turns, so that each kind meets every other one.
TEST(ConvSweep, EveryKernelOnEveryMap) {
  std::size_t turn = 0;
  for (const std::int64_t kernel : {1, 3, 7})
    for (const std::int64_t stride : {1, 2})
      for (const auto& [height, width] : std::initializer_list<Pair>{
               {1, 1}, {2, 2}, {3, 3}, {4, 4}, {5, 5}, {8, 8}, {9, 9}, {1, 8}, {8, 1}, {2, 1}, {3, 5}})
        for (int i = 0; i < 3; ++i, ++turn) {
          const auto& [in, out] = channels[turn % std::size(channels)];
          check(shape_of(1 + static_cast<std::int64_t>(turn) % 4, height, width, in, out, kernel, stride));
          if (HasFailure()) return;
        }
}

/// A map of one column has no input for every second tap of a kernel with stride 2.
TEST(ConvSweep, NarrowerThanTheStride) {
  for (const std::int64_t kernel : {3, 7})
    for (const std::int64_t height : {1, 2, 9})
      for (const auto& [in, out] : {Pair{3, 5}, Pair{16, 32}, Pair{40, 17}}) {
        check(shape_of(2, height, 1, in, out, kernel, 2));
        check({2, height, 2, in, out, kernel, kernel, 3, kernel / 2, 1, 1});
      }
}

/// Pixel counts for which many are computed at a time, and channels that do not form pairs.
TEST(ConvSweep, OddChannelsOfPointwiseConvolutions) {
  for (const auto& [height, width] : {Pair{5, 6}, Pair{1, 59}, Pair{10, 9}, Pair{30, 30}})
    for (const std::int64_t out : {1, 5, 17, 18}) {
      check(shape_of(1, height, width, 12, out, 1, 1));
      check(shape_of(2, 2 * height, 2 * width, 8, out, 1, 2));
    }
}

/// Shapes for which the CPU does not use the direct convolution: Winograd's tiles, and patches unfolded for the matrix
/// unit.
TEST(ConvSweep, OtherAlgorithms) {
  for (const ConvShape& s :
       {shape_of(16, 4, 4, 16, 32, 3, 1), shape_of(4, 8, 8, 32, 16, 3, 1), shape_of(32, 1, 1, 64, 32, 3, 2),
        shape_of(32, 1, 1, 128, 32, 3, 1), shape_of(8, 4, 4, 32, 64, 3, 2), shape_of(8, 4, 4, 64, 128, 1, 2)})
    check(s);
}

}  // namespace
}  // namespace vergence
