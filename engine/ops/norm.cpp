// Batch normalization as three fused ops: forward, backward, double backward. With xh = (x - mean) rstd and the
// projector P z = z - mean(z) - xh mean(xh z), all over the rows of a statistic group:
//   y = gamma xh + beta,   gx = gamma rstd P g,   ggamma = sum g xh,   gbeta = sum g,
// and their double backward (kernels/cpu/norm.cpp). An added input and a ReLU may be fused; the ReLU is a constant mask
// on every cotangent. Derivatives from order three on are composed of elementary ops. With ranks, the means are over
// the rows of all of them; for the derivatives of the sum over ranks, gamma then is one parameter that all ranks hold.
#include "engine/ops/norm.h"

#include "engine/ops/collective.h"
#include "engine/ops/conv_norm.h"

namespace vergence {

namespace {

/// The tensors that all three ops use. gamma may be "none" (1), y too (no ReLU); mean and rstd are constants. On a
/// device with `relu_bits`, y holds the bits of the ReLU's mask, u8.
struct NormTensors {
  NormShape shape;
  Tensor gamma, y, mean, rstd;
};

/// The kept list of an op: the fields of `NormTensors`, in order, then `more`.
Tensors kept_of(const NormTensors& norm, Tensors more) {
  Tensors kept{norm.gamma, norm.y.detached(), norm.mean, norm.rstd};
  kept.insert(kept.end(), more.begin(), more.end());
  return kept;
}

NormTensors norm_from(const NormShape& shape, const VjpContext& c) {
  return {shape, c[0], c[1].detached(), c[2], c[3]};
}

Tensor as_rows(const Tensor& x) { return x ? reshape(x, {x.rows(), x.cols()}) : x; }

/// One group's part of [groups * rows, C].
Tensor group_of(const Tensor& x, const NormShape& s, std::int64_t group) {
  return s.groups == 1 ? x : slice(x, 0, group * s.rows, s.rows);
}

struct BackwardResult {
  Tensor gx, g_add, ggamma, gbeta;
};

/// The backward op for one group, composed: g, x as [rows, C], differentiable to any order in g, x and gamma.
BackwardResult composed_group(const Tensor& g, const Tensor& x, const NormTensors& norm, std::int64_t group) {
  const double rows = static_cast<double>(norm.shape.all_rows());
  auto row_mean = [&](const Tensor& z) {
    const Tensor sum = sum_over_rows(z);
    return affine(norm.shape.ranks ? all_reduce(sum, *norm.shape.ranks) : sum, 1 / rows);
  };
  Tensor centered, rstd;
  if (norm.shape.training) {
    centered = x - row_mean(x);
    rstd = reciprocal(sqrt(row_mean(square(centered)) + norm.shape.epsilon));
  } else {
    centered = x - reshape(slice(norm.mean, 0, group, 1), {x.cols()});
    rstd = reshape(slice(norm.rstd, 0, group, 1), {x.cols()});
  }
  const Tensor xh = centered * rstd;
  const Tensor projected = norm.shape.training ? g - row_mean(g) - xh * row_mean(xh * g) : g;
  const Tensor scale = norm.gamma ? norm.gamma * rstd : rstd;
  return {projected * scale, g, sum_over_rows(g * xh), sum_over_rows(g)};
}

/// A replacement for y in elementary ops: the bits as 0 and 1, computed by masking a cotangent of ones.
Tensor mask_values(const Tensor& x, const NormTensors& norm) {
  if (norm.y.dtype != DType::u8) return norm.y;
  Tensor mask = empty_like(x);
  const Tensor one = full(x.backend(), x.shape, 1, x.dtype);
  x.backend().batch_norm_backward(norm.shape, {.g = one.array(),
                                               .x = x.array(),
                                               .y = norm.y.array(),
                                               .mean = norm.mean.array(),
                                               .rstd = norm.rstd.array(),
                                               .g_add = mask.array()});
  return mask;
}

BackwardResult norm_composed_backward(const Tensor& g, const Tensor& x, const NormTensors& norm) {
  const Tensor masked = norm.shape.relu ? relu_mask(g, mask_values(x, norm)) : g;
  const Tensor g2 = as_rows(masked), x2 = as_rows(x);
  Tensors gx;
  Tensor ggamma, gbeta;
  for (std::int64_t group = 0; group < norm.shape.groups; ++group) {
    const BackwardResult part =
        composed_group(group_of(g2, norm.shape, group), group_of(x2, norm.shape, group), norm, group);
    gx.push_back(part.gx);
    ggamma = ggamma ? ggamma + part.ggamma : part.ggamma;
    gbeta = gbeta ? gbeta + part.gbeta : part.gbeta;
  }
  return {reshape(concat(gx, 0), x.shape), masked, ggamma, gbeta};
}

/// The cotangents from which a double backward starts; each may be "none".
struct Incoming {
  Tensor a, a_add, b, c;
};

/// Third and higher orders: differentiates the composed double backward. `inputs` are a, a_add, b, c, g, x, gamma.
Tensors norm_double_backward_vjp(const NormShape& shape, const VjpContext& context) {
  NormTensors norm = norm_from(shape, context);
  Tensors fresh;
  for (int i = 0; i < 7; ++i) {
    const Tensor& input = i < 6 ? context[4 + i] : norm.gamma;
    fresh.push_back(!input ? Tensor{} : input.node ? identity(input) : leaf(input));
  }
  norm.gamma = fresh[6];
  const BackwardResult first = norm_composed_backward(fresh[4], fresh[5], norm);
  Tensor total;
  auto include = [&](const Tensor& cotangent, const Tensor& value) {
    if (!cotangent || !value) return;
    const Tensor term = dot(reshape(cotangent, value.shape), value);
    total = total ? total + term : term;
  };
  include(fresh[0], first.gx);
  include(fresh[1], first.g_add);
  include(fresh[2], first.ggamma);
  include(fresh[3], first.gbeta);
  Tensors middle{fresh[4], fresh[5]};
  if (norm.gamma) middle.push_back(norm.gamma);
  const Tensors second = grad({total}, middle, {.create = true, .keep = true, .seeds = {}});
  Tensors wanted;
  for (const Tensor& tensor : fresh)
    if (tensor) wanted.push_back(tensor);
  Tensors seeds(context.cotangents.begin(), context.cotangents.begin() + static_cast<std::ptrdiff_t>(second.size()));
  const Tensors found = grad(second, wanted, {.create = true, .keep = true, .seeds = seeds});
  Tensors gradients;
  std::size_t at = 0;
  for (const Tensor& tensor : fresh) gradients.push_back(tensor ? found[at++] : Tensor{});
  return gradients;
}

struct NormSecond {
  Tensor dg, dx, dgamma;
};

NormSecond batch_norm_double_backward(const Incoming& in, const Tensor& g, const Tensor& x, const NormTensors& norm,
                                      bool need_x, bool need_gamma) {
  NormSecond out{empty_like(g), need_x ? empty_like(x) : Tensor{},
                 need_gamma && norm.gamma ? empty_like(norm.gamma) : Tensor{}};
  x.backend().batch_norm_double_backward(norm.shape, {.a = in.a.array(),
                                                      .a_add = in.a_add.array(),
                                                      .b = in.b.array(),
                                                      .c = in.c.array(),
                                                      .g = g.array(),
                                                      .x = x.array(),
                                                      .y = norm.y.array(),
                                                      .gamma = norm.gamma.array(),
                                                      .mean = norm.mean.array(),
                                                      .rstd = norm.rstd.array(),
                                                      .dg = out.dg.array(),
                                                      .dx = out.dx.array(),
                                                      .dgamma = out.dgamma.array()});
  record("batch_norm_double_backward", {in.a, in.a_add, in.b, in.c, g, x, norm.gamma},
         kept_of(norm, {in.a, in.a_add, in.b, in.c, g, x}), {&out.dg, &out.dx, &out.dgamma},
         [shape = norm.shape](const VjpContext& c) { return norm_double_backward_vjp(shape, c); });
  return out;
}

/// The vjp of the forward op. If another vjp gathered the sums, g is already masked.
BackwardResult batch_norm_backward(const VjpContext& c, const NormTensors& norm) {
  const Tensor &g = c.g(), &x = c[4], &sums = c.gathered;
  const Shape channels{x.cols()};
  const DType master = master_of(x.dtype);
  BackwardResult out;
  out.gx = empty_like(x);
  if (c.need(3)) out.g_add = sums ? g.detached() : empty_like(x);
  if (norm.gamma) {
    out.ggamma = empty_in(c.place(1), x.backend(), channels, master);
    out.gbeta = empty_in(c.place(2), x.backend(), channels, master);
  }
  x.backend().batch_norm_backward(norm.shape, {.g = g.array(),
                                               .x = x.array(),
                                               .y = norm.y.array(),
                                               .gamma = norm.gamma.array(),
                                               .mean = norm.mean.array(),
                                               .rstd = norm.rstd.array(),
                                               .sums = sums.array(),
                                               .gx = out.gx.array(),
                                               .g_add = sums ? Array{} : out.g_add.array(),
                                               .ggamma = out.ggamma.array(),
                                               .gbeta = out.gbeta.array()});
  record("batch_norm_backward", {g, x, norm.gamma}, kept_of(norm, {g, x}),
         {&out.gx, &out.g_add, &out.ggamma, &out.gbeta}, [shape = norm.shape](const VjpContext& c) {
           const NormSecond d = batch_norm_double_backward({c.g(0), c.g(1), c.g(2), c.g(3)}, c[4], c[5],
                                                           norm_from(shape, c), c.need(1), c.need(2));
           return Tensors{d.dg, d.dx, d.dgamma};
         });
  return out;
}

NormShape norm_shape(const Tensor& x, const BatchNormOptions& options, bool training) {
  require(x.shape.rank() >= 2 && options.groups > 0 && x.shape[0] % options.groups == 0, "batch_norm: ", x.shape,
          " does not divide into ", options.groups, " statistic groups");
  NormShape shape;
  shape.groups = options.groups, shape.rows = x.rows() / options.groups, shape.channels = x.cols();
  shape.relu = options.relu, shape.training = training, shape.epsilon = options.epsilon;
  if (training && options.ranks && options.ranks->ranks() > 1)
    shape.ranks = options.ranks, shape.rank_count = options.ranks->ranks();
  return shape;
}

void require_parameters(const Tensor& x, const Tensor& gamma, const Tensor& beta, const Tensor& add) {
  const Shape channels{x.cols()};
  for (const Tensor& tensor : {gamma, beta})
    require(!tensor || (tensor.shape == channels && tensor.dtype == master_of(x.dtype)), "batch_norm: expected ",
            name_of(master_of(x.dtype)), channels, " for gamma and beta, got ", name_of(tensor.dtype), tensor.shape);
  require(bool(gamma) == bool(beta), "batch_norm: give both gamma and beta, or neither");
  require(!add || (add.shape == x.shape && add.dtype == x.dtype), "batch_norm: cannot add ", name_of(add.dtype),
          add.shape, " to ", name_of(x.dtype), x.shape);
}

/// How the backward pass recomputes y: one pass over x, with the known statistics.
std::shared_ptr<Recomputation> recomputation(const PendingNorm& norm) {
  NormShape shape = norm.shape;
  shape.training = false;
  auto compute = [shape, x = norm.x.detached().released(), gamma = norm.gamma.detached(), beta = norm.beta.detached(),
                  add = norm.add.detached().released(), mean = norm.mean, rstd = norm.rstd] {
    const Tensor from = x.restored();
    const Tensor again = empty_like(from);
    from.backend().batch_norm(shape, {.x = from.array(),
                                      .gamma = gamma.array(),
                                      .beta = beta.array(),
                                      .add = add.restored().array(),
                                      .mean = mean.array(),
                                      .rstd = rstd.array(),
                                      .y = again.array()});
    return again.data;
  };
  return std::make_shared<Recomputation>(norm.y.data, std::move(compute));
}

/// The forward op: adds y and its mask to what `norm` has, and records it.
PendingNorm recorded(PendingNorm norm, bool recompute) {
  const Tensor& x = norm.x;
  norm.y = empty_like(x);
  const bool has_history = x.node || norm.gamma.node || norm.beta.node || norm.add.node;
  if (norm.shape.relu && has_history && x.backend().traits().relu_bits)
    norm.positive = empty(x.backend(), {(x.size() + 7) / 8}, DType::u8);
  if (recompute && has_history) norm.y.again = recomputation(norm);
  NormTensors later{norm.shape, norm.gamma, {}, norm.mean, norm.rstd};
  if (norm.shape.relu) later.y = norm.positive ? norm.positive : norm.y;
  const auto vjp = [shape = norm.shape](const VjpContext& c) {
    const BackwardResult back = batch_norm_backward(c, norm_from(shape, c));
    return Tensors{back.gx, back.ggamma, back.gbeta, back.g_add};
  };
  record("batch_norm", {x, norm.gamma, norm.beta, norm.add}, kept_of(later, {x}), {&norm.y}, vjp,
         norm.positive ? relu_norm_epilogue(norm.shape, x, norm.positive, norm.mean) : nullptr);
  return norm;
}

}  // namespace

PendingNorm record_batch_norm(const Tensor& x, const Tensor& gamma, const Tensor& beta, const Tensor& add,
                              const BatchNormOptions& options) {
  PendingNorm pending;
  pending.shape = norm_shape(x, options, true);
  require_parameters(x, gamma, beta, add);
  pending.x = x, pending.gamma = gamma, pending.beta = beta, pending.add = add;
  pending.mean = empty(x.backend(), {options.groups, x.cols()}, master_of(x.dtype));
  pending.rstd = empty_like(pending.mean);
  // A single row has no unbiased variance.
  if (options.running_mean && pending.shape.all_rows() > 1)
    pending.running = {options.running_mean.array(), options.running_variance.array(), options.running_share};
  return recorded(std::move(pending), options.recompute);
}

BatchNormResult batch_norm(const Tensor& x, const Tensor& gamma, const Tensor& beta, const Tensor& add,
                           const BatchNormOptions& options) {
  const PendingNorm pending = record_batch_norm(x, gamma, beta, add, options);
  pending.compute();
  return {pending.y, pending.mean, pending.rstd};
}

Tensor batch_norm_eval(const Tensor& x, const Tensor& gamma, const Tensor& beta, const Tensor& add, const Tensor& mean,
                       const Tensor& variance, const BatchNormOptions& options) {
  PendingNorm pending;
  pending.shape = norm_shape(x, options, false);
  require_parameters(x, gamma, beta, add);
  pending.x = x, pending.gamma = gamma, pending.beta = beta, pending.add = add;
  const Shape one{1, x.cols()}, all{options.groups, x.cols()};
  const Tensor scale = reciprocal(sqrt(variance.detached() + options.epsilon));
  pending.mean = broadcast(reshape(mean.detached(), one), all);
  pending.rstd = broadcast(reshape(scale, one), all);
  pending = recorded(std::move(pending), false);
  pending.compute();
  return pending.y;
}

}  // namespace vergence
