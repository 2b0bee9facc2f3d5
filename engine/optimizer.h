// Optimizers over one flat parameter buffer: SGD, LARS, Adam, AdamW.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/parameters.h"
#include "engine/text/enum_words.h"

namespace vergence {

enum class OptimizerKind { sgd, lars, adam, adamw };

inline constexpr Word<OptimizerKind> optimizer_words[]{{"sgd", OptimizerKind::sgd},
                                                       {"lars", OptimizerKind::lars},
                                                       {"adam", OptimizerKind::adam},
                                                       {"adamw", OptimizerKind::adamw}};

struct OptimizerSettings {
  OptimizerKind kind = OptimizerKind::sgd;
  double momentum = 0.9;              // SGD, LARS
  double weight_decay = 0;            // AdamW: decoupled; the others add it to the gradient
  bool nesterov = false;              // SGD
  double eta = 0.02;                  // LARS: the trust coefficient
  bool clip = false;                  // LARS: never more than the plain learning rate (LARC)
  bool joint_norm = false;            // LARS: the denominator |g + wd p| instead of |g| + wd |p| + epsilon
  double beta1 = 0.9, beta2 = 0.999;  // Adam, AdamW
  double epsilon = 1e-8;              // LARS, Adam, AdamW
  /// Whether parameters of rank 0 and 1 (biases, batch norm) skip weight decay and LARS' adaptation. Unset: yes for
  /// LARS (as solo-learn's recipes choose), no for the others (as in PyTorch).
  std::optional<bool> exclude_vectors = std::nullopt;
};

/// Updates the parameters of one set from its gradient buffer. Holds the state that a checkpoint must include.
class Optimizer {
 public:
  /// Throws UsageError for settings out of range.
  Optimizer(const ParameterSet& parameters, const OptimizerSettings& settings);

  /// One update from `parameters.gradient()` with learning rate `lr`: `prepare`, then `apply`.
  void step(double lr);
  /// Counts the update and uploads the values that change with every update. Call it before each `apply` or replay,
  /// never while recording.
  void prepare(double lr);
  /// The update itself: runs only on the device, so it can be recorded and replayed.
  void apply();

  const OptimizerSettings& settings() const { return settings_; }
  /// The number of updates prepared so far; restore it with the state.
  std::int64_t steps() const { return steps_; }
  void set_steps(std::int64_t steps) { steps_ = steps; }
  /// The state by name: "momentum" (SGD, LARS), or "first_moment" and "second_moment" (Adam, AdamW). Each has the shape
  /// and layout of `ParameterSet::flat`. Write into the storage (`from_host`) to restore it.
  const std::vector<std::pair<std::string, Tensor>>& state() const { return state_; }
  /// The state called `name`; throws Error if there is none.
  const Tensor& state(const std::string& name) const;

 private:
  void apply_sgd(const std::vector<Segment>& segments, double weight_decay);
  void apply_lars();
  void apply_adam(const std::vector<Segment>& segments, double weight_decay);

  ParameterSet parameters_;
  OptimizerSettings settings_;
  std::vector<Segment> segments_, decayed_, undecayed_;  // the last two partition the first
  std::vector<std::pair<std::string, Tensor>> state_;
  Tensor scalars_;  // see SgdSettings in kernels/backend.h
  std::int64_t steps_ = 0;
};

}  // namespace vergence
