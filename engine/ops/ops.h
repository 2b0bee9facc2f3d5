// Every differentiable operation. Each checks its shapes, calls the backend once or a few times, and records its
// derivative. Errors name the op and both shapes.
//
// Elementwise binary ops broadcast a one-element tensor to any shape, [C] over the rows of [..., C], and [..., 1] over
// the columns of [..., C]. Both sides must have the same dtype. `place`: a tensor of the result's shape and type whose
// memory receives the result. Master: the type master_of(x.dtype), f32 or f64 (kernels/types.h).
#pragma once

#include <optional>
#include <string>

#include "engine/tensor.h"

namespace vergence {

// ---- elementwise (elementwise.cpp)
Tensor add(const Tensor& a, const Tensor& b);
Tensor sub(const Tensor& a, const Tensor& b);
Tensor mul(const Tensor& a, const Tensor& b);
Tensor div(const Tensor& a, const Tensor& b);
/// alpha x + beta
Tensor affine(const Tensor& x, double alpha, double beta = 0);
Tensor neg(const Tensor& x);
Tensor square(const Tensor& x);
Tensor relu(const Tensor& x);
/// x where `reference` > 0, else 0. `reference` is a constant (its derivative is zero almost everywhere).
Tensor relu_mask(const Tensor& x, const Tensor& reference);
Tensor sigmoid(const Tensor& x);
Tensor tanh(const Tensor& x);
Tensor exp(const Tensor& x);
Tensor log(const Tensor& x);
Tensor sqrt(const Tensor& x);
Tensor reciprocal(const Tensor& x);
Tensor abs(const Tensor& x);
/// max(x, low); gradient 0 where x <= low (PyTorch: where x < low).
Tensor clamp_min(const Tensor& x, double low);
/// To another floating-point type; the cotangent is cast back.
Tensor cast(const Tensor& x, DType dtype);
/// The same value with its own identity in the graph.
Tensor identity(const Tensor& x);

inline Tensor operator+(const Tensor& a, const Tensor& b) { return add(a, b); }
inline Tensor operator-(const Tensor& a, const Tensor& b) { return sub(a, b); }
inline Tensor operator*(const Tensor& a, const Tensor& b) { return mul(a, b); }
inline Tensor operator/(const Tensor& a, const Tensor& b) { return div(a, b); }
// With a number: one `affine` each.
inline Tensor operator*(double a, const Tensor& x) { return affine(x, a); }
inline Tensor operator*(const Tensor& x, double a) { return affine(x, a); }
inline Tensor operator/(const Tensor& x, double a) { return affine(x, 1 / a); }
inline Tensor operator+(const Tensor& x, double b) { return affine(x, 1, b); }
inline Tensor operator+(double b, const Tensor& x) { return affine(x, 1, b); }
inline Tensor operator-(const Tensor& x, double b) { return affine(x, 1, -b); }
inline Tensor operator-(double b, const Tensor& x) { return affine(x, -1, b); }
inline Tensor operator-(const Tensor& x) { return affine(x, -1); }

// ---- reductions (reduce.cpp)
/// Sum of everything: rank 0.
Tensor sum(const Tensor& x);
Tensor mean(const Tensor& x);
/// factor times the sum of everything: rank 0. Saves one pass forward and one backward compared with sum and affine.
Tensor scaled_sum(const Tensor& x, double factor);
/// <a, b>: rank 0.
Tensor dot(const Tensor& a, const Tensor& b);
/// [..., C] -> [C].
Tensor sum_over_rows(const Tensor& x, const Tensor& place = {});
/// [..., C] -> [..., 1].
Tensor sum_cols(const Tensor& x);
/// Sums of a*b over rows (dot_rows) or columns (dot_cols), without storing the product.
Tensor dot_rows(const Tensor& a, const Tensor& b);  // -> [C]
Tensor dot_cols(const Tensor& a, const Tensor& b);  // -> [..., 1]
/// Repeats a [C], [..., 1] or one-element tensor to `shape`.
Tensor broadcast(const Tensor& x, const Shape& shape);
/// The transpose of broadcast: sums `x` down to `shape`.
Tensor sum_to(const Tensor& x, const Shape& shape);
/// Largest value of each row, [..., 1]; a constant (not differentiable).
Tensor max_cols(const Tensor& x);

// ---- movement (move.cpp). An index out of range throws on the CPU; a GPU writes NaN, or skips the row (scatter_rows).
Tensor reshape(const Tensor& x, const Shape& shape);
/// Concatenates along `axis`.
Tensor concat(const Tensors& parts, int axis);
/// `count` entries along `axis`, beginning at `start`.
Tensor slice(const Tensor& x, int axis, std::int64_t start, std::int64_t count);
/// Zeros of extent `total` along `axis`, with x at `start`: the transpose of slice.
Tensor pad(const Tensor& x, int axis, std::int64_t start, std::int64_t total);
/// Matrix transpose of the last two axes, stored as a new tensor.
Tensor transpose(const Tensor& x);
/// out[i] = x[index[i]] along the first axis; index i32.
Tensor gather_rows(const Tensor& x, const Tensor& index);
/// [rows, ...] zeros with x[i] added at index[i].
Tensor scatter_rows(const Tensor& x, const Tensor& index, std::int64_t rows);
/// [R, C] and i32 [R] -> [R]: one entry of each row.
Tensor take_along_row(const Tensor& x, const Tensor& index);
/// [R] -> [R, cols]: the transpose of take_along_row.
Tensor scatter_along_row(const Tensor& x, const Tensor& index, std::int64_t cols);

// ---- products (linear.cpp)
/// op(a) op(b) for matrices; op transposes if requested.
Tensor matmul(const Tensor& a, const Tensor& b, bool transpose_a = false, bool transpose_b = false,
              const Tensor& place = {});
/// x w^T + bias: x [N, in], w [out, in], bias [out] or none.
Tensor linear(const Tensor& x, const Tensor& w, const Tensor& bias = {});
/// x times m [C], repeated over rows: masks features.
Tensor mask_scale(const Tensor& x, const Tensor& m);

// ---- convolution (conv.cpp)
struct ConvOptions {
  std::int64_t stride = 1, padding = 0, dilation = 1, groups = 1;
};
/// x [N,H,W,Cin], w [Cout,kh,kw,Cin/groups] -> [N,H',W',Cout]. x bf16 takes w in bf16 or f32.
Tensor conv2d(const Tensor& x, const Tensor& w, const ConvOptions& conv = {});
/// The transpose of conv2d in x (transposed convolution): g [N,H',W',Cout] -> `x_shape`.
Tensor conv2d_data(const Tensor& g, const Tensor& w, const Shape& x_shape, const ConvOptions& conv = {});
/// The transpose of conv2d in w: -> `w_shape`, of type `dtype`.
Tensor conv2d_weight(const Tensor& x, const Tensor& g, const Shape& w_shape, DType dtype, const ConvOptions& conv = {},
                     const Tensor& place = {});

// ---- normalization (norm.cpp, conv_norm.cpp; of rows: rows.cpp)
struct BatchNormOptions {
  std::int64_t groups = 1;  // statistic groups: equal consecutive parts of the first axis
  // Training: the ranks among which each group extends, with as many rows on each; null: this rank alone. gamma, beta
  // and cotangents of their gradients must be the same on all of them; the communicator must outlive the graph.
  Communicator* ranks = nullptr;
  bool relu = false;
  double epsilon = 1e-5;
  // Training: running statistics [C], master (or none), which each group's statistics update with this share.
  Tensor running_mean = {}, running_variance = {};
  double running_share = 0;
  // Training: nodes do not keep y; a backward pass that reads it recomputes it (one pass over x, the same bits).
  bool recompute = false;
};
struct BatchNormResult {
  Tensor y;
  Tensor mean, rstd;  // [groups, C], constants: biased statistics of x
};
/// Training mode: y = [relu](gamma (x - mean) rstd + beta [+ add]), statistics per group over all but the last axis.
/// gamma, beta [C] master (none: 1 and 0); add of x's shape or none.
BatchNormResult batch_norm(const Tensor& x, const Tensor& gamma, const Tensor& beta, const Tensor& add,
                           const BatchNormOptions& options = {});
/// batch_norm of conv2d(x, w, conv), recorded as those two ops; the device may compute them together.
BatchNormResult conv2d_batch_norm(const Tensor& x, const Tensor& w, const ConvOptions& conv, const Tensor& gamma,
                                  const Tensor& beta, const Tensor& add, const BatchNormOptions& options = {});
/// Eval mode: the given mean and variance [C] are constants.
Tensor batch_norm_eval(const Tensor& x, const Tensor& gamma, const Tensor& beta, const Tensor& add, const Tensor& mean,
                       const Tensor& variance, const BatchNormOptions& options = {});
/// Scales rows to unit length: x / max(|x|, epsilon).
Tensor l2_normalize(const Tensor& x, double epsilon = 1e-12);
/// Over the last axis.
Tensor log_softmax(const Tensor& x);
Tensor softmax(const Tensor& x);
/// Mean over rows of -log softmax(logits)[target]; targets i32 [R].
Tensor cross_entropy(const Tensor& logits, const Tensor& targets);

// ---- pooling (pool.cpp): [N,H,W,C] -> [N,H',W',C], H' = (H + 2 padding - kernel) / stride + 1, rounded down
struct PoolOptions {
  std::int64_t kernel = 2, stride = 2, padding = 0;
};
/// Padding never wins; of equal values the first gets the gradient.
Tensor max_pool(const Tensor& x, const PoolOptions& pool);
/// The mean over a window's pixels inside the image (PyTorch's count_include_pad=False).
Tensor average_pool(const Tensor& x, const PoolOptions& pool);
/// [N,H,W,C] -> [N,C], in x's type or, if requested, its master type.
Tensor global_average_pool(const Tensor& x, std::optional<DType> dtype = {});

}  // namespace vergence
