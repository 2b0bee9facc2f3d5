// The GPU as a device. One class whose members are defined in several .cu files, one per family, each with a
// counterpart of the same name in kernels/cpu. Compiled as plain C++ (kernels/emulator), the same files are the
// emulated device. Results are bitwise repeatable: no kernel adds with atomics, and partial sums are added in a fixed
// order.
#pragma once

#include <memory>
#include <vector>

#include "kernels/cuda/device.h"

namespace vergence::VERGENCE_GPU {

class CudaBackend final : public Backend {
 public:
  explicit CudaBackend(const char* name, int ordinal = 0) : name_(name), device_(ordinal) {}

  const char* name() const override { return name_; }
  std::string description() const override { return device_.description(); }
  Device& device() { return device_; }
  DeviceTraits traits() const override {
    return {.own_memory = true,
            .beside_host = true,
            .records = true,
            .makes_views = true,
            .wide = true,
            .tf32 = true,
            .rounds_weight_gradients = true,
            .fast_bf16 = true,
            .relu_bits = true,
            .bf16_weights = true,
            .adds_convolutions = true};
  }

  // ---- memory and captures
  void* allocate(std::int64_t bytes) override { return device_.allocate(bytes); }
  void release(void* block, std::int64_t bytes) noexcept override { device_.release(block, bytes); }
  MemoryUse memory() const override { return device_.memory(); }
  std::int64_t free_memory() const override { return device_.free_memory(); }
  void reset_peak() override { device_.reset_peak(); }
  void upload(void* device, const void* host, std::int64_t bytes) override { device_.upload(device, host, bytes); }
  void upload_ahead(void* device, const void* host, std::int64_t bytes) override {
    device_.upload_ahead(device, host, bytes);
  }
  void download(void* host, const void* device, std::int64_t bytes) override { device_.download(host, device, bytes); }
  void synchronize() override { device_.synchronize(); }
  void begin_rehearsal() override { device_.begin_rehearsal(); }
  std::unique_ptr<Rehearsal> end_rehearsal() override { return device_.end_rehearsal(); }
  void begin_recording(const Rehearsal* rehearsal) override {
    device_.begin_recording(rehearsal);
    recording_ = true;
  }
  std::unique_ptr<Recording> end_recording() override {
    recording_ = false;
    return device_.end_recording();
  }

  // ---- elementwise.cu
  void fill(Array out, double value) override;
  void map(Map op, std::int64_t rows, std::int64_t cols, Operand a, Operand b, double alpha, double beta,
           Array out) override;
  void mask_backward(std::int64_t rows, std::int64_t cols, ConstArray g, ConstArray x, ConstArray m, Array gx,
                     Array gm) override;

  // ---- reduce.cu
  void reduce(Reduce op, Along along, std::int64_t rows, std::int64_t cols, ConstArray a, ConstArray b,
              Array out) override;

  // ---- move.cu
  void copy_block(std::int64_t rows, std::int64_t cols, ConstArray from, std::int64_t from_stride,
                  std::int64_t from_offset, Array to, std::int64_t to_stride, std::int64_t to_offset) override;
  void transpose(std::int64_t batch, std::int64_t rows, std::int64_t cols, ConstArray in, Array out) override;
  void gather_rows(std::int64_t cols, ConstArray in, ConstArray index, Array out) override;
  void scatter_rows(std::int64_t cols, ConstArray in, ConstArray index, Array out) override;
  void take_along_row(std::int64_t cols, ConstArray in, ConstArray index, Array out) override;
  void scatter_along_row(std::int64_t cols, ConstArray in, ConstArray index, Array out) override;

  // ---- gemm.cu
  void gemm(bool transpose_a, bool transpose_b, std::int64_t m, std::int64_t n, std::int64_t k, ConstArray a,
            ConstArray b, ConstArray bias, Array out) override;
  double f32_operand_rounding() const override;

  // ---- conv.cu
  std::string convolutions_by(DType activations) override;
  void conv2d(const ConvShape& shape, ConstArray x, ConstArray w, Array y, bool add) override;
  void conv2d_data(const ConvShape& shape, ConstArray g, ConstArray w, Array dx, bool add) override;
  void conv2d_weight(const ConvShape& shape, ConstArray x, ConstArray g, Array dw) override;
  bool conv2d_batch_norm(const ConvShape& conv, ConstArray x, ConstArray w, Array raw, const NormShape& shape,
                         const BatchNormArrays& norm) override;
  std::int64_t relu_tiles(const ConvShape& conv, const NormShape& norm) const override;
  bool conv2d_data_relu(const ConvShape& conv, const NormShape& norm, const ConvDataReluArrays& arrays,
                        bool add) override;

  // ---- norm.cu
  void batch_norm(const NormShape& shape, const BatchNormArrays& arrays) override;
  void batch_norm_backward(const NormShape& shape, const BatchNormBackwardArrays& arrays) override;
  void batch_norm_double_backward(const NormShape& shape, const BatchNormDoubleBackwardArrays& arrays) override;

  // ---- rows.cu
  void log_softmax(std::int64_t rows, std::int64_t cols, ConstArray x, Array y) override;
  void log_softmax_backward(std::int64_t rows, std::int64_t cols, ConstArray g, ConstArray y, Array gx) override;
  void l2_normalize(std::int64_t rows, std::int64_t cols, double epsilon, ConstArray x, Array u, Array norm) override;
  void l2_normalize_backward(std::int64_t rows, std::int64_t cols, double epsilon, ConstArray g, ConstArray u,
                             ConstArray norm, Array gx) override;

  // ---- info_nce.cu
  void info_nce(const InfoNceShape& shape, ConstArray u, Array log_p, Array lse) override;
  void info_nce_backward(const InfoNceShape& shape, ConstArray g, ConstArray u, ConstArray lse, Array gu) override;
  void info_nce_double_backward(const InfoNceShape& shape, ConstArray a, ConstArray g, ConstArray u, ConstArray lse,
                                Array dg, Array du) override;

  // ---- cross_correlation.cu
  void cross_correlation_loss(const CrossCorrelationShape& shape, ConstArray z, Array diagonal, Array off_diagonal,
                              Array c_ii, Array factor) override;
  void cross_correlation_loss_backward(const CrossCorrelationShape& shape, ConstArray g_diagonal,
                                       ConstArray g_off_diagonal, ConstArray z, ConstArray c_ii, ConstArray factor,
                                       Array gz) override;

  // ---- pool.cu
  void max_pool(const PoolShape& shape, ConstArray x, Array y, Array index) override;
  void max_pool_scatter(const PoolShape& shape, ConstArray g, ConstArray index, Array dx) override;
  void max_pool_gather(const PoolShape& shape, ConstArray x, ConstArray index, Array y) override;
  void average_pool(const PoolShape& shape, ConstArray x, Array y) override;
  void average_pool_backward(const PoolShape& shape, ConstArray g, Array dx) override;

  // ---- optimizers.cu
  void sgd(const SgdSettings& settings, const std::vector<Segment>& segments, ConstArray scalars, ConstArray gradient,
           Array parameters, Array momentum, Array rounded) override;
  void lars(const LarsSettings& settings, const std::vector<Segment>& segments, ConstArray scalars, ConstArray gradient,
            Array parameters, Array momentum, Array rounded) override;
  void adam(const AdamSettings& settings, const std::vector<Segment>& segments, ConstArray scalars, ConstArray gradient,
            Array parameters, Array first_moment, Array second_moment, Array rounded) override;
  void moving_average(ConstArray keep, ConstArray values, Array average, Array rounded) override;

  // ---- views.cu
  void make_views(const ViewBatch& batch, ConstArray pixels, ConstArray indices, ConstArray epoch, Array out) override;

  // ---- gather_segments.cu
  void gather_segments(const std::vector<ConstArray>& parts, const std::vector<Segment>& segments, Array out) override;

 private:
  /// Segments in the form that the optimizers' kernels read. They stay on the device, for the next step and for
  /// recordings.
  struct SegmentTable;
  std::shared_ptr<const SegmentTable> table_of(const std::vector<Segment>& segments);

  const char* name_;
  Device device_;
  bool recording_ = false;
  std::vector<std::shared_ptr<const SegmentTable>> segment_tables_;
};

}  // namespace vergence::VERGENCE_GPU
