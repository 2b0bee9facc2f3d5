// Tests the CPU kernels singly against plain loops in double: every function, type and repeat, odd sizes, poisoned and
// guarded outputs, the same bits twice. Batch norm has its own file, kernels_norm_test.cpp.
#include <algorithm>
#include <numeric>
#include <thread>

#include "tests/support/kernel_check.h"

namespace vergence {
namespace {

const std::pair<std::int64_t, std::int64_t> grids[] = {{1, 1}, {3, 17}, {17, 1}, {1, 1003}, {65, 64}, {1029, 65}};

TEST(Elementwise, EveryFunctionTypeAndRepeat) {
  struct Case {
    Map op;
    bool binary;
    double low;
    std::function<double(double, double)> f;
  };
  const double alpha = 0.5, beta = -0.25;
  const std::vector<Case> cases = {{Map::copy, false, -2, [](double a, double) { return a; }},
                                   {Map::affine, false, -2, [=](double a, double) { return alpha * a + beta; }},
                                   {Map::add, true, -2, [=](double a, double b) { return alpha * a + beta * b; }},
                                   {Map::mul, true, -2, [](double a, double b) { return a * b; }},
                                   {Map::div, true, 0.5, [](double a, double b) { return a / b; }},
                                   {Map::relu, false, -2, [](double a, double) { return std::max(a, 0.0); }},
                                   {Map::relu_mask, true, -2, [](double a, double b) { return b > 0 ? a : 0; }},
                                   {Map::sigmoid, false, -2, [](double a, double) { return 1 / (1 + std::exp(-a)); }},
                                   {Map::tanh, false, -2, [](double a, double) { return std::tanh(a); }},
                                   {Map::exp, false, -2, [](double a, double) { return std::exp(a); }},
                                   {Map::log, false, 0.5, [](double a, double) { return std::log(a); }},
                                   {Map::sqrt, false, 0.5, [](double a, double) { return std::sqrt(a); }},
                                   {Map::reciprocal, false, 0.5, [](double a, double) { return 1 / a; }},
                                   {Map::abs, false, -2, [](double a, double) { return std::abs(a); }},
                                   {Map::sign, false, -2, [](double a, double) { return a > 0   ? 1
                                                                                        : a < 0 ? -1
                                                                                                : 0; }},
                                   {Map::clamp_min, false, -2, [=](double a, double) { return std::max(a, alpha); }},
                                   {Map::greater, false, -2, [=](double a, double) { return a > alpha ? 1 : 0; }}};
  const Repeat repeats[] = {Repeat::none, Repeat::over_rows, Repeat::over_cols, Repeat::everywhere};
  const auto at = [](Repeat r, std::int64_t i, std::int64_t cols) {
    return count(r == Repeat::none ? i : r == Repeat::over_rows ? i % cols : r == Repeat::over_cols ? i / cols : 0);
  };
  for (DType type : float_types)
    for (const auto& [rows, cols] : grids)
      for (const Case& c : cases)
        for (Repeat ra : repeats)
          for (Repeat rb : repeats) {
            if (!c.binary && rb != Repeat::none) continue;
            const Values a = draw(type, rows * cols, c.low, 2), b = draw(type, rows * cols, c.low, 2, 2);
            Values expected(count(rows * cols));
            for (std::int64_t i = 0; i < rows * cols; ++i)
              expected[count(i)] = c.f(a[at(ra, i, cols)], b[at(rb, i, cols)]);
            const Block block_a(type, a), block_b(type, b);
            check(join("map ", static_cast<int>(c.op)), type, {{type, expected}},
                  [&, rows = rows, cols = cols](const auto& out) {
                    cpu_backend().map(c.op, rows, cols, {block_a, ra}, c.binary ? Operand{block_b, rb} : Operand{},
                                      alpha, beta, out[0]);
                  });
          }
}

TEST(Elementwise, ConversionFillAndMask) {
  const DType all[] = {DType::f64, DType::f32, DType::bf16, DType::i32, DType::u8};
  const Values small = draw(DType::u8, 1003, 0, 200);
  for (DType from : all)
    for (DType to : all) {
      const Block source(from, small);
      check("copy", DType::bf16, {{to, Block(to, source.values()).values()}}, [&](const auto& out) {
        cpu_backend().map(Map::copy, 17, 59, {source, {}}, {}, 1, 0, out[0]);
      });
      check("fill", DType::f64, {{to, Values(77, 3.0)}}, [&](const auto& out) { cpu_backend().fill(out[0], 3); });
    }
  const Block special(DType::f32, Values{nan_value, -INFINITY, 1e-40, 3.4e38});
  check("to bf16", DType::bf16, {{DType::bf16, {nan_value, -INFINITY, 1e-40, INFINITY}}}, [&](const auto& out) {
    cpu_backend().map(Map::copy, 1, 4, {special, {}}, {}, 1, 0, out[0]);
  });
  check("relu keeps NaN", DType::f32, {{DType::f32, {nan_value, 0, 1e-40, 3.4e38}}}, [&](const auto& out) {
    cpu_backend().map(Map::relu, 1, 4, {special, {}}, {}, 1, 0, out[0]);
  });
  for (DType type : float_types)
    for (const auto& [rows, cols] : grids) {
      const Values g = draw(type, rows * cols), x = draw(type, rows * cols, -1, 1, 2), m = draw(type, cols, 0, 1, 3);
      Values gx(g.size()), gm(count(cols));
      for (std::size_t i = 0; i < g.size(); ++i) gx[i] = g[i] * m[i % m.size()], gm[i % m.size()] += g[i] * x[i];
      const Block bg(type, g), bx(type, x), bm(type, m);
      check("mask_backward", type, {{type, gx}, {type, gm}}, [&, r = rows, c = cols](const auto& out) {
        cpu_backend().mask_backward(r, c, bg, bx, bm, out[0], out[1]);
      });
    }
}

TEST(Reduce, SumDotMax) {
  for (DType type : float_types)
    for (const auto& [rows, cols] : grids)
      for (Along along : {Along::rows, Along::cols})
        for (Reduce op : {Reduce::sum, Reduce::dot, Reduce::max}) {
          const Values a = draw(type, rows * cols, -1, 2), b = draw(type, rows * cols, 0, 1, 2);
          Values expected(count(along == Along::rows ? cols : rows), op == Reduce::max ? -INFINITY : 0.0);
          for (std::int64_t i = 0; i < rows * cols; ++i) {
            double& to = expected[count(along == Along::rows ? i % cols : i / cols)];
            const double v = a[count(i)];
            to = op == Reduce::max ? std::max(to, v) : to + (op == Reduce::dot ? v * b[count(i)] : v);
          }
          const Block ba(type, a), bb(type, b);
          check("reduce", type, {{type, expected}}, [&, r = rows, c = cols](const auto& out) {
            cpu_backend().reduce(op, along, r, c, ba, op == Reduce::dot ? ConstArray(bb) : ConstArray(), out[0]);
          });
        }
  const Block with_nan(DType::f32, Values{1, nan_value, 3, 4});
  check("max of NaN", DType::f32, {{DType::f32, {nan_value, 4}}},
        [&](const auto& out) { cpu_backend().reduce(Reduce::max, Along::cols, 2, 2, with_nan, {}, out[0]); });
}

TEST(Reduce, LongSumsAreAccurate) {
  const std::int64_t rows = 131072, cols = 7;
  const Values a = draw(DType::f32, rows * cols, 0.1, 0.2);
  Values columns(count(cols));
  for (std::size_t i = 0; i < a.size(); ++i) columns[i % count(cols)] += a[i];
  const Block block(DType::f32, a), by_rows(DType::f32, cols), all(DType::f32, 1);
  cpu_backend().reduce(Reduce::sum, Along::rows, rows, cols, block, {}, by_rows);
  cpu_backend().reduce(Reduce::sum, Along::cols, 1, rows * cols, block, {}, all);
  EXPECT_LT(error_of(by_rows.values(), columns), 1e-7);
  EXPECT_LT(error_of(all.values(), {std::accumulate(columns.begin(), columns.end(), 0.0)}), 1e-7);
}

TEST(Move, EveryType) {
  for (DType type : {DType::f64, DType::f32, DType::bf16, DType::i32, DType::u8}) {
    const std::int64_t batch = 3, rows = 35, cols = 17;
    const Values x = draw(type, batch * rows * cols, 0, 100);
    const Block in(type, x);
    Values turned(x.size());
    for (std::int64_t i = 0; i < batch * rows * cols; ++i) {
      const std::int64_t n = i / (rows * cols), r = i / cols % rows, c = i % cols;
      turned[count((n * cols + c) * rows + r)] = x[count(i)];
    }
    check("transpose", type, {{type, turned}},
          [&](const auto& out) { cpu_backend().transpose(batch, rows, cols, in, out[0]); });
    Values block(5 * 20, 9);
    for (std::size_t r = 0; r < 5; ++r)
      for (std::size_t c = 0; c < 6; ++c) block[r * 20 + 3 + c] = x[r * 17 + 4 + c];
    check("copy_block", type, {{type, block}}, [&](const auto& out) {
      cpu_backend().fill(out[0], 9);
      cpu_backend().copy_block(5, 6, in, cols, 4, out[0], 20, 3);
    });
    const Block index(DType::i32, Values{7, 0, 104, 7});
    Values gathered, picked, unpicked(4 * 8);
    const Block entry(DType::i32, Values{3, 0, 7, 3});
    for (std::int64_t i = 0; i < 4; ++i) {
      for (std::int64_t c = 0; c < cols; ++c) gathered.push_back(x[count(std::int64_t(index.get(i)) * cols + c)]);
      picked.push_back(x[count(i * 8 + std::int64_t(entry.get(i)))]);
      unpicked[count(i * 8 + std::int64_t(entry.get(i)))] = x[count(i)];
    }
    const Block few(type, Values(x.begin(), x.begin() + 32)), four(type, Values(x.begin(), x.begin() + 4));
    check("gather_rows", type, {{type, gathered}},
          [&](const auto& out) { cpu_backend().gather_rows(cols, in, index, out[0]); });
    check("take_along_row", type, {{type, picked}},
          [&](const auto& out) { cpu_backend().take_along_row(8, few, entry, out[0]); });
    check("scatter_along_row", type, {{type, unpicked}},
          [&](const auto& out) { cpu_backend().scatter_along_row(8, four, entry, out[0]); });
    if (!is_float(type)) continue;
    const Values ids = draw(DType::i32, batch * rows, 0, 9);
    const Block targets(DType::i32, ids);
    Values sums(count(11 * cols));
    for (std::int64_t i = 0; i < batch * rows * cols; ++i)
      sums[count(std::int64_t(ids[count(i / cols)]) * cols + i % cols)] += x[count(i)];
    check("scatter_rows", type, {{type, sums}},
          [&](const auto& out) { cpu_backend().scatter_rows(cols, in, targets, out[0]); });
  }
}

TEST(Move, BadIndicesAreNamed) {
  const Block x(DType::f32, Values(12, 1)), out(DType::f32, 12);
  for (double bad : {-1.0, 4.0}) {
    const Block index(DType::i32, Values{0, bad});
    const auto expect_named = [&](const char* op, const std::function<void()>& run) {
      try {
        run();
        ADD_FAILURE() << op << " took index " << bad;
      } catch (const Error& e) {
        EXPECT_NE(std::string(e.what()).find(join(op, ": index ", bad, " at position 1 is not in [0, 4)")),
                  std::string::npos)
            << e.what();
      }
    };
    const Array two{Array(out).data, 2, DType::f32};
    expect_named("gather_rows", [&] { cpu_backend().gather_rows(3, x, index, out); });
    expect_named("scatter_rows", [&] { cpu_backend().scatter_rows(3, two, index, out); });
    expect_named("take_along_row", [&] { cpu_backend().take_along_row(4, x, index, two); });
    expect_named("scatter_along_row", [&] { cpu_backend().scatter_along_row(4, two, index, out); });
  }
}

TEST(Rows, SoftmaxAndL2) {
  for (DType type : float_types)
    for (const auto& [rows, cols] : grids) {
      const DType master = master_of(type);
      const Values x = draw(type, rows * cols, -3, 3), g = draw(type, rows * cols, -1, 1, 2);
      Values y(x.size()), u(x.size()), norms(count(rows));
      const double epsilon = 0.7;  // large, so that some short rows are clamped
      for (std::size_t r = 0, n = count(cols); r < count(rows); ++r) {
        double sum = 0, squares = 0;
        for (std::size_t i = r * n; i < (r + 1) * n; ++i) sum += std::exp(x[i]), squares += x[i] * x[i];
        norms[r] = std::max(std::sqrt(squares), epsilon);
        for (std::size_t i = r * n; i < (r + 1) * n; ++i) y[i] = x[i] - std::log(sum), u[i] = x[i] / norms[r];
      }
      const Values y_seen = Block(type, y).values(), u_seen = Block(type, u).values(),
                   n_seen = Block(master, norms).values();
      Values softmax_gx(x.size()), l2_gx(x.size());
      for (std::size_t r = 0, n = count(cols); r < count(rows); ++r) {
        double sum = 0, dot = 0;
        for (std::size_t i = r * n; i < (r + 1) * n; ++i) sum += g[i], dot += g[i] * u_seen[i];
        for (std::size_t i = r * n; i < (r + 1) * n; ++i) {
          softmax_gx[i] = g[i] - std::exp(y_seen[i]) * sum;
          l2_gx[i] = norms[r] == epsilon ? g[i] / epsilon : (g[i] - u_seen[i] * dot) / n_seen[r];
        }
      }
      const std::int64_t R = rows, C = cols;
      const Block bx(type, x), bg(type, g), by(type, y), bu(type, u), bn(master, norms);
      if (cols == 1) y.assign(y.size(), 0.0);  // exactly
      check("log_softmax", type, {{type, y}}, [&](const auto& out) { cpu_backend().log_softmax(R, C, bx, out[0]); });
      if (cols > 1) {  // gradients of one-column rows are zero, so there is no relative error
        check("log_softmax_backward", type, {{type, softmax_gx}},
              [&](const auto& out) { cpu_backend().log_softmax_backward(R, C, bg, by, out[0]); });
        check("l2_normalize_backward", type, {{type, l2_gx}},
              [&](const auto& out) { cpu_backend().l2_normalize_backward(R, C, epsilon, bg, bu, bn, out[0]); });
      }
      check("l2_normalize", type, {{type, u}, {master, norms}},
            [&](const auto& out) { cpu_backend().l2_normalize(R, C, epsilon, bx, out[0], out[1]); });
    }
  const Block far(DType::f32, Values{1000, 1001, -1e30, -INFINITY});
  const double low = -std::log1p(std::exp(1.0));
  check("log_softmax of large values", DType::f32, {{DType::f32, {low, 1 + low, -1e30, -INFINITY}}},
        [&](const auto& out) { cpu_backend().log_softmax(1, 4, far, out[0]); });
}

TEST(Pool, MaxAndAverage) {
  const PoolShape shapes[] = {{2, 7, 5, 3, 3, 3, 2, 1},
                              {1, 4, 4, 17, 2, 2, 2, 0},
                              {3, 4, 4, 65, 4, 4, 4, 0},
                              {1, 1, 1, 1, 1, 1, 1, 0},
                              {2, 9, 8, 5, 2, 3, 1, 1}};
  for (DType type : float_types)
    for (const PoolShape& s : shapes) {
      const std::int64_t in_size = s.batch * s.in_height * s.in_width * s.channels,
                         cells = s.out_height() * s.out_width();
      const std::int64_t out_size = s.batch * cells * s.channels;
      Values x = draw(type, in_size);
      for (double& v : x) v = std::round(v * 4) / 4;  // ties
      if (in_size > 1) x[1] = nan_value;
      const Values g = draw(type, out_size, -1, 1, 2);
      Values y(count(out_size)), index(y.size()), gathered(y.size()), mean(y.size()), scattered(x.size()),
          spread(x.size());
      const Values plain = draw(type, in_size, -1, 1, 3);
      for (std::int64_t o = 0; o < out_size; ++o) {
        const std::int64_t c = o % s.channels, ow = o / s.channels % s.out_width(),
                           oh = o / s.channels / s.out_width() % s.out_height();
        const std::int64_t n = o / s.channels / cells;
        double best = nan_value, sum = 0;
        std::int64_t winner = -1;
        std::vector<std::size_t> inside;
        for (std::int64_t h = oh * s.stride - s.padding; h < oh * s.stride - s.padding + s.kernel_height; ++h)
          for (std::int64_t w = ow * s.stride - s.padding; w < ow * s.stride - s.padding + s.kernel_width; ++w) {
            if (h < 0 || w < 0 || h >= s.in_height || w >= s.in_width) continue;
            const std::size_t at = count(((n * s.in_height + h) * s.in_width + w) * s.channels + c);
            inside.push_back(at);
            sum += plain[at];
            if (winner < 0 || x[at] > best || std::isnan(x[at])) best = x[at], winner = h * s.in_width + w;
          }
        const std::size_t won = count((n * s.in_height * s.in_width + winner) * s.channels + c);
        y[count(o)] = best, index[count(o)] = static_cast<double>(winner), gathered[count(o)] = plain[won];
        mean[count(o)] = sum / static_cast<double>(inside.size());
        scattered[won] += g[count(o)];
        for (std::size_t at : inside) spread[at] += g[count(o)] / static_cast<double>(inside.size());
      }
      const Block bx(type, x), bp(type, plain), bg(type, g), bi(DType::i32, index);
      check("max_pool", type, {{type, y}, {DType::i32, index}},
            [&](const auto& out) { cpu_backend().max_pool(s, bx, out[0], out[1]); });
      check("max_pool_gather", type, {{type, gathered}},
            [&](const auto& out) { cpu_backend().max_pool_gather(s, bp, bi, out[0]); });
      check("max_pool_scatter", type, {{type, scattered}},
            [&](const auto& out) { cpu_backend().max_pool_scatter(s, bg, bi, out[0]); });
      check("average_pool", type, {{type, mean}}, [&](const auto& out) { cpu_backend().average_pool(s, bp, out[0]); });
      check("average_pool_backward", type, {{type, spread}},
            [&](const auto& out) { cpu_backend().average_pool_backward(s, bg, out[0]); });
    }
}

TEST(Optimizers, ThreeStepsAgainstPlainLoops) {
  const std::vector<Segment> segments = {{0, 1003, true}, {1010, 17, false}, {1030, 5, true}, {1040, 40000, true}};
  const std::int64_t size = 41040;
  enum class OptimizerCase { sgd, nesterov, plain_sgd, lars, lars_clip, lars_joint, adam, adamw };
  for (DType type : {DType::f64, DType::f32})
    for (int k = 0; k <= static_cast<int>(OptimizerCase::adamw); ++k) {
      const OptimizerCase kind = static_cast<OptimizerCase>(k);
      Values p = draw(type, size);
      for (std::size_t i = 1030; i < 1035; ++i) p[i] = 0;  // zero norm: neither decay nor trust ratio
      Block bp(type, p), b1(type, Values(p.size(), 0)), b2(type, Values(p.size(), 0));
      Values v(p.size()), w(p.size());
      const double lr = 0.1, wd = 0.01, mu = kind == OptimizerCase::plain_sgd ? 0 : 0.9, eta = 0.02, eps = 1e-8;
      for (int step = 1; step <= 3; ++step) {
        const Values g = draw(type, size, -1, 1, count(step + 10));
        const Block bg(type, g);
        for (const Segment& s : segments) {
          double pp = 0, gg = 0, both = 0;
          for (std::size_t i = count(s.offset); i < count(s.offset + s.size); ++i)
            pp += p[i] * p[i], gg += g[i] * g[i], both += (g[i] + wd * p[i]) * (g[i] + wd * p[i]);
          const bool is_lars = kind >= OptimizerCase::lars && kind <= OptimizerCase::lars_joint,
                     adapted = s.adapt && pp > 0;
          double ratio = 1;
          if (is_lars && adapted)
            ratio = eta * std::sqrt(pp) /
                    (kind == OptimizerCase::lars_joint ? std::sqrt(both) : std::sqrt(gg) + wd * std::sqrt(pp) + eps);
          if (kind == OptimizerCase::lars_clip && adapted) ratio = std::min(ratio / lr, 1.0);
          for (std::size_t i = count(s.offset); i < count(s.offset + s.size); ++i) {
            const double d = ratio * (g[i] + ((is_lars && !adapted) || kind == OptimizerCase::adamw ? 0 : wd) * p[i]);
            if (kind >= OptimizerCase::adam) {
              if (kind == OptimizerCase::adamw) p[i] *= 1 - lr * wd;
              v[i] = 0.9 * v[i] + 0.1 * d, w[i] = 0.999 * w[i] + 0.001 * d * d;
              p[i] -= lr * v[i] / (1 - std::pow(0.9, step)) / (std::sqrt(w[i] / (1 - std::pow(0.999, step))) + eps);
            } else {
              v[i] = mu * v[i] + d;
              p[i] -= lr * (kind == OptimizerCase::nesterov ? d + mu * v[i] : v[i]);
            }
          }
        }
        Backend& cpu = cpu_backend();
        const Block scalars(DType::f64, {lr, 1 - std::pow(0.9, step), 1 - std::pow(0.999, step)});
        if (kind <= OptimizerCase::plain_sgd)
          cpu.sgd({mu, wd, kind == OptimizerCase::nesterov}, segments, scalars, bg, bp, mu == 0 ? Array{} : Array(b1));
        else if (kind < OptimizerCase::adam)
          cpu.lars({mu, wd, eta, eps, kind == OptimizerCase::lars_clip, kind == OptimizerCase::lars_joint}, segments,
                   scalars, bg, bp, b1);
        else
          cpu.adam({0.9, 0.999, eps, wd, kind == OptimizerCase::adamw}, segments, scalars, bg, bp, b1, b2);
      }
      EXPECT_LT(error_of(bp.values(), p), tolerance(type)) << "optimizer " << k << ' ' << name_of(type);
      EXPECT_EQ(bp.get(1005), draw(type, size)[1005]) << "changed what belongs to no segment";
    }
}

TEST(Memory, AlignedReusedAndCounted) {
  Backend& cpu = cpu_backend();
  const MemoryUse before = cpu.memory();
  cpu.reset_peak();
  std::vector<std::pair<void*, std::int64_t>> blocks;
  for (std::int64_t bytes : {0, 1, 63, 64, 65, 1000, 70001, 262143, 262144, 300001, 5000001, 40000000}) {
    blocks.emplace_back(cpu.allocate(bytes), bytes);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(blocks.back().first) % 64, 0u);
    std::memset(blocks.back().first, static_cast<int>(blocks.size()), count(bytes));
  }
  for (std::size_t i = 0; i < blocks.size(); ++i)
    for (std::int64_t b = 0; b < blocks[i].second; b += 61)
      ASSERT_EQ(static_cast<unsigned char*>(blocks[i].first)[b], i + 1);
  std::int64_t asked = 0;
  for (const auto& [block, bytes] : blocks) asked += bytes;
  const MemoryUse full = cpu.memory();
  EXPECT_GE(full.used - before.used, asked);
  EXPECT_LE(full.used - before.used, asked + asked / 8 + 64 * 12);
  for (const auto& [block, bytes] : blocks) cpu.release(block, bytes);
  EXPECT_EQ(cpu.memory().used, before.used);
  EXPECT_EQ(cpu.memory().peak, full.used);
  for (int round = 0; round < 20; ++round) {  // a "training step" that needs no more than before reserves nothing
    void *a = cpu.allocate(30000000), *b = cpu.allocate(10000000);
    cpu.release(a, 30000000);
    a = cpu.allocate(15000000);
    cpu.release(b, 10000000);
    cpu.release(a, 15000000);
  }
  EXPECT_LE(cpu.memory().reserved, full.reserved);  // less if the system reserves no address range
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&cpu] {
      for (std::int64_t i = 1; i < 2000; ++i) cpu.release(cpu.allocate(i * 331), i * 331);
    });
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(cpu.memory().used, before.used);
  EXPECT_STREQ(backend("auto").name(), backends().back()->name());
  EXPECT_STREQ(backend("cpu").name(), "cpu");
  EXPECT_THROW(backend("abacus"), UsageError);
}

TEST(Device, EveryOneIsAmongTheWordsOfItsOption) {
  const std::vector<std::string> words = device_words();
  EXPECT_EQ(words.front(), "auto");
  for (const Backend* device : backends())
    EXPECT_EQ(std::count(words.begin(), words.end(), device->name()), 1) << device->name();
}

}  // namespace
}  // namespace vergence
