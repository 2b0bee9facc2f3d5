#include "engine/ranks.h"

#include "engine/ops/collective.h"
#include "engine/ops/ops.h"

namespace vergence {

int Ranks::count() const { return communicator ? communicator->ranks() : 1; }

Tensor Ranks::share(const Tensor& value) const { return count() == 1 ? value : value / static_cast<double>(count()); }

Tensor Ranks::sum(const Tensor& x) const { return count() == 1 ? x : all_reduce(x, *communicator); }

Tensors Ranks::sum(const Tensors& x) const {
  if (count() == 1 || x.empty()) return x;
  Tensors flat;
  for (const Tensor& tensor : x) flat.push_back(reshape(tensor, {tensor.size()}));
  const Tensor all = all_reduce(concat(flat, 0), *communicator);
  Tensors sums;
  std::int64_t at = 0;
  for (const Tensor& tensor : x) {
    sums.push_back(reshape(slice(all, 0, at, tensor.size()), tensor.shape));
    at += tensor.size();
  }
  return sums;
}

Tensor Ranks::gather(const Tensor& x) const { return count() == 1 ? x : all_gather(x, *communicator); }

Tensor Ranks::gather_views(const Tensor& both) const {
  if (count() == 1) return both;
  const std::int64_t rows = both.shape[0] / 2;
  return concat({gather(slice(both, 0, 0, rows)), gather(slice(both, 0, rows, rows))}, 0);
}

}  // namespace vergence
