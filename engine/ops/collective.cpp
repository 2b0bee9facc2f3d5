#include "engine/ops/collective.h"

#include "engine/graph.h"
#include "engine/ops/ops.h"

namespace vergence {

Tensor all_gather(const Tensor& x, Communicator& ranks) {
  require(x.shape.rank() >= 1, "all_gather: needs an axis, got ", x.shape);
  const std::int64_t count = x.shape[0];
  Tensor y = empty(x.backend(), x.shape.with(0, ranks.ranks() * count), x.dtype);
  ranks.all_gather(x.backend(), x.array(), y.array());
  record("all_gather", {x}, {}, {&y}, [count, &ranks](const VjpContext& c) {
    // Every rank's output contains this x.
    return Tensors{slice(all_reduce(c.g(), ranks), 0, ranks.rank() * count, count)};
  });
  return y;
}

Tensor all_reduce(const Tensor& x, Communicator& ranks) {
  require(is_float(x.dtype), "all_reduce: expected floating-point values, got ", name_of(x.dtype));
  Tensor y = empty_like(x);
  ranks.all_reduce(x.backend(), x.array(), y.array());
  record("all_reduce", {x}, {}, {&y}, [&ranks](const VjpContext& c) { return Tensors{all_reduce(c.g(), ranks)}; });
  return y;
}

}  // namespace vergence
