// Convolution as a closed triple. With the trilinear form <g, F(x, w)>: F = conv2d, D = conv2d_data (its transpose in
// x), W = conv2d_weight (its transpose in w); the derivative of each one is the two others, at any order.
#include "engine/ops/conv.h"

#include "engine/graph.h"
#include "engine/ops/norm.h"

namespace vergence {

namespace {

ConvShape conv_geometry(const char* op, const Shape& x, const Shape& w, const Conv& conv) {
  require(x.rank() == 4 && w.rank() == 4, op, ": expected images [N, H, W, C] and weights [O, h, w, I], got ", x,
          " and ", w);
  require(conv.stride > 0 && conv.dilation > 0 && conv.padding >= 0 && conv.groups > 0, op,
          ": stride, dilation and groups must be positive, padding not negative");
  require(x[3] == w[3] * conv.groups && w[0] % conv.groups == 0, op, ": images ", x, " do not fit weights ", w, " in ",
          conv.groups, " groups");
  ConvShape shape;
  shape.batch = x[0], shape.in_height = x[1], shape.in_width = x[2], shape.in_channels = x[3];
  shape.out_channels = w[0], shape.kernel_height = w[1], shape.kernel_width = w[2];
  shape.stride = conv.stride, shape.padding = conv.padding;
  shape.dilation = conv.dilation, shape.groups = conv.groups;
  const std::int64_t reach_h = conv.dilation * (w[1] - 1) + 1, reach_w = conv.dilation * (w[2] - 1) + 1;
  require(x[1] + 2 * conv.padding >= reach_h && x[2] + 2 * conv.padding >= reach_w, op, ": images ", x,
          " are smaller than the kernel of weights ", w);
  return shape;
}

Shape conv_output(const ConvShape& s) { return {s.batch, s.out_height(), s.out_width(), s.out_channels}; }

void require_output(const char* op, const Tensor& g, const ConvShape& shape) {
  require(g.shape == conv_output(shape), op, ": expected outputs ", conv_output(shape), ", got ", g.shape);
}

/// Activations of any type; weights of that type or its master type.
void require_types(const char* op, DType activations, DType weights) {
  require(weights == activations || weights == master_of(activations), op, ": ", name_of(activations),
          " activations do not go with ", name_of(weights), " weights");
}

/// conv2d_data of a vjp: added to what has come before it, and with what the node that reads the result leaves to the
/// kernel, where the device has kernels for these.
Tensor cotangent_of_images(const VjpContext& c, const Conv& conv) {
  const Tensor &g = c.g(), &x = c[0], &w = c[1], &before = c.partial(0);
  const bool add = before && before.dtype == g.dtype && g.backend().adds_data_gradients();
  const std::optional<ReluNorm> norm = before && !add ? std::nullopt : relu_norm_of(c.reader(0));
  if (!add && !norm) return conv2d_data(g, w, x.shape, conv);
  const ConvShape shape = conv_geometry("conv2d_data", x.shape, w.shape, conv);
  Tensor dx = add ? before : empty(g.backend(), x.shape, g.dtype);
  record("conv2d_data", {}, {}, {&dx}, {});
  if (const std::int64_t tiles = norm ? g.backend().relu_tiles(shape, norm->shape) : 0; tiles > 0) {
    const std::int64_t count = tiles * 2 * norm->mean.size();
    Tensor masked = dx;
    masked.sums = std::make_shared<Storage>(g.backend(), count * size_of(DType::f32));
    const Array sums{masked.sums->data(), count, DType::f32};
    if (g.backend().conv2d_data_relu(shape, norm->shape, g.array(), w.weights_for(g.dtype), norm->x.array(),
                                     norm->positive.array(), norm->mean.array(), masked.array(), sums, add))
      return masked;
  }
  g.backend().conv2d_data(shape, g.array(), w.weights_for(g.dtype), dx.array(), add);
  return dx;
}

}  // namespace

PendingConv record_conv2d(const Tensor& x, const Tensor& w, const Conv& conv) {
  const ConvShape shape = conv_geometry("conv2d", x.shape, w.shape, conv);
  require_types("conv2d", x.dtype, w.dtype);
  Tensor y = empty(x.backend(), conv_output(shape), x.dtype);
  record("conv2d", {x, w}, {x, w}, {&y}, [conv](const VjpContext& c) {
    const Tensor &x = c[0], &w = c[1];
    return Tensors{c.need(0) ? cotangent_of_images(c, conv) : Tensor{},
                   c.need(1) ? conv2d_weight(x, c.g(), w.shape, w.dtype, conv, c.place(1)) : Tensor{}};
  });
  return {shape, x, w, y};
}

Tensor conv2d(const Tensor& x, const Tensor& w, const Conv& conv) {
  const PendingConv pending = record_conv2d(x, w, conv);
  pending.compute();
  return pending.y;
}

Tensor conv2d_data(const Tensor& g, const Tensor& w, const Shape& x_shape, const Conv& conv) {
  const ConvShape shape = conv_geometry("conv2d_data", x_shape, w.shape, conv);
  require_output("conv2d_data", g, shape);
  require_types("conv2d_data", g.dtype, w.dtype);
  Tensor dx = empty(g.backend(), x_shape, g.dtype);
  g.backend().conv2d_data(shape, g.array(), w.weights_for(g.dtype), dx.array());
  record("conv2d_data", {g, w}, {g, w}, {&dx}, [conv](const VjpContext& c) {
    const Tensor &a = c.g(), &g = c[0], &w = c[1];
    return Tensors{c.need(0) ? conv2d(a, w, conv) : Tensor{},
                   c.need(1) ? conv2d_weight(a, g, w.shape, w.dtype, conv) : Tensor{}};
  });
  return dx;
}

Tensor conv2d_weight(const Tensor& x, const Tensor& g, const Shape& w_shape, DType dtype, const Conv& conv,
                     const Tensor& place) {
  const ConvShape shape = conv_geometry("conv2d_weight", x.shape, w_shape, conv);
  require_output("conv2d_weight", g, shape);
  require(x.dtype == g.dtype, "conv2d_weight: types differ: ", name_of(x.dtype), " and ", name_of(g.dtype));
  require_types("conv2d_weight", x.dtype, dtype);
  Tensor dw = empty_in(place, x.backend(), w_shape, dtype);
  x.backend().conv2d_weight(shape, x.array(), g.array(), dw.array());
  record("conv2d_weight", {x, g}, {x, g}, {&dw}, [conv](const VjpContext& c) {
    const Tensor &b = c.g(), &x = c[0], &g = c[1];
    return Tensors{c.need(0) ? conv2d_data(g, b, x.shape, conv) : Tensor{}, c.need(1) ? conv2d(x, b, conv) : Tensor{}};
  });
  return dw;
}

}  // namespace vergence
