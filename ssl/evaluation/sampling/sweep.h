// Chooses a setting on the held-out tenth of the training images (subset.h), never on judged ones.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "kernels/error.h"

namespace vergence {

/// A training loss that is not finite.
struct NotFinite : Error {
  using Error::Error;
};

/// The settings of one trial by name: {{"lr", 0.1}}.
using Trial = std::vector<std::pair<std::string, double>>;

struct Sweep {
  std::vector<Trial> trials;     // in the order tried
  std::vector<double> held_out;  // top-1 of each on the held-out tenth, in percent; NaN if training failed
  std::size_t best = 0;          // the highest; of equal ones the first
  std::int64_t images = 0;       // held out

  const Trial& chosen() const { return trials[best]; }
  /// For results: the list with its figures, the choice, the rule.
  nlohmann::ordered_json json() const;
};

/// Trains with one trial's settings on the nine tenths; returns the top-1 on the tenth.
using TryOut = std::function<double(const Trial& trial)>;
/// Called after each trial with a line to print. May be empty.
using TrialShown = std::function<void(const std::string& line)>;

/// Tries all. A trial whose loss is not finite (NotFinite) has no figure. Throws Error if none has one.
Sweep try_all(const std::vector<Trial>& trials, std::int64_t held_out_images, const TryOut& try_out,
              const TrialShown& show = {});

}  // namespace vergence
