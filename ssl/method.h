// A base method: the heads and the loss of a two-view objective, without the encoder, so that other objectives can
// build on it.
#pragma once

#include <memory>
#include <vector>

#include "ssl/momentum_encoder.h"

namespace vergence {

struct ObjectiveSetup;

/// The input of a loss, both views in one tensor: rows 0 ... N-1 are the first view of the N images.
struct Embeddings {
  Tensor online;  // [2N, E], from the trained heads
  Tensor target;  // [2N, E] constants, from the moving average; none for methods without one
};

class Method {
 public:
  virtual ~Method() = default;

  /// The heads to train, in the order of a checkpoint.
  virtual std::vector<Mlp*> heads() = 0;
  /// Features [2N, dim] -> Embeddings::online.
  virtual Tensor embed(const Tensor& features, const ForwardMode& pass) const = 0;
  /// Returns the loss, rank 0. `parts`, if given, receives its summands for the log.
  virtual Tensor loss(const Embeddings& embeddings, Parts* parts = nullptr) const = 0;
  /// The log likelihood of each row, [2N], if the loss is minus their mean; none for other methods.
  virtual Tensor log_likelihood(const Embeddings&) const { return {}; }
  /// The loss over several equally likely interventions (strata): minus the mean log of the average likelihood; for
  /// methods without a likelihood the mean of their losses, an upper bound.
  virtual Tensor stratified_loss(const std::vector<Embeddings>& strata) const;

  /// The moving average that computes targets; null for methods without one.
  virtual MomentumEncoder* target() { return nullptr; }
  /// The moving average's features [2N, dim] -> Embeddings::target.
  virtual Tensor embed_target(const Tensor&, const ForwardMode&) const { return {}; }
};

/// The base method called `name`; for an unknown one, a UsageError begins with `option` and lists all.
std::unique_ptr<Method> make_method(const std::string& name, const char* option, const ObjectiveSetup& setup,
                                    const Encoder& encoder);
/// The names of all base methods.
const std::vector<std::string>& method_names();

}  // namespace vergence
