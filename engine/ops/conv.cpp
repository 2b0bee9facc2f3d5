// Convolution and its two transposes. In the trilinear form <g, F(x, w)>, F = conv2d, D = conv2d_data (the transpose in
// x) and W = conv2d_weight (the transpose in w). The derivative of each consists of the other two, at any order.
#include "engine/ops/conv.h"

#include "engine/ops/conv_norm.h"

namespace vergence {

namespace {

ConvShape conv_geometry(const char* op, const Shape& x, const Shape& w, const ConvOptions& conv) {
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

// ---- recording the three ops. before: the tensor to which an image-sized result was added, or none. The cotangent
// passes to it unchanged.

void record_forward(const Tensor& x, const Tensor& w, const Tensor& before, const ConvOptions& conv, Tensor& y);
void record_data(const Tensor& g, const Tensor& w, const Tensor& before, const ConvOptions& conv, Tensor& dx);

/// True if the device's convolution itself can add a vjp's part of a cotangent to `before`.
bool joins(const Tensor& before, const Tensor& from) {
  return before && before.dtype == from.dtype && from.backend().traits().adds_convolutions;
}

/// conv2d for a vjp, added to `before` if the device has kernels for that.
Tensor forward_onto(const Tensor& before, const Tensor& x, const Tensor& w, const ConvOptions& conv) {
  if (!joins(before, x)) return conv2d(x, w, conv);
  Tensor y = before;
  const ConvShape shape = conv_geometry("conv2d", x.shape, w.shape, conv);
  x.backend().conv2d(shape, x.array(), w.weights_for(x.dtype), y.array(), true);
  record_forward(x, w, before, conv, y);
  return y;
}

/// conv2d_data for a vjp, in the same way.
Tensor data_onto(const Tensor& before, const Tensor& g, const Tensor& w, const Shape& images, const ConvOptions& conv) {
  if (!joins(before, g)) return conv2d_data(g, w, images, conv);
  Tensor dx = before;
  const ConvShape shape = conv_geometry("conv2d_data", images, w.shape, conv);
  g.backend().conv2d_data(shape, g.array(), w.weights_for(g.dtype), dx.array(), true);
  record_data(g, w, before, conv, dx);
  return dx;
}

/// data_onto for a forward op's vjp, with the epilogue of the op that made the images if the device supports it.
Tensor cotangent_of_images(const VjpContext& c, const ConvOptions& conv) {
  const Tensor &g = c.g(), &w = c[1], &before = c.partial(0);
  const Shape& images = c.shape(0);
  if (!before || joins(before, g))
    if (Tensor dx = conv2d_data_relu(c, conv_geometry("conv2d_data", images, w.shape, conv), w)) return dx;
  return data_onto(before, g, w, images, conv);
}

void record_forward(const Tensor& x, const Tensor& w, const Tensor& before, const ConvOptions& conv, Tensor& y) {
  record("conv2d", {x, w, before}, {x, w}, {&y}, [conv](const VjpContext& c) {
    const Tensor& w = c[1];
    return Tensors{c.need(0) ? cotangent_of_images(c, conv) : Tensor{},
                   c.need(1) ? conv2d_weight(c[0], c.g(), w.shape, w.dtype, conv, c.place(1)) : Tensor{},
                   c.need(2) ? c.g() : Tensor{}};
  });
}

void record_data(const Tensor& g, const Tensor& w, const Tensor& before, const ConvOptions& conv, Tensor& dx) {
  record("conv2d_data", {g, w, before}, {g, w}, {&dx}, [conv](const VjpContext& c) {
    const Tensor &a = c.g(), &w = c[1];
    return Tensors{c.need(0) ? forward_onto(c.partial(0), a, w, conv) : Tensor{},
                   c.need(1) ? conv2d_weight(a, c[0], w.shape, w.dtype, conv) : Tensor{}, c.need(2) ? a : Tensor{}};
  });
}

}  // namespace

PendingConv record_conv2d(const Tensor& x, const Tensor& w, const ConvOptions& conv) {
  const ConvShape shape = conv_geometry("conv2d", x.shape, w.shape, conv);
  require_types("conv2d", x.dtype, w.dtype);
  Tensor y = empty(x.backend(), conv_output(shape), x.dtype);
  record_forward(x, w, {}, conv, y);
  return {shape, x, w, y};
}

Tensor conv2d(const Tensor& x, const Tensor& w, const ConvOptions& conv) {
  const PendingConv pending = record_conv2d(x, w, conv);
  pending.compute();
  return pending.y;
}

Tensor conv2d_data(const Tensor& g, const Tensor& w, const Shape& x_shape, const ConvOptions& conv) {
  const ConvShape shape = conv_geometry("conv2d_data", x_shape, w.shape, conv);
  require_output("conv2d_data", g, shape);
  require_types("conv2d_data", g.dtype, w.dtype);
  Tensor dx = empty(g.backend(), x_shape, g.dtype);
  g.backend().conv2d_data(shape, g.array(), w.weights_for(g.dtype), dx.array());
  record_data(g, w, {}, conv, dx);
  return dx;
}

Tensor conv2d_weight(const Tensor& x, const Tensor& g, const Shape& w_shape, DType dtype, const ConvOptions& conv,
                     const Tensor& place) {
  const ConvShape shape = conv_geometry("conv2d_weight", x.shape, w_shape, conv);
  require_output("conv2d_weight", g, shape);
  require(x.dtype == g.dtype, "conv2d_weight: types differ: ", name_of(x.dtype), " and ", name_of(g.dtype));
  require_types("conv2d_weight", x.dtype, dtype);
  Tensor dw = empty_in(place, x.backend(), w_shape, dtype);
  x.backend().conv2d_weight(shape, x.array(), g.array(), dw.array());
  record("conv2d_weight", {x, g}, {x, g}, {&dw}, [conv](const VjpContext& c) {
    const Tensor& b = c.g();
    return Tensors{c.need(0) ? data_onto(c.partial(0), c[1], b, c.shape(0), conv) : Tensor{},
                   c.need(1) ? forward_onto(c.partial(1), c[0], b, conv) : Tensor{}};
  });
  return dw;
}

}  // namespace vergence
