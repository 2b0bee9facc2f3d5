// Times one row per operation and shape of a step, through the backend only.
#include "ssl/bench/ops.h"

#include <algorithm>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <omp.h>
#include <sstream>

#include "datasets/loading/device_source.h"
#include "kernels/clock.h"
#include "kernels/conv_record.h"
#include "ssl/bench/operands.h"
#include "ssl/options/table.h"
#include "ssl/steps/setup.h"

namespace vergence {
namespace {

enum class RowKind { convolution, product, pass };

using Call = std::function<void()>;

/// A group of identical calls.
struct Row {
  std::string name, shape;
  RowKind kind = RowKind::pass;
  double work = 0;                // FLOP of a call; bytes for a pass
  std::function<Call()> prepare;  // allocates, so only one row's tensors exist at a time
  std::int64_t calls = 0;
  double ms = 0;  // of one call
};

using Rows = std::vector<Row>;

struct Timing {
  double median = 0, least = 0;  // ms per call
};

/// Takes at least three measurements, for at least a fifth of a second in total. A device that runs ahead of the host
/// gets several calls at once, so that the wait for it does not count.
Timing time_of(Backend& backend, const Call& call) {
  int calls = 1;
  const auto once = [&] {
    const auto begin = Clock::now();
    for (int i = 0; i < calls; ++i) call();
    backend.synchronize();
    return 1e3 * seconds_since(begin) / calls;
  };
  once();
  if (backend.traits().beside_host) calls = std::clamp(static_cast<int>(2 / once()), 1, 100);
  std::vector<double> times;
  double total = 0;
  while (times.size() < 3 || (total < 200 && times.size() < 200)) total += calls * times.emplace_back(once());
  std::sort(times.begin(), times.end());
  return {times[times.size() / 2], times.front()};
}

/// Adds `row`, or adds its calls to an equal row.
void add_row(Rows& rows, Row row, std::int64_t calls = 1) {
  for (Row& there : rows)
    if (there.name == row.name && there.shape == row.shape) {
      there.calls += calls;
      return;
    }
  row.calls = calls;
  rows.push_back(std::move(row));
}

std::string text(const ConvShape& s) {
  return join(s.batch, "x", s.in_height, "x", s.in_width, "x", s.in_channels, " -> ", s.out_channels, ", ",
              s.kernel_height, "x", s.kernel_width, "/", s.stride);
}

/// A convolution layer of the step and the batch norm that follows it.
struct Layer {
  ConvShape conv;
  bool first = false, relu = false, add = false;
  Content input = Content::rectified;
};

/// The encoder's layers with their sizes for images of settings.image_size and `channels` channels.
std::vector<Layer> layers_of(const EncoderSettings& encoder, std::int64_t images, std::int64_t channels) {
  std::vector<Layer> layers;
  for (const LayerCost& layer : cost_of(encoder, images).layers) {
    layers.push_back(
        {layer.conv, layers.empty(), layer.relu, layer.add, layer.rectified ? Content::rectified : Content::normal});
  }
  layers.front().conv.in_channels = channels;
  if (channels > encoder.channels) layers.front().input = Content::padded;
  return layers;
}

/// Weights are f32, or with bf16 images the type that the device prefers; their gradient is f32.
void add_convolution(Rows& rows, Backend& backend, const Layer& layer, DType type) {
  const ConvShape s = layer.conv;
  const Content input = layer.input, weights = input == Content::padded ? input : Content::normal;
  const DType weight_type = type == DType::bf16 && backend.traits().bf16_weights ? type : DType::f32;
  const auto add = [&](const char* name, DType w_type, auto run) {
    add_row(rows, {name, text(s), RowKind::convolution, s.flops(), [=, &backend]() -> Call {
                     const Tensor x = random_operand(backend, s.in_size(), type, input),
                                  y = random_operand(backend, s.out_size(), type),
                                  w = random_operand(backend, s.weight_size(), w_type, weights);
                     return [=, &backend] { run(backend, x.array(), w.array(), y.array()); };
                   }});
  };
  add("conv2d", weight_type, [s](Backend& b, Array x, Array w, Array y) { b.conv2d(s, x, w, y); });
  if (!layer.first)
    add("conv2d_data", weight_type, [s](Backend& b, Array x, Array w, Array y) { b.conv2d_data(s, y, w, x); });
  add("conv2d_weight", DType::f32, [s](Backend& b, Array x, Array w, Array y) { b.conv2d_weight(s, x, y, w); });
}

/// Forward: reads x for the statistics, x again and the addend, writes y. Backward: reads g, x and the ReLU's mask
/// twice, writes gx and the addend's gradient. The mask is y, or on devices that prefer it one bit per element.
void add_norm(Rows& rows, Backend& backend, const Layer& layer, DType type) {
  const std::int64_t c = layer.conv.out_channels, size = layer.conv.out_size();
  const NormShape s{2, size / c / 2, c, layer.relu, true, 1e-5};
  const bool has_addend = layer.add, relu = layer.relu, bits = relu && backend.traits().relu_bits;
  const auto bytes = static_cast<double>(size * size_of(type));
  const std::string shape = join("2x", s.rows, "x", c, layer.add ? ", add" : "", layer.relu ? ", relu" : "");
  const auto add = [&](const char* name, double passes, auto run) {
    add_row(rows, {name, shape, RowKind::pass, bytes * passes, [=, &backend]() -> Call {
                     const auto normal = [&] { return random_operand(backend, size, type); };
                     const Tensor x = normal(), g = normal(), out = normal(), addend = has_addend ? normal() : Tensor{};
                     const Tensor y = random_operand(backend, size, type, relu ? Content::rectified : Content::normal);
                     const Tensor scale = random_operand(backend, c), shift = random_operand(backend, c);
                     const Tensor mean = random_operand(backend, 2 * c), rstd = full(backend, {2 * c}, 1);
                     const Tensor mask = bits ? random_bits(backend, (size + 7) / 8) : Tensor{};
                     return [=, &backend] { run(backend, x, y, g, out, addend, scale, shift, mean, rstd, mask); };
                   }});
  };
  using T = const Tensor&;
  add("batch_norm", 3 + layer.add, [s](Backend& b, T x, T y, T, T, T addend, T scale, T shift, T mean, T rstd, T mask) {
    b.batch_norm(s, {.x = x.array(),
                     .gamma = scale.array(),
                     .beta = shift.array(),
                     .add = addend.array(),
                     .mean = mean.array(),
                     .rstd = rstd.array(),
                     .y = y.array(),
                     .positive = mask.array()});
  });
  add("batch_norm_backward", 5 + layer.add + (bits ? 2.0 / 8 / static_cast<double>(size_of(type)) : 2.0 * layer.relu),
      [s](Backend& b, T x, T y, T g, T out, T addend, T scale, T shift, T mean, T rstd, T mask) {
        const Tensor gscale = empty_like(shift);
        b.batch_norm_backward(s, {.g = g.array(),
                                  .x = x.array(),
                                  .y = mask ? mask.array() : y.array(),
                                  .gamma = scale.array(),
                                  .mean = mean.array(),
                                  .rstd = rstd.array(),
                                  .gx = out.array(),
                                  .g_add = addend.array(),
                                  .ggamma = gscale.array(),
                                  .gbeta = shift.array()});
      });
  if (layer.add && !backend.traits().adds_convolutions)  // adds the cotangents where a block's two paths meet
    add("add", 3, [size](Backend& b, T x, T y, T g, T, T, T, T, T, T, T) {
      b.map(Map::add, 1, size, {x.array()}, {g.array()}, 1, 1, y.array());
    });
}

void add_head(Rows& rows, Backend& backend, std::int64_t n, const std::vector<std::int64_t>& sizes, bool norm) {
  for (std::size_t i = 0; i + 1 < sizes.size(); ++i) {
    const std::int64_t in = sizes[i], out = sizes[i + 1];
    const auto add = [&](const char* name, auto run) {
      add_row(rows, {name, join(n, "x", in, " -> ", out), RowKind::product, 2.0 * static_cast<double>(n * in * out),
                     [=, &backend]() -> Call {
                       const Tensor x = random_operand(backend, n * in, DType::f32, Content::rectified),
                                    w = random_operand(backend, in * out), y = random_operand(backend, n * out);
                       return [=, &backend] { run(backend, x.array(), w.array(), y.array()); };
                     }});
    };
    add("linear", [=](Backend& b, Array x, Array w, Array y) { b.gemm(false, true, n, out, in, x, w, {}, y); });
    add("linear, data", [=](Backend& b, Array x, Array w, Array y) { b.gemm(false, false, n, in, out, y, w, {}, x); });
    add("linear, weight", [=](Backend& b, Array x, Array w, Array y) { b.gemm(true, false, out, in, n, y, x, {}, w); });
    const bool last = i + 2 == sizes.size();
    if (norm && !last) add_norm(rows, backend, {{n, 1, 1, out, out}, false, true, false}, DType::f32);
  }
}

void add_optimizer(Rows& rows, Backend& backend, std::int64_t parameters) {
  const auto bytes = static_cast<double>(parameters) * sizeof(float);
  const auto add = [&](const char* name, double passes, auto run) {
    add_row(rows, {name, join(parameters), RowKind::pass, passes * bytes, [=, &backend]() -> Call {
                     const Tensor g = random_operand(backend, parameters), p = random_operand(backend, parameters),
                                  m = random_operand(backend, parameters);
                     return [=, &backend] { run(backend, g.array(), p.array(), m.array()); };
                   }});
  };
  add("gather gradients", 2,
      [=](Backend& b, Array g, Array, Array m) { b.map(Map::copy, 1, parameters, {g}, {}, 1, 0, m); });
  add("sgd", 5, [=](Backend& b, Array g, Array p, Array m) {
    static const Tensor lr = from_values(b, {1}, {1e-9});
    b.sgd({0.9, 5e-4}, {{0, parameters, true}}, lr.array(), g, p, m);
  });
}

Rows bench_rows(const BenchSettings& settings, Backend& backend) {
  const Options options = bench_options(settings);
  const DType type = activations_of(options, backend);
  const EncoderSettings encoder = encoder_settings(options, settings.image);
  const std::int64_t n = 2 * options.batch, dim = encoder.dim();
  Rows rows;
  const std::vector<Layer> layers =
      layers_of(encoder, n, backend.traits().makes_views ? device_view_channels(type) : 3);
  for (const Layer& layer : layers) add_convolution(rows, backend, layer, type);
  for (const Layer& layer : layers) add_norm(rows, backend, layer, type);
  if (options.objective == "barlow_twins")
    add_head(rows, backend, n, {dim, settings.projector, settings.projector, settings.projector}, true);
  else
    add_head(rows, backend, n, {dim, 2048, 256}, false);
  add_optimizer(rows, backend,
                make_objective(objective_setup(options, settings.image, backend))->cost(options.batch).parameters);
  return rows;
}

/// Bytes read and written per second by one large copy; the best of several.
double copy_bandwidth(Backend& backend) {
  const std::int64_t size = std::int64_t{1} << 26;  // 256 MiB, beyond any cache
  const Tensor a = random_operand(backend, size), b = random_operand(backend, size);
  const double ms = time_of(backend, [&] { backend.map(Map::copy, 1, size, {a.array()}, {}, 1, 0, b.array()); }).least;
  return 2.0 * sizeof(float) * static_cast<double>(size) / (ms * 1e-3);
}

/// FLOP per second of the best of a few square matrix products. Small products leave a GPU's multiprocessors idle.
double best_product(Backend& backend, DType type) {
  double best = 0;
  for (const std::int64_t n : backend.traits().wide ? std::vector{2048, 4096, 8192} : std::vector{512, 1024, 2048}) {
    const Tensor a = random_operand(backend, n * n, type), b = random_operand(backend, n * n, type),
                 c = empty(backend, {n * n}, type);
    const double ms =
        time_of(backend, [&] { backend.gemm(false, false, n, n, n, a.array(), b.array(), {}, c.array()); }).least;
    best = std::max(best, 2.0 * static_cast<double>(n * n * n) / (ms * 1e-3));
  }
  return best;
}

void print_row(std::ostream& out, const Row& row, double ceiling) {
  char line[200];
  const double speed = row.work / (row.ms * 1e-3);
  std::snprintf(line, sizeof line, "%-22s %-34s %3lld %9.3f %9.2f %9.1f %-7s %5.2f\n", row.name.c_str(),
                row.shape.c_str(), static_cast<long long>(row.calls), row.ms, row.ms * static_cast<double>(row.calls),
                speed / 1e9, row.kind == RowKind::pass ? "GB/s" : "GFLOP/s", speed / ceiling);
  out << line;
}

}  // namespace

std::string bench_ops(const BenchSettings& settings) {
  if (settings.threads > 0) omp_set_num_threads(settings.threads);
  const Options options = bench_options(settings);
  require_usage(options.objective == "simclr" || options.objective == "barlow_twins", "bench ops: --objective: '",
                options.objective, "' has operations that are not listed, expected simclr or barlow_twins");
  for (const auto& [option, given] : {std::pair{"--micro-batch", options.micro_batch > 0},
                                      {"--recompute", options.recompute},
                                      {"--recompute-blocks", options.recompute_blocks}})
    require_usage(!given, "bench ops: ", option,
                  ": only the operations of a step without it can be listed: leave it out");
  Backend& device = bench_device(options);
  const double product = best_product(device, activations_of(options, device)), bandwidth = copy_bandwidth(device);
  std::ostringstream out;
  char line[200];
  std::snprintf(line, sizeof line, "%s, %d threads, %s: copying %.1f GB/s, best matrix product %.1f GFLOP/s\n\n",
                device.name(), omp_get_max_threads(), option_text(options, "precision").c_str(), bandwidth / 1e9,
                product / 1e9);
  out << line;
  std::snprintf(line, sizeof line, "%-22s %-34s %3s %9s %9s %9s %-7s %5s\n", "operation", "shape", "n", "ms", "all ms",
                "speed", "", "share");
  out << line;
  std::map<RowKind, double> total;
  double passes_floor = 0;
  {
    Rows rows = bench_rows(settings, device);
    for (Row& row : rows) {
      row.ms = time_of(device, row.prepare()).median;
      print_row(out, row, row.kind == RowKind::pass ? bandwidth : product);
      total[row.kind] += row.ms * static_cast<double>(row.calls);
      if (row.kind == RowKind::pass) passes_floor += row.work * static_cast<double>(row.calls) / bandwidth * 1e3;
    }
  }
  const double step = bench_report(settings, bench_step(settings))["step_ms"];
  const double floor = total[RowKind::convolution] + total[RowKind::product] + passes_floor;
  std::snprintf(line, sizeof line,
                "\nconvolutions %.1f ms, matrix products %.1f ms, other passes %.1f ms (%.1f ms at copying speed)\n"
                "floor %.1f ms, step %.1f ms: %.2f of it\n",
                total[RowKind::convolution], total[RowKind::product], total[RowKind::pass], passes_floor, floor, step,
                floor / step);
  out << line;
  if (const std::string kernels = convs_in_full(); !kernels.empty()) out << "\nconvolutions, by\n" << kernels;
  return out.str();
}

}  // namespace vergence
