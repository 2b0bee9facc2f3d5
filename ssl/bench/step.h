// `bench step`: times the very training step that `pretrain` runs, on views that are already there.
//
// The work is fixed so that it can be compared with other programs: a ResNet of width 64 (3x3 stem below 96 pixels,
// ImageNet's from there) or another encoder, statistics per view, SGD with learning rate 0.06, momentum 0.9 and weight
// decay 5e-4. Heads: SimCLR dim-2048-256 without batch norm, temperature 0.5; Barlow Twins three layers of --projector
// with batch norm in between, lambda 5e-3, unbiased deviations + 1e-5; BYOL and MetaMask as pretrain's defaults, with a
// redundancy head of --projector.
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

/// The forms of a meta-gradient, as `bench --meta` takes them.
inline constexpr Word<SecondOrder> bench_meta_words[]{{"finite-difference", SecondOrder::finite_difference},
                                                      {"exact", SecondOrder::exact}};

struct BenchSettings {
  /// Of pretrain's options: objective, encoder and what it brings, batch (512), device, precision, cpu-conv, conv,
  /// weight-gradients, deterministic, tune, recompute and capture. Others do not count.
  GivenOptions run = of_512_images();
  std::int64_t image = 32, projector = 2048;
  std::int64_t steps = 10, warmup = 3;
  int threads = 0;                        // 0: OpenMP's choice
  SecondOrder meta = SecondOrder::exact;  // form of a meta-gradient, for objectives that have one
  bool fused = false;                     // MetaMask: its virtual step from the regular step's forward pass

 private:
  static GivenOptions of_512_images();
};

struct BenchResult {
  std::vector<double> step_ms;  // timed steps
  std::vector<double> losses;   // of every step, warm-up included
  double peak_mib = 0;          // taken of the device's memory; on the CPU the largest resident set of this process
  bool recorded = false;
};

/// The views of step `step`, counted from 0.
using ViewSource = std::function<Views(std::int64_t step)>;

/// The options under which `pretrain` runs the same steps. Throws UsageError for those of another encoder.
Options bench_options(const BenchSettings& settings);

/// Runs warm-up and timed steps. Without `views` every step has `bench_views`.
BenchResult bench_step(const BenchSettings& settings, const ViewSource& views = {});

/// One object: settings, step_ms (median), images_per_s (an image is a pair of views), step_ms_min, step_ms_max, the
/// last loss, peak_mib, mode (recorded or eager), on a GPU what computes the convolutions.
nlohmann::ordered_json bench_report(const BenchSettings& settings, const BenchResult& result);

/// [2 batch, image, image, channels], normally distributed, the same for the same seed. In bf16 channels are 3, and the
/// same values, rounded, are followed by zeros up to device_view_channels (datasets/loading/device_source.h).
Views random_views(std::int64_t batch, std::int64_t image, std::uint64_t seed, Backend& backend,
                   DType type = DType::f32, std::int64_t channels = 3);

/// Random views of the type and channels that training on this device has (the host's, and those of other than 3
/// channels, are f32), with the further images that the objective asks for.
Views bench_views(const Options& options, const Objective& objective, Backend& device, std::int64_t channels = 3);

}  // namespace vergence
