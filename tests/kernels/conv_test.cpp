// Compares the CPU's convolutions and matrix products with naive f64 loops, written independently here.
#include <cmath>
#include <cstring>
#include <gtest/gtest.h>
#include <limits>
#include <vector>

#include "kernels/backend.h"
#include "kernels/cpu/conv/direct.h"
#include "kernels/cpu/conv/rules.h"
#include "kernels/cpu/conv/unfold.h"
#include "kernels/draws.h"
#include "tests/support/checked_backend.h"
#include "tests/support/with_choices.h"

namespace vergence {
namespace {

using Values = std::vector<double>;

/// Standard normal values, rounded to `type`.
Values random_values(std::int64_t count, DType type, std::uint64_t seed) {
  Random random(seed, Purpose::test);
  Values values(static_cast<std::size_t>(count));
  for (double& v : values) {
    v = normal(random);
    if (type == DType::f32) v = static_cast<float>(v);
    if (type == DType::bf16) v = bf16(static_cast<float>(v));
  }
  return values;
}

/// A CPU array with guard elements after it, initially full of NaN.
class Block {
 public:
  Block(std::int64_t size, DType type) : size_(size), type_(type), bytes_((size + guard) * size_of(type), '\xff') {}
  Block(const Values& values, DType type) : Block(static_cast<std::int64_t>(values.size()), type) {
    with_float(type, [&](auto zero) {
      using T = decltype(zero);
      for (std::size_t i = 0; i < values.size(); ++i)
        reinterpret_cast<T*>(bytes_.data())[i] = T(static_cast<Compute<T>>(values[i]));
    });
  }
  Array array() { return {bytes_.data(), size_, type_}; }
  Values values() const {
    Values out(static_cast<std::size_t>(size_));
    with_float(type_, [&](auto zero) {
      for (std::size_t i = 0; i < out.size(); ++i)
        out[i] = static_cast<double>(reinterpret_cast<const decltype(zero)*>(bytes_.data())[i]);
    });
    return out;
  }
  const std::vector<char>& bytes() const { return bytes_; }
  bool guard_intact() const {
    for (std::size_t i = static_cast<std::size_t>(size_ * size_of(type_)); i < bytes_.size(); ++i)
      if (bytes_[i] != '\xff') return false;
    return true;
  }

 private:
  static constexpr std::int64_t guard = 64;
  std::int64_t size_;
  DType type_;
  std::vector<char> bytes_;
};

double dot(const Values& a, const Values& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

/// |a - b| / |b|. NaN fails every comparison.
double relative_error(const Values& a, const Values& b) {
  double difference = 0;
  for (std::size_t i = 0; i < a.size(); ++i) difference += (a[i] - b[i]) * (a[i] - b[i]);
  const double norm = dot(b, b);
  return norm > 0 ? std::sqrt(difference / norm) : std::sqrt(difference);
}

double tolerance(DType type) { return type == DType::f64 ? 1e-12 : type == DType::f32 ? 1e-5 : 2e-2; }

/// Calls f(index of x, index of w, index of y) for every product of the trilinear form.
template <class F>
void each_product(const ConvShape& s, const F& f) {
  const std::int64_t ins = s.in_channels / s.groups, outs = s.out_channels / s.groups;
  for (std::int64_t n = 0; n < s.batch; ++n)
    for (std::int64_t oh = 0; oh < s.out_height(); ++oh)
      for (std::int64_t ow = 0; ow < s.out_width(); ++ow)
        for (std::int64_t kh = 0; kh < s.kernel_height; ++kh)
          for (std::int64_t kw = 0; kw < s.kernel_width; ++kw) {
            const std::int64_t h = oh * s.stride + kh * s.dilation - s.padding,
                               w = ow * s.stride + kw * s.dilation - s.padding;
            if (h < 0 || h >= s.in_height || w < 0 || w >= s.in_width) continue;
            const std::int64_t x = ((n * s.in_height + h) * s.in_width + w) * s.in_channels,
                               y = ((n * s.out_height() + oh) * s.out_width() + ow) * s.out_channels;
            for (std::int64_t o = 0; o < s.out_channels; ++o)
              for (std::int64_t i = 0; i < ins; ++i)
                f(x + o / outs * ins + i, ((o * s.kernel_height + kh) * s.kernel_width + kw) * ins + i, y + o);
          }
}

struct Case {
  ConvShape shape;
  Values x, w, g;    // rounded to the type
  Values y, dx, dw;  // expected

  Case(const ConvShape& s, DType type)
      : shape(s),
        x(random_values(s.in_size(), type, 1)),
        w(random_values(s.weight_size(), type, 2)),
        g(random_values(s.out_size(), type, 3)),
        y(g.size()),
        dx(x.size()),
        dw(w.size()) {
    each_product(s, [&](std::int64_t ix, std::int64_t iw, std::int64_t iy) {
      y[iy] += x[ix] * w[iw], dx[ix] += g[iy] * w[iw], dw[iw] += g[iy] * x[ix];
    });
  }
};

/// Runs `pass` into poisoned memory twice; checks guards and repeatability, and returns the result.
template <class ForwardMode>
Values run_twice(std::int64_t size, DType type, const ForwardMode& pass) {
  Block first(size, type), second(size, type);
  pass(first.array());
  pass(second.array());
  EXPECT_TRUE(first.guard_intact());
  EXPECT_EQ(0, std::memcmp(first.bytes().data(), second.bytes().data(), first.bytes().size())) << "not repeatable";
  return first.values();
}

void check(const ConvShape& s, DType type, DType weights) {
  SCOPED_TRACE(join(name_of(type), "/", name_of(weights), " ", s.batch, "x", s.in_height, "x", s.in_width, "x",
                    s.in_channels, " -> ", s.out_channels, ", kernel ", s.kernel_height, "x", s.kernel_width,
                    " stride ", s.stride, " padding ", s.padding, " dilation ", s.dilation, " groups ", s.groups));
  const Case c(s, type);
  Backend& cpu = cpu_backend();
  Block x(c.x, type), g(c.g, type), w(c.w, weights);
  const Values y = run_twice(s.out_size(), type, [&](Array out) { cpu.conv2d(s, x.array(), w.array(), out); });
  const Values dx = run_twice(s.in_size(), type, [&](Array out) { cpu.conv2d_data(s, g.array(), w.array(), out); });
  const Values sum = run_twice(s.in_size(), type, [&](Array out) {
    std::memcpy(out.data, x.array().data, static_cast<std::size_t>(out.size * size_of(type)));
    cpu.conv2d_data(s, g.array(), w.array(), out, true);
  });
  const Values dw =
      run_twice(s.weight_size(), weights, [&](Array out) { cpu.conv2d_weight(s, x.array(), g.array(), out); });
  EXPECT_LE(relative_error(y, c.y), tolerance(type)) << "forward";
  EXPECT_LE(relative_error(dx, c.dx), tolerance(type)) << "data";
  EXPECT_LE(relative_error(dw, c.dw), tolerance(type)) << "weight";
  Values expected = c.dx;
  for (std::size_t i = 0; i < expected.size(); ++i) expected[i] += c.x[i];
  EXPECT_LE(relative_error(sum, expected), 2 * tolerance(type)) << "data, added to what is there";
  // The closed triple, relative to the norms (the three sums may cancel).
  const double scale = std::sqrt(dot(c.g, c.g) * dot(c.y, c.y)) + 1e-30, form = dot(c.g, y);
  EXPECT_LE(std::abs(form - dot(dx, c.x)) / scale, tolerance(type)) << "<g, F(x, w)> = <D(g, w), x>";
  EXPECT_LE(std::abs(form - dot(dw, c.w)) / scale, tolerance(type)) << "<g, F(x, w)> = <W(x, g), w>";
}

void check_all_types(const ConvShape& s) {
  check(s, DType::f64, DType::f64);
  check(s, DType::f32, DType::f32);
  check(s, DType::bf16, DType::f32);
  check(s, DType::bf16, DType::bf16);
}

/// batch, height, width, in, out, kernel height, kernel width, stride, padding, dilation, groups
const std::vector<ConvShape> geometries = {
    {1, 1, 1, 1, 1, 1, 1, 1, 0, 1, 1},   {3, 5, 5, 3, 7, 3, 3, 1, 1, 1, 1},    {1, 9, 7, 5, 17, 3, 3, 2, 1, 1, 1},
    {3, 8, 8, 16, 32, 3, 3, 2, 1, 1, 1}, {3, 8, 8, 16, 32, 1, 1, 2, 0, 1, 1},  {1, 11, 13, 3, 8, 7, 7, 2, 3, 1, 1},
    {3, 10, 10, 4, 6, 5, 5, 3, 2, 1, 1}, {1, 7, 9, 6, 10, 3, 3, 1, 2, 2, 1},   {3, 6, 6, 8, 8, 3, 3, 1, 0, 1, 2},
    {1, 6, 5, 9, 9, 3, 3, 1, 1, 1, 9},   {3, 9, 9, 32, 32, 3, 3, 2, 1, 1, 32}, {3, 7, 7, 32, 64, 3, 3, 1, 1, 1, 2},
    {1, 4, 6, 2, 5, 1, 3, 1, 1, 1, 1},   {1, 6, 4, 19, 3, 3, 2, 2, 1, 2, 1},   {3, 8, 8, 3, 64, 3, 3, 1, 1, 1, 1},
    {3, 4, 4, 64, 48, 1, 1, 1, 0, 1, 1}, {3, 7, 7, 33, 65, 3, 3, 1, 1, 1, 1},  {2, 8, 8, 64, 128, 3, 3, 2, 1, 1, 1},
    {2, 5, 5, 12, 20, 3, 3, 3, 3, 1, 4}, {1, 2, 2, 16, 16, 3, 3, 1, 1, 1, 1},  {17, 3, 2, 1, 3, 2, 2, 1, 0, 1, 1},
};

/// Shapes for Winograd: single tiles, images that cut tiles, several panels of channels, several chunks of tiles.
const std::vector<ConvShape> winograd_geometries = {
    {1, 1, 1, 16, 16, 3, 3, 1, 1, 1, 1},    {3, 4, 4, 32, 16, 3, 3, 1, 1, 1, 1},  {2, 7, 9, 16, 48, 3, 3, 1, 1, 1, 1},
    {1, 8, 8, 64, 64, 3, 3, 1, 1, 1, 1},    {2, 6, 5, 80, 144, 3, 3, 1, 1, 1, 1}, {3, 16, 16, 64, 32, 3, 3, 1, 1, 1, 1},
    {20, 17, 16, 16, 16, 3, 3, 1, 1, 1, 1}, {4, 5, 4, 96, 112, 3, 3, 1, 1, 1, 1},
};

TEST(Conv, MatchesNaiveLoops) {
  for (const ConvShape& s : geometries) check_all_types(s);
}

TEST(Conv, MatchesNaiveLoopsOnWinogradShapes) {
  for (const ConvShape& s : winograd_geometries) check_all_types(s);
}

TEST(Conv, DirectForced) {
  const test::WithChoices direct(cpu_backend(), {.cpu_conv = CpuConv::direct});
  for (const ConvShape& s : winograd_geometries) {
    EXPECT_EQ(CpuConvAlgorithm::direct,
              choose_cpu_conv(s, ConvPass::forward, DType::f32, cpu_backend().choices().cpu_conv));
    check(s, DType::f32, DType::f32);
    check(s, DType::bf16, DType::f32);
  }
}

TEST(Conv, WinogradForced) {
  const test::WithChoices winograd(cpu_backend(), {.cpu_conv = CpuConv::winograd});
  for (const ConvShape& s : winograd_geometries) {
    for (const ConvPass pass : {ConvPass::forward, ConvPass::data, ConvPass::weight})
      EXPECT_EQ(CpuConvAlgorithm::winograd, choose_cpu_conv(s, pass, DType::f32, cpu_backend().choices().cpu_conv));
    check(s, DType::f32, DType::f32);
  }
  for (const ConvShape& s : geometries) check(s, DType::f32, DType::f32);  // without a Winograd version: direct
}

/// The unfolded products on every shape without groups, whatever algorithm the rule chooses for it.
TEST(Conv, UnfoldedMatchesNaiveLoops) {
  std::vector<ConvShape> shapes = geometries;
  shapes.push_back({8, 4, 4, 64, 64, 1, 1, 2, 0, 1, 1});  // data: phases without any tap
  shapes.push_back({4, 4, 4, 128, 96, 3, 3, 1, 1, 1, 1});
  shapes.push_back({2, 7, 8, 32, 64, 3, 3, 3, 1, 2, 1});
  shapes.push_back({2, 1, 5, 32, 32, 1, 3, 2, 1, 1, 1});  // a phase without any pixel
  const DType type = DType::bf16;
  for (const ConvShape& s : shapes) {
    if (s.groups != 1) continue;
    SCOPED_TRACE(join(s.batch, "x", s.in_height, "x", s.in_width, "x", s.in_channels, " -> ", s.out_channels,
                      ", kernel ", s.kernel_height, "x", s.kernel_width, " stride ", s.stride));
    const Case c(s, type);
    Backend& cpu = cpu_backend();
    Block x(c.x, type), g(c.g, type);
    for (const DType weights : {DType::f32, DType::bf16}) {
      Block w(c.w, weights);
      const auto run = [&](ConvPass pass, Array first, Array second, std::int64_t size, DType out_type) {
        return run_twice(size, out_type, [&](Array out) { unfold_conv(s, pass, first, second, out, cpu); });
      };
      EXPECT_LE(relative_error(run(ConvPass::forward, x.array(), w.array(), s.out_size(), type), c.y), tolerance(type));
      EXPECT_LE(relative_error(run(ConvPass::data, g.array(), w.array(), s.in_size(), type), c.dx), tolerance(type));
      EXPECT_LE(relative_error(run(ConvPass::weight, x.array(), g.array(), s.weight_size(), weights), c.dw),
                tolerance(type));
    }
  }
}

/// More images than fit one set of patches, compared with the direct algorithm.
TEST(Conv, UnfoldedInManyParts) {
  for (const ConvShape& s :
       {ConvShape{200, 16, 16, 128, 64, 3, 3, 2, 1, 1, 1}, ConvShape{96, 9, 9, 256, 32, 3, 3, 1, 1, 1, 1}}) {
    const DType type = DType::bf16;
    Block x(random_values(s.in_size(), type, 1), type), w(random_values(s.weight_size(), type, 2), type),
        g(random_values(s.out_size(), type, 3), type), y(s.out_size(), type), dx(s.in_size(), type),
        dw(s.weight_size(), DType::f32), direct_y = y, direct_dx = dx, direct_dw = dw;
    Backend& cpu = cpu_backend();
    unfold_conv(s, ConvPass::forward, x.array(), w.array(), y.array(), cpu);
    unfold_conv(s, ConvPass::data, g.array(), w.array(), dx.array(), cpu);
    unfold_conv(s, ConvPass::weight, x.array(), g.array(), dw.array(), cpu);
    const test::WithChoices direct(cpu, {.cpu_conv = CpuConv::direct});
    cpu.conv2d(s, x.array(), w.array(), direct_y.array());
    cpu.conv2d_data(s, g.array(), w.array(), direct_dx.array());
    cpu.conv2d_weight(s, x.array(), g.array(), direct_dw.array());
    EXPECT_LE(relative_error(y.values(), direct_y.values()), 1e-2);
    EXPECT_LE(relative_error(dx.values(), direct_dx.values()), 1e-2);
    EXPECT_LE(relative_error(dw.values(), direct_dw.values()), 1e-4);
    EXPECT_TRUE(y.guard_intact() && dx.guard_intact() && dw.guard_intact());
  }
}

/// Different algorithms round differently, so different results show that forcing has an effect.
TEST(Conv, ForcingChangesTheAlgorithm) {
  const ConvShape s{2, 8, 8, 32, 32, 3, 3, 1, 1, 1, 1};
  Block x(random_values(s.in_size(), DType::f32, 1), DType::f32),
      w(random_values(s.weight_size(), DType::f32, 2), DType::f32);
  const auto forward = [&](CpuConv choice) {
    const test::WithChoices forced(cpu_backend(), {.cpu_conv = choice});
    Block y(s.out_size(), DType::f32);
    cpu_backend().conv2d(s, x.array(), w.array(), y.array());
    return y.values();
  };
  EXPECT_NE(forward(CpuConv::direct), forward(CpuConv::winograd));
}

TEST(Conv, WeightGradientOfNoImagesIsZero) {
  for (const CpuConv choice : {CpuConv::automatic, CpuConv::direct, CpuConv::winograd}) {
    const test::WithChoices forced(cpu_backend(), {.cpu_conv = choice});
    for (const ConvShape& s :
         {ConvShape{0, 8, 8, 32, 32, 3, 3, 1, 1, 1, 1}, ConvShape{0, 8, 8, 512, 512, 3, 3, 2, 1, 1, 1}})
      for (const DType type : {DType::f64, DType::f32, DType::bf16}) {
        Block none(0, type), dw(s.weight_size(), type == DType::bf16 ? DType::f32 : type);
        cpu_backend().conv2d_weight(s, none.array(), none.array(), dw.array());
        EXPECT_EQ(dw.values(), Values(static_cast<std::size_t>(s.weight_size()))) << name_of(type);
        EXPECT_TRUE(dw.guard_intact());
      }
  }
}

/// Larger than Winograd's chunks of tiles, in both of its modes. Checked by the closed triple and against the direct
/// algorithm.
TEST(Conv, WinogradInManyChunks) {
  for (const ConvShape& s :
       {ConvShape{24, 32, 30, 16, 32, 3, 3, 1, 1, 1, 1}, ConvShape{24, 31, 32, 64, 64, 3, 3, 1, 1, 1, 1},
        ConvShape{24, 16, 16, 160, 128, 3, 3, 1, 1, 1, 1}}) {
    const DType type = DType::f32;
    Block x(random_values(s.in_size(), type, 1), type), w(random_values(s.weight_size(), type, 2), type),
        g(random_values(s.out_size(), type, 3), type);
    const auto all = [&](CpuConv choice) {
      const test::WithChoices forced(cpu_backend(), {.cpu_conv = choice});
      Backend& cpu = cpu_backend();
      return std::vector<Values>{
          run_twice(s.out_size(), type, [&](Array out) { cpu.conv2d(s, x.array(), w.array(), out); }),
          run_twice(s.in_size(), type, [&](Array out) { cpu.conv2d_data(s, g.array(), w.array(), out); }),
          run_twice(s.weight_size(), type, [&](Array out) { cpu.conv2d_weight(s, x.array(), g.array(), out); })};
    };
    const auto expected = all(CpuConv::direct), actual = all(CpuConv::winograd);
    for (int pass = 0; pass < 3; ++pass)
      EXPECT_LE(relative_error(actual[pass], expected[pass]), 1e-5) << "pass " << pass;
    const double scale = std::sqrt(dot(g.values(), g.values()) * dot(actual[0], actual[0])),
                 form = dot(g.values(), actual[0]);
    EXPECT_LE(std::abs(form - dot(actual[1], x.values())) / scale, 1e-5);
    EXPECT_LE(std::abs(form - dot(actual[2], w.values())) / scale, 1e-5);
  }
}

Values naive_product(bool ta, bool tb, std::int64_t m, std::int64_t n, std::int64_t k, const Values& a, const Values& b,
                     const Values& bias) {
  Values out(static_cast<std::size_t>(m * n));
  for (std::int64_t i = 0; i < m; ++i)
    for (std::int64_t j = 0; j < n; ++j) {
      double sum = bias.empty() ? 0 : bias[j];
      for (std::int64_t p = 0; p < k; ++p) sum += a[ta ? p * m + i : i * k + p] * b[tb ? j * k + p : p * n + j];
      out[i * n + j] = sum;
    }
  return out;
}

TEST(Gemm, MatchesNaiveLoops) {
  const std::int64_t sizes[][3] = {{1, 1, 1},   {1, 7, 3},     {5, 1, 9},     {75, 3, 63},
                                   {17, 33, 1}, {33, 65, 129}, {64, 10, 300}, {130, 48, 96}};
  for (const DType type : {DType::f64, DType::f32, DType::bf16})
    for (const DType result : {type, master_of(type)})
      for (const auto& [m, n, k] : sizes)
        for (const int form : {0, 1, 2, 3})
          for (const bool with_bias : {false, true}) {
            const bool ta = form & 1, tb = form & 2;
            SCOPED_TRACE(join(name_of(type), " -> ", name_of(result), " ", m, "x", n, "x", k, ta ? " T" : " N",
                              tb ? "T" : "N", with_bias ? " bias" : ""));
            const Values va = random_values(m * k, type, 1), vb = random_values(k * n, type, 2),
                         vbias = with_bias ? random_values(n, type, 3) : Values{};
            Block a(va, type), b(vb, type), bias(vbias, type);
            const Values out = run_twice(m * n, result, [&, m = m, n = n, k = k](Array to) {
              cpu_backend().gemm(ta, tb, m, n, k, a.array(), b.array(), with_bias ? bias.array() : Array{}, to);
            });
            EXPECT_LE(relative_error(out, naive_product(ta, tb, m, n, k, va, vb, vbias)), tolerance(type));
          }
}

TEST(Gemm, EmptySumIsTheBias) {
  for (const DType type : {DType::f64, DType::f32, DType::bf16}) {
    Block a(0, type), b(0, type), bias({1, 2, 3}, type), out(6, type);
    cpu_backend().gemm(false, false, 2, 3, 0, a.array(), b.array(), bias.array(), out.array());
    EXPECT_EQ(out.values(), (Values{1, 2, 3, 1, 2, 3}));
  }
}

#ifndef VERGENCE_PLAIN_CPU
// Its temporary memory comes from us, so guard zones around it reveal writes elsewhere.
TEST(Convolution, OneDnnStaysWithinItsScratchMemory) {
  test::CheckedBackend pool(cpu_backend());
  for (const std::int64_t channels : {3, 8, 15, 16, 24})
    for (const std::int64_t side : {32, 48, 96})
      for (const std::int64_t kernel : {1, 3, 7})
        for (const std::int64_t stride : {1, 2})
          for (const ConvPass pass : {ConvPass::forward, ConvPass::data, ConvPass::weight}) {
            ConvShape s;
            s.batch = 2, s.in_height = s.in_width = side, s.in_channels = channels, s.out_channels = 8;
            s.kernel_height = s.kernel_width = kernel;
            s.stride = stride, s.padding = kernel / 2;
            Block x(Values(static_cast<std::size_t>(s.in_size()), 1), DType::f32);
            Block y(Values(static_cast<std::size_t>(s.out_size()), 1), DType::f32);
            Block w(Values(static_cast<std::size_t>(s.weight_size()), 1), DType::f32);
            Block out_x(s.in_size(), DType::f32), out_y(s.out_size(), DType::f32), out_w(s.weight_size(), DType::f32);
            const bool forward = pass == ConvPass::forward, data = pass == ConvPass::data;
            onednn_conv(s, pass, data ? y.array() : x.array(), pass == ConvPass::weight ? y.array() : w.array(),
                        forward ? out_y.array()
                        : data  ? out_x.array()
                                : out_w.array(),
                        pool);
            ASSERT_TRUE(pool.problems().empty())
                << pool.problems().front() << ": pass " << static_cast<int>(pass) << ", " << channels << " channels, "
                << side << " pixels, kernel " << kernel << ", stride " << stride;
          }
}
#endif

}  // namespace
}  // namespace vergence
