#include "kernels/conv_tuning.h"

#include <algorithm>
#include <chrono>
#include <mutex>

namespace vergence {

namespace {

struct Tuning {
  std::mutex mutex;
  bool on = false;
  ConvChoices choices;
};

Tuning& tuning() {
  static Tuning one;
  return one;
}

constexpr CpuConvAlgorithm algorithms[] = {CpuConvAlgorithm::direct, CpuConvAlgorithm::winograd,
                                           CpuConvAlgorithm::unfold};

const char* name_of(CpuConvAlgorithm algorithm) {
  switch (algorithm) {
    case CpuConvAlgorithm::direct:
      return "direct";
    case CpuConvAlgorithm::winograd:
      return "winograd";
    case CpuConvAlgorithm::unfold:
      return "unfold";
  }
  return "?";
}

std::string case_of(const ConvShape& s, ConvPass pass, DType type) {
  const char* pass_name = pass == ConvPass::forward ? "forward" : pass == ConvPass::data ? "data" : "weight";
  return join(s.batch, "x", s.in_height, "x", s.in_width, "x", s.in_channels, " -> ", s.out_channels, ", ",
              s.kernel_height, "x", s.kernel_width, "/", s.stride, "+", s.padding, "*", s.dilation, ", groups ",
              s.groups, ", ", pass_name, ", ", vergence::name_of(type));
}

/// Seconds of the fastest of three runs after a first one.
double seconds_of(const std::function<void(CpuConvAlgorithm)>& run, CpuConvAlgorithm algorithm) {
  using Clock = std::chrono::steady_clock;
  run(algorithm);
  double best = 1e30;
  for (int i = 0; i < 3; ++i) {
    const auto begin = Clock::now();
    run(algorithm);
    best = std::min(best, std::chrono::duration<double>(Clock::now() - begin).count());
  }
  return best;
}

}  // namespace

void start_conv_tuning(const ConvChoices& known) {
  const std::lock_guard lock(tuning().mutex);
  tuning().on = true;
  tuning().choices = known;
}

void stop_conv_tuning() {
  const std::lock_guard lock(tuning().mutex);
  tuning().on = false;
}

bool conv_tuning() {
  const std::lock_guard lock(tuning().mutex);
  return tuning().on;
}

ConvChoices conv_choices() {
  const std::lock_guard lock(tuning().mutex);
  return tuning().choices;
}

CpuConvAlgorithm tuned_cpu_conv(const ConvShape& shape, ConvPass pass, DType type,
                                const std::function<void(CpuConvAlgorithm)>& run) {
  const std::lock_guard lock(tuning().mutex);
  const std::string name = case_of(shape, pass, type);
  if (const auto known = tuning().choices.find(name); known != tuning().choices.end())
    for (CpuConvAlgorithm algorithm : algorithms)
      if (known->second == name_of(algorithm) && cpu_conv_applies(algorithm, shape, pass, type)) return algorithm;
  CpuConvAlgorithm best = CpuConvAlgorithm::direct;
  double least = 1e30;
  for (CpuConvAlgorithm algorithm : algorithms) {
    if (!cpu_conv_applies(algorithm, shape, pass, type)) continue;
    const double seconds = seconds_of(run, algorithm);
    if (seconds < least) least = seconds, best = algorithm;
  }
  tuning().choices[name] = name_of(best);
  return best;
}

}  // namespace vergence
