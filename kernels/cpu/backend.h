// The CPU as a device. One class whose members are defined in several files, one per family, each with a counterpart of
// the same name in kernels/cuda: elementwise, reduce, move, gemm, conv, norm, rows, info_nce, pool, ... backend.cpp has
// the memory. Loops run under OpenMP (parallel.h) and are bitwise repeatable at a given thread count.
#pragma once

#include <map>
#include <mutex>
#include <vector>

#include "kernels/backend.h"

namespace vergence {

class CpuBackend final : public Backend {
 public:
  CpuBackend();
  ~CpuBackend() override;
  CpuBackend(const CpuBackend&) = delete;
  CpuBackend& operator=(const CpuBackend&) = delete;

  const char* name() const override { return "cpu"; }
  DeviceTraits traits() const override { return {.fast_bf16 = multiplies_bf16()}; }

  // ---- memory (backend.cpp)
  void* allocate(std::int64_t bytes) override;
  void release(void* block, std::int64_t bytes) noexcept override;
  MemoryUse memory() const override;
  void reset_peak() override;
  void upload(void* device, const void* host, std::int64_t bytes) override;
  void download(void* host, const void* device, std::int64_t bytes) override;
  void synchronize() override {}

  // ---- elementwise.cpp
  void fill(Array out, double value) override;
  void map(Map op, std::int64_t rows, std::int64_t cols, Operand a, Operand b, double alpha, double beta,
           Array out) override;
  void mask_backward(std::int64_t rows, std::int64_t cols, ConstArray g, ConstArray x, ConstArray m, Array gx,
                     Array gm) override;

  // ---- reduce.cpp
  void reduce(Reduce op, Along along, std::int64_t rows, std::int64_t cols, ConstArray a, ConstArray b,
              Array out) override;

  // ---- move.cpp
  void copy_block(std::int64_t rows, std::int64_t cols, ConstArray from, std::int64_t from_stride,
                  std::int64_t from_offset, Array to, std::int64_t to_stride, std::int64_t to_offset) override;
  void transpose(std::int64_t batch, std::int64_t rows, std::int64_t cols, ConstArray in, Array out) override;
  void gather_rows(std::int64_t cols, ConstArray in, ConstArray index, Array out) override;
  void scatter_rows(std::int64_t cols, ConstArray in, ConstArray index, Array out) override;
  void take_along_row(std::int64_t cols, ConstArray in, ConstArray index, Array out) override;
  void scatter_along_row(std::int64_t cols, ConstArray in, ConstArray index, Array out) override;

  // ---- gemm.cpp
  void gemm(bool transpose_a, bool transpose_b, std::int64_t m, std::int64_t n, std::int64_t k, ConstArray a,
            ConstArray b, ConstArray bias, Array out) override;

  // ---- conv.cpp
  void conv2d(const ConvShape& shape, ConstArray x, ConstArray w, Array y, bool add) override;
  void conv2d_data(const ConvShape& shape, ConstArray g, ConstArray w, Array dx, bool add) override;
  void conv2d_weight(const ConvShape& shape, ConstArray x, ConstArray g, Array dw) override;

  // ---- norm.cpp
  void batch_norm(const NormShape& shape, const BatchNormArrays& arrays) override;
  void batch_norm_backward(const NormShape& shape, const BatchNormBackwardArrays& arrays) override;
  void batch_norm_double_backward(const NormShape& shape, const BatchNormDoubleBackwardArrays& arrays) override;

  // ---- rows.cpp
  void log_softmax(std::int64_t rows, std::int64_t cols, ConstArray x, Array y) override;
  void log_softmax_backward(std::int64_t rows, std::int64_t cols, ConstArray g, ConstArray y, Array gx) override;
  void l2_normalize(std::int64_t rows, std::int64_t cols, double epsilon, ConstArray x, Array u, Array norm) override;
  void l2_normalize_backward(std::int64_t rows, std::int64_t cols, double epsilon, ConstArray g, ConstArray u,
                             ConstArray norm, Array gx) override;

  // ---- info_nce.cpp
  void info_nce(const InfoNceShape& shape, ConstArray u, Array log_p, Array lse) override;
  void info_nce_backward(const InfoNceShape& shape, ConstArray g, ConstArray u, ConstArray lse, Array gu) override;
  void info_nce_double_backward(const InfoNceShape& shape, ConstArray a, ConstArray g, ConstArray u, ConstArray lse,
                                Array dg, Array du) override;

  // ---- cross_correlation.cpp
  void cross_correlation_loss(const CrossCorrelationShape& shape, ConstArray z, Array diagonal, Array off_diagonal,
                              Array c_ii, Array factor) override;
  void cross_correlation_loss_backward(const CrossCorrelationShape& shape, ConstArray g_diagonal,
                                       ConstArray g_off_diagonal, ConstArray z, ConstArray c_ii, ConstArray factor,
                                       Array gz) override;

  // ---- pool.cpp
  void max_pool(const PoolShape& shape, ConstArray x, Array y, Array index) override;
  void max_pool_scatter(const PoolShape& shape, ConstArray g, ConstArray index, Array dx) override;
  void max_pool_gather(const PoolShape& shape, ConstArray x, ConstArray index, Array y) override;
  void average_pool(const PoolShape& shape, ConstArray x, Array y) override;
  void average_pool_backward(const PoolShape& shape, ConstArray g, Array dx) override;

  // ---- optimizers.cpp
  void sgd(const SgdSettings& settings, const std::vector<Segment>& segments, ConstArray scalars, ConstArray gradient,
           Array parameters, Array momentum, Array rounded) override;
  void lars(const LarsSettings& settings, const std::vector<Segment>& segments, ConstArray scalars, ConstArray gradient,
            Array parameters, Array momentum, Array rounded) override;
  void adam(const AdamSettings& settings, const std::vector<Segment>& segments, ConstArray scalars, ConstArray gradient,
            Array parameters, Array first_moment, Array second_moment, Array rounded) override;
  void moving_average(ConstArray keep, ConstArray values, Array average, Array rounded) override;

  // ---- views.cpp
  void make_views(const ViewBatch& batch, ConstArray pixels, ConstArray indices, ConstArray epoch, Array out) override;

  // ---- gather_segments.cpp
  void gather_segments(const std::vector<ConstArray>& parts, const std::vector<Segment>& segments, Array out) override;

 private:
  /// True if this processor has instructions for it (conv/rules.cpp).
  static bool multiplies_bf16();
  void* allocate_small(std::int64_t size);
  void* allocate_large(std::int64_t size);
  void release_large(std::int64_t offset, std::int64_t size);

  mutable std::mutex mutex_;
  std::map<std::int64_t, std::vector<void*>> free_;  // small blocks by size class
  char* range_ = nullptr;                            // addresses reserved for large blocks
  std::int64_t range_size_ = 0, range_touched_ = 0;  // bytes from its start: all, ever handed out
  std::map<std::int64_t, std::int64_t> gaps_;        // unused parts of the range: offset -> bytes
  MemoryUse use_;
};

}  // namespace vergence
