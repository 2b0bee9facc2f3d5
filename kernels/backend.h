// The hardware contract: everything the engine asks of a device. One implementation per device; a kernel missing on
// one of them does not compile. Tensors arrive as contiguous arrays; images are NHWC, convolution weights OHWI
// (output channels, kernel height, kernel width, input channels / groups). Shapes were checked by the engine.
//
// Types: "any" is f64, f32 or bf16. Unless said otherwise all arrays of a call share one type. Where a parameter is
// called *master* it has master_of(type): f64 beside f64, f32 beside f32 and bf16. Kernels compute in Compute<T>.
// Calls are ordered on the device's compute stream; host-visible results need `synchronize` (download implies it).
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/types.h"

namespace vergence {

/// Elementwise functions of up to two inputs `a`, `b` and two constants `alpha`, `beta`.
enum class Map {
  copy,       // a (also converts between any two types)
  affine,     // alpha a + beta
  add,        // alpha a + beta b
  mul,        // a b
  div,        // a / b
  relu,       // max(a, 0)
  relu_mask,  // a if b > 0, else 0: the cotangent a of a ReLU whose input or output is b
  sigmoid,    // 1 / (1 + exp(-a))
  tanh,
  exp,
  log,
  sqrt,
  reciprocal,  // 1 / a
  abs,
  sign,       // -1, 0, 1
  clamp_min,  // max(a, alpha)
  greater,    // 1 if a > alpha, else 0
};

/// How an input of `map` is repeated over the (rows, cols) grid of the output.
enum class Repeat { none, over_rows /* cols values */, over_cols /* rows values */, everywhere /* one value */ };

struct Operand {
  ConstArray values;
  Repeat repeat = Repeat::none;
};

/// Reductions of a (rows, cols) grid. `dot` sums a*b, b of a's shape.
enum class Reduce { sum, dot, max };
enum class Along { rows /* rows are summed: cols results */, cols /* cols are summed: rows results */ };

/// One convolution's geometry (cross-correlation, as everywhere in deep learning).
struct ConvShape {
  std::int64_t batch = 1, in_height = 1, in_width = 1, in_channels = 1, out_channels = 1;
  std::int64_t kernel_height = 1, kernel_width = 1;
  std::int64_t stride = 1, padding = 0, dilation = 1, groups = 1;

  std::int64_t out_height() const {
    return (in_height + 2 * padding - dilation * (kernel_height - 1) - 1) / stride + 1;
  }
  std::int64_t out_width() const { return (in_width + 2 * padding - dilation * (kernel_width - 1) - 1) / stride + 1; }
  std::int64_t in_size() const { return batch * in_height * in_width * in_channels; }
  std::int64_t out_size() const { return batch * out_height() * out_width() * out_channels; }
  std::int64_t weight_size() const { return out_channels * kernel_height * kernel_width * (in_channels / groups); }
  /// Multiply-adds times two of one pass.
  double flops() const {
    return 2.0 * static_cast<double>(out_size()) *
           static_cast<double>(kernel_height * kernel_width * in_channels / groups);
  }
  bool operator==(const ConvShape&) const = default;
};

/// Rows of `channels` values in `groups` equal consecutive parts, each normalised with its own statistics.
struct NormShape {
  std::int64_t groups = 1, rows = 1 /* per group */, channels = 1;
  bool relu = false;     // y = max(., 0) after the optional addition
  bool training = true;  // false: mean and rstd are given constants
  double epsilon = 1e-5;
};

/// A pooling window over NHWC images; padding cells never win a maximum and count as absent in an average.
struct PoolShape {
  std::int64_t batch = 1, in_height = 1, in_width = 1, channels = 1;
  std::int64_t kernel_height = 1, kernel_width = 1, stride = 1, padding = 0;

  std::int64_t out_height() const { return (in_height + 2 * padding - kernel_height) / stride + 1; }
  std::int64_t out_width() const { return (in_width + 2 * padding - kernel_width) / stride + 1; }
};

/// A parameter's place in the flat buffer. `adapt`: lars applies weight decay and the trust ratio to it; sgd and adam
/// decay every segment.
struct Segment {
  std::int64_t offset = 0, size = 0;
  bool adapt = true;
};

struct SgdSettings {
  double lr = 0, momentum = 0, weight_decay = 0;
  bool nesterov = false, first_step = false;  // first step: the momentum buffer becomes the gradient
};
struct LarsSettings {
  double lr = 0, momentum = 0.9, weight_decay = 0, eta = 0.02, epsilon = 1e-8;
  bool clip = false;        // LARC: never more than the plain learning rate
  bool joint_norm = false;  // denominator |g + wd p| instead of |g| + wd |p| + epsilon
  bool first_step = false;
};
struct AdamSettings {
  double lr = 0, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weight_decay = 0;
  bool decoupled = false;  // AdamW
  std::int64_t step = 1;   // counts from 1
};

struct MemoryUse {
  std::int64_t used = 0, peak = 0, reserved = 0;  // bytes
};

class Backend {
 public:
  virtual ~Backend() = default;
  virtual const char* name() const = 0;

  // ---- memory. Blocks are at least 64-byte aligned; contents are undefined after allocate.
  virtual void* allocate(std::int64_t bytes) = 0;
  virtual void release(void* block, std::int64_t bytes) noexcept = 0;
  virtual MemoryUse memory() const = 0;
  virtual void reset_peak() = 0;
  virtual void upload(void* device, const void* host, std::int64_t bytes) = 0;
  virtual void download(void* host, const void* device, std::int64_t bytes) = 0;
  virtual void synchronize() = 0;
  virtual void fill(Array out, double value) = 0;

  // ---- elementwise and reductions over a (rows, cols) grid. `out` may be an unrepeated input (in place).
  virtual void map(Map op, std::int64_t rows, std::int64_t cols, Operand a, Operand b, double alpha, double beta,
                   Array out) = 0;
  virtual void reduce(Reduce op, Along along, std::int64_t rows, std::int64_t cols, ConstArray a, ConstArray b,
                      Array out) = 0;

  // ---- movement. copy_block copies `rows` runs of `cols` elements between arrays of row lengths `*_stride`.
  virtual void copy_block(std::int64_t rows, std::int64_t cols, ConstArray from, std::int64_t from_stride,
                          std::int64_t from_offset, Array to, std::int64_t to_stride, std::int64_t to_offset) = 0;
  /// (batch, rows, cols) -> (batch, cols, rows).
  virtual void transpose(std::int64_t batch, std::int64_t rows, std::int64_t cols, ConstArray in, Array out) = 0;
  /// out[i,:] = in[index[i],:]; index is i32 and must lie in [0, in rows).
  virtual void gather_rows(std::int64_t cols, ConstArray in, ConstArray index, Array out) = 0;
  /// out = 0; out[index[i],:] += in[i,:] in order of i.
  virtual void scatter_rows(std::int64_t cols, ConstArray in, ConstArray index, Array out) = 0;
  /// out[i] = in[i, index[i]].
  virtual void pick(std::int64_t cols, ConstArray in, ConstArray index, Array out) = 0;
  /// out = 0; out[i, index[i]] = in[i].
  virtual void unpick(std::int64_t cols, ConstArray in, ConstArray index, Array out) = 0;

  // ---- matrix product: out(m,n) = op(a) op(b) [+ bias(n)]; a is (m,k), or (k,m) if transpose_a; likewise b.
  virtual void gemm(bool transpose_a, bool transpose_b, std::int64_t m, std::int64_t n, std::int64_t k, ConstArray a,
                    ConstArray b, ConstArray bias, Array out) = 0;

  // ---- convolution: the three maps of the trilinear form <g, F(x,w)>. Activations any; w master or of the
  // activations' type (rounded to it before use); the weight gradient `dw` likewise, accumulated in Compute<T>.
  virtual void conv2d(const ConvShape& shape, ConstArray x, ConstArray w, Array y) = 0;
  virtual void conv2d_data(const ConvShape& shape, ConstArray g, ConstArray w, Array dx) = 0;
  virtual void conv2d_weight(const ConvShape& shape, ConstArray x, ConstArray g, Array dw) = 0;

  // ---- batch norm over rows, per group and channel; x, y, g and their cotangents any, all else master.
  // mean and rstd are (groups, channels): written when training, read otherwise. add: optional, of x's shape.
  virtual void batch_norm(const NormShape& shape, ConstArray x, ConstArray gamma, ConstArray beta, ConstArray add,
                          Array mean, Array rstd, Array y) = 0;
  /// With relu, g counts only where y > 0. g_add (optional) receives that masked g. ggamma, gbeta: (channels), both
  /// summed over groups.
  virtual void batch_norm_backward(const NormShape& shape, ConstArray g, ConstArray x, ConstArray y, ConstArray gamma,
                                   ConstArray mean, ConstArray rstd, Array gx, Array g_add, Array ggamma,
                                   Array gbeta) = 0;
  /// Cotangents a of gx, a_add of g_add, b of ggamma, c of gbeta (each optional) -> dg, dx, dgamma (each optional).
  virtual void batch_norm_double_backward(const NormShape& shape, ConstArray a, ConstArray a_add, ConstArray b,
                                          ConstArray c, ConstArray g, ConstArray x, ConstArray y, ConstArray gamma,
                                          ConstArray mean, ConstArray rstd, Array dg, Array dx, Array dgamma) = 0;

  // ---- rows: softmax and L2 normalisation.
  virtual void log_softmax(std::int64_t rows, std::int64_t cols, ConstArray x, Array y) = 0;
  /// gx = g - exp(y) sum(g).
  virtual void log_softmax_backward(std::int64_t rows, std::int64_t cols, ConstArray g, ConstArray y, Array gx) = 0;
  /// u = x / max(|x|, epsilon); norm (rows) master receives max(|x|, epsilon).
  virtual void l2_normalize(std::int64_t rows, std::int64_t cols, double epsilon, ConstArray x, Array u,
                            Array norm) = 0;
  /// gx = (g - u <u,g>) / norm, or g / epsilon where norm == epsilon.
  virtual void l2_normalize_backward(std::int64_t rows, std::int64_t cols, double epsilon, ConstArray g, ConstArray u,
                                     ConstArray norm, Array gx) = 0;

  // ---- mask scaling (y = x m, m per column): both gradients in one pass. gx = g m, gm = sum over rows of g x.
  virtual void mask_backward(std::int64_t rows, std::int64_t cols, ConstArray g, ConstArray x, ConstArray m, Array gx,
                             Array gm) = 0;

  // ---- pooling. `index` (i32, of y's shape) is the winning cell h * in_width + w of its image; first one on ties.
  virtual void max_pool(const PoolShape& shape, ConstArray x, Array y, Array index) = 0;
  /// dx = 0; dx[index] += g: the transpose of max_pool_gather.
  virtual void max_pool_scatter(const PoolShape& shape, ConstArray g, ConstArray index, Array dx) = 0;
  /// y = x[index].
  virtual void max_pool_gather(const PoolShape& shape, ConstArray x, ConstArray index, Array y) = 0;
  virtual void average_pool(const PoolShape& shape, ConstArray x, Array y) = 0;
  virtual void average_pool_backward(const PoolShape& shape, ConstArray g, Array dx) = 0;

  // ---- optimisers over flat buffers (f32 or f64); `gradient` is read only.
  virtual void sgd(const SgdSettings& settings, const std::vector<Segment>& segments, ConstArray gradient,
                   Array parameters, Array momentum) = 0;
  virtual void lars(const LarsSettings& settings, const std::vector<Segment>& segments, ConstArray gradient,
                    Array parameters, Array momentum) = 0;
  virtual void adam(const AdamSettings& settings, const std::vector<Segment>& segments, ConstArray gradient,
                    Array parameters, Array first_moment, Array second_moment) = 0;
};

/// The CPU, always there. Created at first use.
Backend& cpu_backend();

/// The devices of this build and machine, by name; the CPU is first. The only place that knows which were compiled in.
const std::vector<Backend*>& backends();

/// The device called `name` ("cpu", "cuda", or "auto": the last of the list); throws UsageError naming those there are.
Backend& backend(const char* name);

}  // namespace vergence
