// `bench step`: times the training step of `pretrain` on views that are already in memory. The work is fixed, so other
// programs can be compared: batch statistics per view; SGD with learning rate 0.06, momentum 0.9, weight decay 5e-4; by
// default a ResNet of width 64 (3x3 stem below 96 pixels, ImageNet's from 96 on). Heads: SimCLR dim-2048-256 without
// batch norm, temperature 0.5; Barlow Twins three layers of --projector with batch norm in between, lambda 5e-3,
// unbiased deviations + 1e-5; BYOL and MetaMask (redundancy head of --projector) as in pretrain.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "engine/bilevel.h"
#include "ssl/objective.h"
#include "ssl/options/tool_options.h"

namespace vergence {

/// The forms of a meta-gradient, as `bench --meta` names them.
inline constexpr Word<SecondOrder> bench_meta_words[]{{"finite-difference", SecondOrder::finite_difference},
                                                      {"exact", SecondOrder::exact}};

struct BenchSettings {
  /// The options of pretrain that it uses: objective, encoder and its own options, batch (512), device, precision,
  /// cpu-conv, conv, weight-gradients, deterministic, tune, micro-batch, recompute, recompute-blocks and record. The
  /// others are ignored.
  GivenOptions run = of_512_images();
  std::int64_t image = 32, projector = 2048;
  std::int64_t steps = 10, warmup = 3;
  int threads = 0;                        // 0: OpenMP's choice
  SecondOrder meta = SecondOrder::exact;  // form of the meta-gradient, for objectives that have one
  bool fused = false;                     // MetaMask: takes its virtual step from the regular step's forward pass

 private:
  static GivenOptions of_512_images();
};

struct BenchResult {
  std::vector<double> step_ms;  // of the timed steps
  std::vector<double> losses;   // of every step, warm-up included
  /// The most memory taken from the device, by any step; on the CPU the peak resident set of this process.
  double peak_mib = 0;
  bool recorded = false;
};

/// Returns the views of step `step`, counted from 0.
using ViewSource = std::function<Views(std::int64_t step)>;

/// Returns the options with which `pretrain` runs the same steps. Throws UsageError for options of another encoder.
Options bench_options(const BenchSettings& settings);

/// The options' device, with what --tune sets. Throws UsageError if --tune conflicts with other options.
Backend& bench_device(const Options& options);

/// Runs warm-up and timed steps. Without `views`, every step uses `bench_views`.
BenchResult bench_step(const BenchSettings& settings, const ViewSource& views = {});

/// Returns one object: settings, step_ms (median), images_per_s (an image is a pair of views), step_ms_min,
/// step_ms_max, the last loss, peak_mib, mode (recorded or eager), and on a GPU the library or kernels that compute the
/// convolutions.
nlohmann::ordered_json bench_report(const BenchSettings& settings, const BenchResult& result);

/// Returns [2 batch, image, image, channels], normally distributed; the same seed gives the same values. In bf16,
/// channels must be 3: the same values, rounded, with zeros appended up to device_view_channels.
Views random_views(std::int64_t batch, std::int64_t image, std::uint64_t seed, Backend& backend,
                   DType type = DType::f32, std::int64_t channels = 3);

/// Returns random views of the type and channels that training uses on this device, and any extra images that the
/// objective asks for. Views made on the host, and views of other than 3 channels, are f32.
Views bench_views(const Options& options, const Objective& objective, Backend& device, std::int64_t channels = 3);

}  // namespace vergence
