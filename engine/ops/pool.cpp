// Pooling. Both poolings are linear once the winners are known, so their derivatives are their transposes.
#include "engine/graph.h"
#include "engine/ops/ops.h"

namespace vergence {

namespace {

PoolShape pool_geometry(const char* op, const Shape& x, const PoolOptions& pool) {
  require(x.rank() == 4, op, ": expected [N, H, W, C], got ", x);
  require(pool.kernel > 0 && pool.stride > 0 && pool.padding >= 0 && 2 * pool.padding <= pool.kernel &&
              x[1] + 2 * pool.padding >= pool.kernel && x[2] + 2 * pool.padding >= pool.kernel,
          op, ": window ", pool.kernel, " (stride ", pool.stride, ", padding ", pool.padding, ") does not fit ", x);
  PoolShape shape;
  shape.batch = x[0], shape.in_height = x[1], shape.in_width = x[2], shape.channels = x[3];
  shape.kernel_height = shape.kernel_width = pool.kernel;
  shape.stride = pool.stride, shape.padding = pool.padding;
  return shape;
}

Shape input_shape(const PoolShape& s) { return {s.batch, s.in_height, s.in_width, s.channels}; }
Shape pool_output(const PoolShape& s) { return {s.batch, s.out_height(), s.out_width(), s.channels}; }

Tensor max_pool_gather(const Tensor& x, const Tensor& index, const PoolShape& shape);

Tensor max_pool_scatter(const Tensor& g, const Tensor& index, const PoolShape& shape) {
  Tensor dx = empty(g.backend(), input_shape(shape), g.dtype);
  g.backend().max_pool_scatter(shape, g.array(), index.array(), dx.array());
  record("max_pool_scatter", {g}, {index}, {&dx},
         [shape](const VjpContext& c) { return Tensors{max_pool_gather(c.g(), c[0], shape)}; });
  return dx;
}

Tensor max_pool_gather(const Tensor& x, const Tensor& index, const PoolShape& shape) {
  Tensor y = empty(x.backend(), pool_output(shape), x.dtype);
  x.backend().max_pool_gather(shape, x.array(), index.array(), y.array());
  record("max_pool_gather", {x}, {index}, {&y},
         [shape](const VjpContext& c) { return Tensors{max_pool_scatter(c.g(), c[0], shape)}; });
  return y;
}

/// Shape and type of a result.
struct Result {
  Shape shape;
  DType dtype;
};
Result like(const Tensor& x) { return {x.shape, x.dtype}; }

Tensor average_pool_backward(const Tensor& g, const PoolShape& shape, const Result& x);

Tensor average_pool(const Tensor& x, const PoolShape& shape, const Result& result) {
  Tensor y = empty(x.backend(), result.shape, result.dtype);
  x.backend().average_pool(shape, x.array(), y.array());
  record("average_pool", {x}, {}, {&y},
         [shape, of = like(x)](const VjpContext& c) { return Tensors{average_pool_backward(c.g(), shape, of)}; });
  return y;
}

Tensor average_pool_backward(const Tensor& g, const PoolShape& shape, const Result& x) {
  Tensor dx = empty(g.backend(), x.shape, x.dtype);
  g.backend().average_pool_backward(shape, g.array(), dx.array());
  record("average_pool_backward", {g}, {}, {&dx},
         [shape, of = like(g)](const VjpContext& c) { return Tensors{average_pool(c.g(), shape, of)}; });
  return dx;
}

}  // namespace

Tensor max_pool(const Tensor& x, const PoolOptions& pool) {
  const PoolShape shape = pool_geometry("max_pool", x.shape, pool);
  Tensor y = empty(x.backend(), pool_output(shape), x.dtype);
  const Tensor index = empty(x.backend(), pool_output(shape), DType::i32);
  x.backend().max_pool(shape, x.array(), y.array(), index.array());
  record("max_pool", {x}, {index}, {&y},
         [shape](const VjpContext& c) { return Tensors{max_pool_scatter(c.g(), c[0], shape)}; });
  return y;
}

Tensor average_pool(const Tensor& x, const PoolOptions& pool) {
  const PoolShape shape = pool_geometry("average_pool", x.shape, pool);
  return average_pool(x, shape, {pool_output(shape), x.dtype});
}

Tensor global_average_pool(const Tensor& x, std::optional<DType> dtype) {
  require(x.shape.rank() == 4, "global_average_pool: expected [N, H, W, C], got ", x.shape);
  const DType type = dtype.value_or(x.dtype);
  require(type == x.dtype || type == master_of(x.dtype), "global_average_pool: cannot write ", name_of(type), " from ",
          name_of(x.dtype));
  PoolShape shape;
  shape.batch = x.shape[0], shape.in_height = x.shape[1], shape.in_width = x.shape[2], shape.channels = x.shape[3];
  shape.kernel_height = shape.in_height, shape.kernel_width = shape.in_width;
  return average_pool(x, shape, {{shape.batch, shape.channels}, type});
}

}  // namespace vergence
