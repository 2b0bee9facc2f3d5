// Forward passes that keep little memory until the backward pass: models whose activations are computed again, and
// batches that pass through a model part by part.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "engine/ranks.h"
#include "engine/recomputed.h"
#include "models/layers.h"

namespace vergence {

/// f(model, x, pass) of a batch x, rows first, keeping only x: backward passes call `f` again, without updating running
/// statistics. That update is the only effect that `f` may have.
template <Model M, class F>
Tensor recomputed_model(const M& model, const Tensor& x, const ForwardMode& pass, const F& f) {
  M copy = model, constant = model;
  Tensors inputs{x};
  copy.each([&](const std::string&, Tensor& tensor) { inputs.push_back(tensor); }, "");
  constant.each([](const std::string&, Tensor& tensor) { tensor = tensor.detached(); }, "");
  const Tensor first = f(constant, x.detached(), pass);
  ForwardMode quiet = pass;
  quiet.running = pass.training ? nullptr : pass.running;
  const TensorFunction again = [constant, quiet, f](const Tensors& in) {
    M with = constant;
    std::size_t next = 1;
    with.each([&](const std::string&, Tensor& tensor) { tensor = in[next++]; }, "");
    return Tensors{f(with, in[0], quiet)};
  };
  return recomputed(again, inputs, {first})[0];
}

/// Part `part` of `parts` of the rows of x: the same share of each of its `sections` equal consecutive sections, whose
/// order stays.
Tensor part_of_rows(const Tensor& x, std::int64_t sections, std::int64_t part, std::int64_t parts);
/// The reverse: the rows of all parts in the order of the whole.
Tensor joined_parts(const Tensors& parts, std::int64_t sections);

/// Makes the running statistics those of all ranks: as if the updates of rank 0 came first, then those of rank 1, and
/// so on. Construct it before this rank's own updates, call `gather` after them.
class RanksStatistics {
 public:
  explicit RanksStatistics(const ForwardMode& pass);
  void gather() const;

 private:
  const ForwardMode& pass_;
  std::map<std::string, RunningStatistics> before_;  // copies
};

/// f(model, x, pass), or with pass.micro_batch, part by part: `recomputed_model` of at most so many rows of each of the
/// `sections` equal consecutive sections of x, such as the views. Batch norms see a part at a time, also where ranks
/// share the batch: each rank's parts are its own.
template <Model M, class F>
Tensor in_parts(const M& model, const Tensor& x, const ForwardMode& pass, std::int64_t sections, const F& f) {
  const std::int64_t most = pass.micro_batch, rows = x.shape[0] / sections;
  if (most == 0 || rows * Ranks{pass.ranks}.count() <= most) return f(model, x, pass);
  ForwardMode of_part = pass;
  of_part.micro_batch = 0;
  of_part.ranks = nullptr;
  const std::int64_t count = (rows + most - 1) / most;
  const RanksStatistics statistics(pass);
  Tensors parts;
  for (std::int64_t part = 0; part < count; ++part)
    parts.push_back(recomputed_model(model, part_of_rows(x, sections, part, count), of_part, f));
  statistics.gather();
  return joined_parts(parts, sections);
}

}  // namespace vergence
