// `--tune`: times the algorithms of a convolution, and cuDNN's plans for it, when it first runs, and remembers the
// fastest instead of following the rule of kernels/cpu/conv/rules.h (or kernels/cuda/rules.h). Choices can be saved and
// restored, so that a resumed run repeats them.
#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "kernels/conv_record.h"

namespace vergence {

/// The chosen algorithm by case: "128x32x32x64 -> 64, 3x3/1+1*1, groups 1, forward, f32" -> "winograd".
using ConvChoices = std::map<std::string, std::string>;

/// One way to compute a convolution. `run` computes it and waits for the result; it may be called often and must always
/// give the same result.
struct ConvCandidate {
  std::string name;
  std::function<void()> run;
};

/// The choices of one device (KernelChoices::tuning). Thread-safe.
class ConvTuning {
 public:
  explicit ConvTuning(ConvChoices known = {});

  /// Picks one of the candidates (at least one): the remembered choice if it is among them; otherwise runs and times
  /// all of them and remembers the fastest. `of` identifies the choice: text_of_conv, or a choice within one of those.
  std::size_t choose(const std::string& of, const std::vector<ConvCandidate>& candidates);
  /// Remembers a choice that was made before, unless there is one already.
  void note(const std::string& of, const std::string& name);
  /// All choices so far.
  ConvChoices choices() const;

 private:
  mutable std::mutex mutex_;
  ConvChoices choices_;
};

}  // namespace vergence
