// A base method: a self-supervised objective of two views as heads and a loss over features, without the encoder, so
// that other objectives can be built on any of them.
#pragma once

#include <memory>
#include <vector>

#include "ssl/momentum_copy.h"

namespace vergence {

struct ObjectiveSetup;

/// What a loss compares, both views in one tensor: rows 0 ... N-1 are the first view of the N images.
struct Embeddings {
  Tensor online;  // [2N, E], through the trained heads
  Tensor target;  // [2N, E] constants, through the moving average; none for methods without one
};

class BaseMethod {
 public:
  virtual ~BaseMethod() = default;

  /// The heads to be trained, in the order in which a checkpoint has them.
  virtual std::vector<Mlp*> heads() = 0;
  /// Features [2N, dim] -> Embeddings::online.
  virtual Tensor embed(const Tensor& features, const Pass& pass) const = 0;
  /// Rank 0. `parts`, if given, receives summands worth a log line.
  virtual Tensor loss(const Embeddings& embeddings, Parts* parts = nullptr) const = 0;
  /// Where the loss is minus the mean log of a likelihood: that log, one per row, [2N]; none for other methods.
  virtual Tensor log_likelihood(const Embeddings&) const { return {}; }
  /// The loss under each of several interventions, equally likely: where it is minus the mean log of a likelihood, with
  /// the likelihood averaged over them; otherwise the mean of the losses, which bounds that from above.
  virtual Tensor stratified_loss(const std::vector<Embeddings>& strata) const;

  /// The moving average that makes targets; null for methods without one.
  virtual MomentumCopy* target() { return nullptr; }
  /// The moving average's features [2N, dim] -> Embeddings::target.
  virtual Tensor embed_target(const Tensor&, const Pass&) const { return {}; }
};

/// The base method called `name`; `option` begins the UsageError that names those there are.
std::unique_ptr<BaseMethod> make_base_method(const std::string& name, const char* option, const ObjectiveSetup& setup,
                                             const Encoder& encoder);
/// Their names.
const std::vector<std::string>& base_method_names();

}  // namespace vergence
