// The hardware contract: everything the engine asks of a device. A device that lacks a kernel does not compile. Arrays
// are contiguous: images NHWC, convolution weights OHWI (output channels, kernel height, kernel width, input channels /
// groups). The engine has checked the shapes. Types: "any" is f64, f32 or bf16; "master" is master_of(type), f64 for
// f64, f32 for f32 and bf16. Unless noted otherwise, all arrays of a call share one type. Kernels compute in
// Compute<T>. Calls run in order on the device's compute stream; the host sees results after `synchronize` or
// `download`.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "kernels/choices.h"
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

/// Reductions of a (rows, cols) grid. `dot` sums a*b, where b has a's shape.
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
  /// Floating-point operations of one pass: two per multiply-add.
  double flops() const {
    return 2.0 * static_cast<double>(out_size()) *
           static_cast<double>(kernel_height * kernel_width * in_channels / groups);
  }
  bool operator==(const ConvShape&) const = default;
};

enum class ConvPass { forward, data, weight };

class Communicator;

/// Rows of `channels` values, split into `groups` equal consecutive parts, each normalized with its own statistics.
/// With `ranks`, a group is the rows of that group on all ranks, of which each has `rows`: the kernels exchange their
/// sums between passes. gamma and beta, and cotangents of their gradients, are the same on all ranks; the gradients
/// are those of this rank's rows, whose sum over ranks is the whole.
struct NormShape {
  std::int64_t groups = 1, rows = 1 /* per group */, channels = 1;
  bool relu = false;     // y = max(., 0) after the optional addition
  bool training = true;  // false: mean and rstd are given as constants
  double epsilon = 1e-5;
  Communicator* ranks = nullptr;  // null: this rank alone
  std::int64_t rank_count = 1;    // of `ranks`

  VERGENCE_BOTH std::int64_t all_rows() const { return rows * rank_count; }
};

/// One layer's running statistics r [channels], master, which a training batch updates group by group: r becomes
/// (1 - share) r + share s, with s the mean or the unbiased variance. Needs more than one row per group.
struct RunningUpdate {
  Array mean, variance;
  double share = 0;

  explicit operator bool() const { return bool(mean); }
};

/// The arrays of a batch norm. x, y and add: any one type; the others but `positive`: master. Absent: beta, gamma, add.
struct BatchNormArrays {
  ConstArray x = {}, gamma = {}, beta = {};  // gamma and beta (channels): optional
  ConstArray add = {};                       // of x's shape: optional
  Array mean = {}, rstd = {};                // (groups, channels): written when training, read otherwise
  Array y = {};
  Array positive = {};         // optional, with relu; u8, bit i % 8 of byte i / 8 receives y[i] > 0, for whole bytes
  RunningUpdate running = {};  // optional, when training
};

/// The arrays of its backward pass: cotangent g of y -> gx, g_add, ggamma, gbeta. With relu, g counts only where y > 0.
struct BatchNormBackwardArrays {
  ConstArray g = {}, x = {}, y = {};  // y: values or `positive` bits
  ConstArray gamma = {}, mean = {}, rstd = {};
  ConstArray sums = {};           // optional, without g_add: from conv2d_data_relu, whose dx is g, already masked
  Array gx = {}, g_add = {};      // optional; g_add receives the masked g
  Array ggamma = {}, gbeta = {};  // optional; (channels), summed over groups
};

/// The arrays of its second backward pass: cotangents of the first one's results -> dg, dx, dgamma.
struct BatchNormDoubleBackwardArrays {
  ConstArray a = {}, a_add = {}, b = {}, c = {};  // of gx, g_add, ggamma and gbeta, each optional
  ConstArray g = {}, x = {}, y = {};              // as in the backward pass; only dx and dgamma need g
  ConstArray gamma = {}, mean = {}, rstd = {};
  Array dg = {}, dx = {}, dgamma = {};  // each optional
};

/// The arrays of conv2d_data_relu. g, w, raw and dx: bf16, w also master.
struct ConvDataReluArrays {
  ConstArray g = {}, w = {};
  ConstArray raw = {}, positive = {}, mean = {};  // the batch norm's input, its mask and its means
  Array dx = {};                                  // masked by `positive`
  Array sums = {};  // f32 (groups, relu_tiles, 2, channels): each tile's sums of dx and of dx (raw - mean)
};

/// A pooling window over NHWC images. Padding never wins a maximum and is not counted in an average.
struct PoolShape {
  std::int64_t batch = 1, in_height = 1, in_width = 1, channels = 1;
  std::int64_t kernel_height = 1, kernel_width = 1, stride = 1, padding = 0;

  std::int64_t out_height() const { return (in_height + 2 * padding - kernel_height) / stride + 1; }
  std::int64_t out_width() const { return (in_width + 2 * padding - kernel_width) / stride + 1; }
};

/// The InfoNCE loss of `sets` independent sets of `rows` rows of `width` values. The candidates of row i are the
/// other rows of its set; its positive is row (i + rows / 2) mod rows.
struct InfoNceShape {
  std::int64_t sets = 1, rows = 2, width = 1;
  double temperature = 1;
};

/// The standardized embeddings of two views: z holds z1 (rows, cols), then z2. c = z1^T z2 / rows.
struct CrossCorrelationShape {
  std::int64_t rows = 1, cols = 1;
  bool gram = false;  // sum the squares of c as <z1 z1^T, z2 z2^T> / rows^2 instead of one by one

  /// The form with fewer operations, forward and backward: 10 rows^2 cols by the Gram matrices (12 on the CPU) or
  /// 6 rows cols^2 by c.
  static CrossCorrelationShape of(std::int64_t rows, std::int64_t cols) { return {rows, cols, 5 * rows < 3 * cols}; }
};

/// A parameter's place in the flat buffer. `adapt`: lars applies weight decay and the trust ratio to this segment; sgd
/// and adam decay every segment.
struct Segment {
  std::int64_t offset = 0, size = 0;
  bool adapt = true;
};

/// Values that change with every step are in `scalars`, f64 in device memory, so that a replayed step reads new ones:
/// the learning rate (sgd, lars, adam), then for adam 1 - beta1^t and 1 - beta2^t at step t, counted from 1.
struct SgdSettings {
  double momentum = 0, weight_decay = 0;
  bool nesterov = false;
};
struct LarsSettings {
  double momentum = 0.9, weight_decay = 0, eta = 0.02, epsilon = 1e-8;
  bool clip = false;        // LARC: never more than the plain learning rate
  bool joint_norm = false;  // denominator |g + wd p| instead of |g| + wd |p| + epsilon
};
struct AdamSettings {
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weight_decay = 0;
  bool decoupled = false;  // AdamW
};

struct ViewBatch;  // kernels/views.h

struct MemoryUse {
  std::int64_t used = 0, peak = 0, reserved = 0;  // bytes
};

/// Work that a device recorded once and can replay, such as a CUDA graph: the same kernels on the same memory. Keeps
/// alive the memory that was allocated while recording.
class Recording {
 public:
  virtual ~Recording() = default;
  virtual void replay() = 0;
};

/// What a device learned from a warm-up run of some work, for recording the same work.
class Rehearsal {
 public:
  virtual ~Rehearsal() = default;
};

/// The properties of a device that its callers need. The defaults describe the host's processors.
struct DeviceTraits {
  /// Has its own memory: `free_memory` and `memory().reserved` report its size.
  bool own_memory = false;
  /// Computes asynchronously and leaves the host's processors free for other work.
  bool beside_host = false;
  /// Supports `begin_recording` and the calls that go with it.
  bool records = false;
  /// Training keeps its images in device memory if they fit, and makes the views there.
  bool makes_views = false;
  /// Has many units to fill and a cost per call: a few large calls are better than many small ones.
  bool wide = false;

  /// Supports `--precision tf32`.
  bool tf32 = false;
  /// Rounds weight gradients if `--weight-gradients bf16` allows it.
  bool rounds_weight_gradients = false;
  /// Has instructions for bf16 products. Without them bf16 saves only memory and is slower than f32.
  bool fast_bf16 = false;

  /// The backward passes of batch norm prefer the bits of `positive`, u8, to y.
  bool relu_bits = false;
  /// Convolutions of bf16 images prefer weights that are already bf16.
  bool bf16_weights = false;
  /// Most convolutions add without further passes over the result. Other devices, and here our forward tensor kernel,
  /// need extra memory and a separate sum, and may round in between.
  bool adds_convolutions = false;
};

class Backend {
 public:
  virtual ~Backend() = default;
  virtual const char* name() const = 0;
  virtual DeviceTraits traits() const = 0;
  /// Sets the kernels to use from now on. Do not call it while another thread gives the device work.
  virtual void set_choices(const KernelChoices& choices) { choices_ = choices; }
  virtual const KernelChoices& choices() const { return choices_; }
  /// The device's name: "NVIDIA H200, compute capability 9.0, 140 GiB".
  virtual std::string description() const { return name(); }
  /// What computes convolutions of such activations, if the device has a choice: "cuDNN 9.19", "own kernels (why)".
  /// Throws UsageError if the user chose something else.
  virtual std::string convolutions_by(DType /*activations*/) { return {}; }

  // ---- memory. Blocks are at least 64-byte aligned; contents are undefined after allocate.
  virtual void* allocate(std::int64_t bytes) = 0;
  virtual void release(void* block, std::int64_t bytes) noexcept = 0;
  virtual MemoryUse memory() const = 0;
  /// Bytes that can still be allocated; the largest number if this is unknown.
  virtual std::int64_t free_memory() const { return std::numeric_limits<std::int64_t>::max(); }
  virtual void reset_peak() = 0;
  virtual void upload(void* device, const void* host, std::int64_t bytes) = 0;
  /// An upload that does not wait for the work under way. Work submitted later sees it; it waits only for work
  /// submitted before the previous `upload_ahead`. For two or more buffers used in turn.
  virtual void upload_ahead(void* device, const void* host, std::int64_t bytes) { upload(device, host, bytes); }
  virtual void download(void* host, const void* device, std::int64_t bytes) = 0;
  virtual void synchronize() = 0;

  // ---- recordings, for devices with `records`.
  /// Work between these two calls runs as usual.
  virtual void begin_rehearsal() {}
  virtual std::unique_ptr<Rehearsal> end_rehearsal() { return nullptr; }
  /// Work between these two calls is recorded, not run. Uploads become constants of the recording; downloads and
  /// `synchronize` throw. rehearsal: optional, of the same work; the recording may then take less memory.
  virtual void begin_recording(const Rehearsal* /*rehearsal*/ = nullptr) {
    throw Error(join(name(), ": cannot record"));
  }
  virtual std::unique_ptr<Recording> end_recording() { throw Error(join(name(), ": cannot record")); }

  // ---- elementwise and reductions over a (rows, cols) grid. `out` may be an unrepeated input (in place).
  virtual void fill(Array out, double value) = 0;
  virtual void map(Map op, std::int64_t rows, std::int64_t cols, Operand a, Operand b, double alpha, double beta,
                   Array out) = 0;
  virtual void reduce(Reduce op, Along along, std::int64_t rows, std::int64_t cols, ConstArray a, ConstArray b,
                      Array out) = 0;

  // ---- movement. An index out of range throws on the CPU; a GPU writes NaN, or skips the row (scatter_rows).
  // copy_block copies `rows` runs of `cols` elements between arrays of row lengths `*_stride`.
  virtual void copy_block(std::int64_t rows, std::int64_t cols, ConstArray from, std::int64_t from_stride,
                          std::int64_t from_offset, Array to, std::int64_t to_stride, std::int64_t to_offset) = 0;
  /// (batch, rows, cols) -> (batch, cols, rows).
  virtual void transpose(std::int64_t batch, std::int64_t rows, std::int64_t cols, ConstArray in, Array out) = 0;
  /// out[i,:] = in[index[i],:]; index is i32 and must be in [0, in rows).
  virtual void gather_rows(std::int64_t cols, ConstArray in, ConstArray index, Array out) = 0;
  /// out = 0; out[index[i],:] += in[i,:] in order of i.
  virtual void scatter_rows(std::int64_t cols, ConstArray in, ConstArray index, Array out) = 0;
  /// out[i] = in[i, index[i]].
  virtual void take_along_row(std::int64_t cols, ConstArray in, ConstArray index, Array out) = 0;
  /// out = 0; out[i, index[i]] = in[i].
  virtual void scatter_along_row(std::int64_t cols, ConstArray in, ConstArray index, Array out) = 0;

  // ---- matrix product: out(m,n) = op(a) op(b) [+ bias(n)]. a is (m,k), or (k,m) if transpose_a; b is (k,n) or (n,k).
  virtual void gemm(bool transpose_a, bool transpose_b, std::int64_t m, std::int64_t n, std::int64_t k, ConstArray a,
                    ConstArray b, ConstArray bias, Array out) = 0;
  /// The largest relative error from `gemm` rounding f32 operands before it multiplies. Sums are in f32 or wider.
  virtual double f32_operand_rounding() const { return 0; }

  // ---- convolution and its two gradients. Activations: any type. w and dw: master or the activations' type, to which
  // w is rounded before use. add: adds to what the result holds. Sums are in Compute<T>.
  virtual void conv2d(const ConvShape& shape, ConstArray x, ConstArray w, Array y, bool add = false) = 0;
  virtual void conv2d_data(const ConvShape& shape, ConstArray g, ConstArray w, Array dx, bool add = false) = 0;
  virtual void conv2d_weight(const ConvShape& shape, ConstArray x, ConstArray g, Array dw) = 0;

  // ---- batch norm over rows, per group and channel
  virtual void batch_norm(const NormShape& shape, const BatchNormArrays& arrays) = 0;
  /// conv2d of x and w to raw, bf16, and training batch norm of raw, if the device can gather the statistics while it
  /// convolves; norm.x is not read. Returns false, having done nothing, if it cannot.
  virtual bool conv2d_batch_norm(const ConvShape& conv, ConstArray x, ConstArray w, Array raw, const NormShape& shape,
                                 const BatchNormArrays& norm);
  /// conv2d_data of the only reader (with `add`: the last) of a batch norm's relu output. Returns false, having done
  /// nothing, if the device cannot.
  virtual bool conv2d_data_relu(const ConvShape& conv, const NormShape& norm, const ConvDataReluArrays& arrays,
                                bool add = false);
  /// The tiles per group of such a data gradient; 0 if the device has none.
  virtual std::int64_t relu_tiles(const ConvShape&, const NormShape&) const { return 0; }
  virtual void batch_norm_backward(const NormShape& shape, const BatchNormBackwardArrays& arrays) = 0;
  virtual void batch_norm_double_backward(const NormShape& shape, const BatchNormDoubleBackwardArrays& arrays) = 0;

  // ---- rows: softmax and L2 normalization.
  virtual void log_softmax(std::int64_t rows, std::int64_t cols, ConstArray x, Array y) = 0;
  /// gx = g - exp(y) sum(g).
  virtual void log_softmax_backward(std::int64_t rows, std::int64_t cols, ConstArray g, ConstArray y, Array gx) = 0;
  /// u = x / max(|x|, epsilon); norm (rows) master receives max(|x|, epsilon).
  virtual void l2_normalize(std::int64_t rows, std::int64_t cols, double epsilon, ConstArray x, Array u,
                            Array norm) = 0;
  /// gx = (g - u <u,g>) / norm, or g / epsilon where norm == epsilon.
  virtual void l2_normalize_backward(std::int64_t rows, std::int64_t cols, double epsilon, ConstArray g, ConstArray u,
                                     ConstArray norm, Array gx) = 0;

  // ---- losses of embeddings, f64 or f32. InfoNCE: s = u u^T / temperature; log_p, lse and g are (sets, rows).
  /// log_p[i] = s[i, positive of i] - lse[i]; lse[i] = log of the sum of exp(s[i, j]) over the candidates j.
  virtual void info_nce(const InfoNceShape& shape, ConstArray u, Array log_p, Array lse) = 0;
  /// gu = (E + E^T) u / temperature; E[i, j] = g[i] ([j is the positive] - exp(s[i, j] - lse[i])), E[i, i] = 0.
  virtual void info_nce_backward(const InfoNceShape& shape, ConstArray g, ConstArray u, ConstArray lse, Array gu) = 0;
  /// Cotangent a of gu -> dg, du (optional); lse is treated as a function of u.
  virtual void info_nce_double_backward(const InfoNceShape& shape, ConstArray a, ConstArray g, ConstArray u,
                                        ConstArray lse, Array dg, Array du) = 0;
  /// diagonal = sum of (c_ii - 1)^2, off_diagonal = sum over i != j of c_ij^2, one value each; c_ii: (cols). factor:
  /// (cols, cols), optional, only without `gram`; receives c times rows, with zeros on its diagonal.
  virtual void cross_correlation_loss(const CrossCorrelationShape& shape, ConstArray z, Array diagonal,
                                      Array off_diagonal, Array c_ii, Array factor) = 0;
  /// gz, of z's shape, from the cotangents of both sums. Needs `factor` without `gram`.
  virtual void cross_correlation_loss_backward(const CrossCorrelationShape& shape, ConstArray g_diagonal,
                                               ConstArray g_off_diagonal, ConstArray z, ConstArray c_ii,
                                               ConstArray factor, Array gz) = 0;

  // ---- mask scaling (y = x m, m per column): both gradients in one pass. gx = g m, gm = sum over rows of g x.
  virtual void mask_backward(std::int64_t rows, std::int64_t cols, ConstArray g, ConstArray x, ConstArray m, Array gx,
                             Array gm) = 0;

  // ---- pooling. `index` (i32, of y's shape) is the winning cell h * in_width + w in its image; ties go to the first.
  virtual void max_pool(const PoolShape& shape, ConstArray x, Array y, Array index) = 0;
  /// dx = 0; dx[index] += g: the transpose of max_pool_gather.
  virtual void max_pool_scatter(const PoolShape& shape, ConstArray g, ConstArray index, Array dx) = 0;
  /// y = x[index].
  virtual void max_pool_gather(const PoolShape& shape, ConstArray x, ConstArray index, Array y) = 0;
  /// y has x's type or its master type; backward, g has dx's type or its master type.
  virtual void average_pool(const PoolShape& shape, ConstArray x, Array y) = 0;
  virtual void average_pool_backward(const PoolShape& shape, ConstArray g, Array dx) = 0;

  // ---- optimizers over flat buffers, f32 or f64. State buffers start out as zeros. rounded: optional, bf16, of the
  // parameters' size; receives a rounded copy of what is written to the parameters.
  virtual void sgd(const SgdSettings& settings, const std::vector<Segment>& segments, ConstArray scalars,
                   ConstArray gradient, Array parameters, Array momentum, Array rounded = {}) = 0;
  virtual void lars(const LarsSettings& settings, const std::vector<Segment>& segments, ConstArray scalars,
                    ConstArray gradient, Array parameters, Array momentum, Array rounded = {}) = 0;
  virtual void adam(const AdamSettings& settings, const std::vector<Segment>& segments, ConstArray scalars,
                    ConstArray gradient, Array parameters, Array first_moment, Array second_moment,
                    Array rounded = {}) = 0;
  /// Copies the parts, one per segment and of its size, to their places in `out` (f32 or f64), converted to its type;
  /// an absent part is zero. Gaps between segments are left unchanged.
  virtual void gather_segments(const std::vector<ConstArray>& parts, const std::vector<Segment>& segments,
                               Array out) = 0;
  /// average = keep average + (1 - keep) values; keep is one f64 in device memory.
  virtual void moving_average(ConstArray keep, ConstArray values, Array average, Array rounded = {}) = 0;

  /// Random views (kernels/views.h): out[v n + i], (size, size, channels), f32 or bf16, is view v of image indices[i]
  /// for n indices, i32 in [0, count). pixels: u8 (count, height, width, 3), or located by batch.places if sizes
  /// differ. epoch: one i32 in device memory, so that a recorded step can be replayed with another epoch.
  virtual void make_views(const ViewBatch& batch, ConstArray pixels, ConstArray indices, ConstArray epoch,
                          Array out) = 0;

 private:
  KernelChoices choices_;
};

/// The CPU, which is always available. Created at first use.
Backend& cpu_backend();

/// The values of --device: auto and the devices that a build may have.
std::vector<std::string> device_words();
/// The devices of this build and machine, by name, CPU first.
const std::vector<Backend*>& backends();
/// The same in words. If CUDA was built in but no GPU answers, gives the reason.
const std::string& devices_text();

/// The device called `name`; "auto" is the last of the list. Throws UsageError naming the available ones.
Backend& backend(const char* name);

}  // namespace vergence
