#include "engine/ops/conv_norm.h"

#include "engine/ops/conv.h"
#include "engine/ops/norm.h"

namespace vergence {

namespace {

struct ReluNormEpilogue final : Epilogue {
  NormShape shape;
  Tensor x, positive, mean;
};

/// Forward: the device computes both at once. Returns false if it cannot, and has then done nothing.
bool computed_together(const PendingConv& conv, const PendingNorm& norm) {
  const DType type = conv.x.dtype;
  return conv.x.backend().conv2d_batch_norm(conv.shape, conv.x.array(), conv.w.weights_for(type), norm.x.array(),
                                            norm.shape, norm.arrays());
}

}  // namespace

BatchNormResult conv2d_batch_norm(const Tensor& x, const Tensor& w, const ConvOptions& conv, const Tensor& gamma,
                                  const Tensor& beta, const Tensor& add, const BatchNormOptions& options) {
  const PendingConv first = record_conv2d(x, w, conv);
  const PendingNorm second = record_batch_norm(first.y, gamma, beta, add, options);
  if (!computed_together(first, second)) {
    first.compute();
    second.compute();
  }
  return {second.y, second.mean, second.rstd};
}

std::shared_ptr<const Epilogue> relu_norm_epilogue(const NormShape& shape, const Tensor& x, const Tensor& positive,
                                                   const Tensor& mean) {
  auto epilogue = std::make_shared<ReluNormEpilogue>();
  epilogue->shape = shape;
  epilogue->x = x.detached().released(), epilogue->positive = positive, epilogue->mean = mean;
  return epilogue;
}

Tensor conv2d_data_relu(const VjpContext& c, const ConvShape& shape, const Tensor& w) {
  const auto* norm = c.epilogue<ReluNormEpilogue>(0);
  Backend& device = c.g().backend();
  const std::int64_t tiles = norm ? device.relu_tiles(shape, norm->shape) : 0;
  if (tiles == 0) return {};
  const Tensor &g = c.g(), &before = c.partial(0);
  Tensor masked = before ? before : empty(device, c.shape(0), g.dtype);
  const Tensor sums = empty(device, {norm->shape.groups, tiles, 2, norm->shape.channels});
  const ConvDataReluArrays arrays{.g = g.array(),
                                  .w = w.weights_for(g.dtype),
                                  .raw = norm->x.restored().array(),
                                  .positive = norm->positive.array(),
                                  .mean = norm->mean.array(),
                                  .dx = masked.array(),
                                  .sums = sums.array()};
  if (!device.conv2d_data_relu(shape, norm->shape, arrays, bool(before))) return {};
  // No inputs: this only calls op_observer. An epilogue exists only without `create`, so nothing has to be recorded.
  record("conv2d_data", {}, {}, {&masked}, {});
  c.applied(0, sums);
  return masked;
}

}  // namespace vergence
