// `--tune`: times the algorithms of a convolution where it first runs, instead of following the rule of
// kernels/cpu/conv/rules.h (or kernels/cuda/rules.h), and cuDNN's plans for it, and remembers the fastest. A choice can
// be saved and given back, so that a resumed run repeats it.
#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "kernels/conv_record.h"

namespace vergence {

/// Algorithm names by case: "128x32x32x64 -> 64, 3x3/1+1*1, groups 1, forward, f32" -> "winograd".
using ConvChoices = std::map<std::string, std::string>;

/// One way to compute a convolution. `run` computes it, waiting until it is done; it may be called often and must give
/// the same result every time.
struct ConvCandidate {
  std::string name;
  std::function<void()> run;
};

/// The choices of a device (KernelChoices::tuning). Several threads may ask at once.
class ConvTuning {
 public:
  explicit ConvTuning(ConvChoices known = {});

  /// Which of the candidates (at least one) to take: the remembered choice if it is among them; else all are run and
  /// timed, and the fastest is remembered. `of` tells it from other choices: text_of_conv, or a choice within one of
  /// them.
  std::size_t choose(const std::string& of, const std::vector<ConvCandidate>& candidates);
  /// All choices so far.
  ConvChoices choices() const;

 private:
  mutable std::mutex mutex_;
  ConvChoices choices_;
};

}  // namespace vergence
