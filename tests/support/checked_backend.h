// Wraps a device for tests. Every block is filled with poison, by default bytes that read as NaN in every
// floating-point type, and lies between guard zones, which its release checks. The wrapped device does all the work.
#pragma once

#include <algorithm>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "kernels/backend.h"

namespace vergence::test {

class CheckedBackend : public Backend {
 public:
  explicit CheckedBackend(Backend& real, unsigned char poison = 0xff) : poison_(poison), real_(real) {}
  CheckedBackend(const CheckedBackend&) = delete;
  CheckedBackend& operator=(const CheckedBackend&) = delete;
  ~CheckedBackend() override {
    for (const auto& [block, bytes] : live_) real_.release(static_cast<char*>(block) - guard, bytes + 2 * guard);
  }

  /// Problems found so far: overrun blocks, and releases of unknown blocks.
  const std::vector<std::string>& problems() const { return problems_; }
  std::size_t live_blocks() const { return live_.size(); }

  const char* name() const override { return real_.name(); }
  /// Does not support recordings.
  DeviceTraits traits() const override {
    DeviceTraits traits = real_.traits();
    traits.records = false;
    return traits;
  }
  void set_choices(const KernelChoices& choices) override { real_.set_choices(choices); }
  const KernelChoices& choices() const override { return real_.choices(); }

  void* allocate(std::int64_t bytes) override {
    char* whole = static_cast<char*>(real_.allocate(bytes + 2 * guard));
    const std::vector<unsigned char> content(static_cast<std::size_t>(bytes + 2 * guard), poison_);
    real_.upload(whole, content.data(), bytes + 2 * guard);
    const std::lock_guard lock(mutex_);
    live_[whole + guard] = bytes;
    return whole + guard;
  }

  void release(void* block, std::int64_t bytes) noexcept override {
    const std::lock_guard lock(mutex_);
    const auto found = live_.find(block);
    if (found == live_.end() || found->second != bytes) {
      problems_.push_back(join("released a block of ", bytes, " bytes that was not handed out as such"));
      return;
    }
    live_.erase(found);
    char* whole = static_cast<char*>(block) - guard;
    std::vector<unsigned char> content(static_cast<std::size_t>(bytes + 2 * guard));
    real_.download(content.data(), whole, bytes + 2 * guard);
    const auto intact = [this](unsigned char byte) { return byte == poison_; };
    if (!std::all_of(content.begin(), content.begin() + guard, intact))
      problems_.push_back(join("wrote before the start of a block of ", bytes, " bytes"));
    if (!std::all_of(content.end() - guard, content.end(), intact))
      problems_.push_back(join("wrote past the end of a block of ", bytes, " bytes"));
    real_.release(whole, bytes + 2 * guard);
  }

  MemoryUse memory() const override { return real_.memory(); }
  std::int64_t free_memory() const override { return real_.free_memory(); }
  void reset_peak() override { real_.reset_peak(); }
  void upload(void* device, const void* host, std::int64_t bytes) override { real_.upload(device, host, bytes); }
  void upload_ahead(void* device, const void* host, std::int64_t bytes) override {
    real_.upload_ahead(device, host, bytes);
  }
  void download(void* host, const void* device, std::int64_t bytes) override { real_.download(host, device, bytes); }
  void synchronize() override { real_.synchronize(); }
  void fill(Array out, double value) override { real_.fill(out, value); }

  void map(Map op, std::int64_t rows, std::int64_t cols, Operand a, Operand b, double alpha, double beta,
           Array out) override {
    real_.map(op, rows, cols, a, b, alpha, beta, out);
  }
  void reduce(Reduce op, Along along, std::int64_t rows, std::int64_t cols, ConstArray a, ConstArray b,
              Array out) override {
    real_.reduce(op, along, rows, cols, a, b, out);
  }
  void copy_block(std::int64_t rows, std::int64_t cols, ConstArray from, std::int64_t from_stride,
                  std::int64_t from_offset, Array to, std::int64_t to_stride, std::int64_t to_offset) override {
    real_.copy_block(rows, cols, from, from_stride, from_offset, to, to_stride, to_offset);
  }
  void transpose(std::int64_t batch, std::int64_t rows, std::int64_t cols, ConstArray in, Array out) override {
    real_.transpose(batch, rows, cols, in, out);
  }
  void gather_rows(std::int64_t cols, ConstArray in, ConstArray index, Array out) override {
    real_.gather_rows(cols, in, index, out);
  }
  void scatter_rows(std::int64_t cols, ConstArray in, ConstArray index, Array out) override {
    real_.scatter_rows(cols, in, index, out);
  }
  void take_along_row(std::int64_t cols, ConstArray in, ConstArray index, Array out) override {
    real_.take_along_row(cols, in, index, out);
  }
  void scatter_along_row(std::int64_t cols, ConstArray in, ConstArray index, Array out) override {
    real_.scatter_along_row(cols, in, index, out);
  }
  void gemm(bool transpose_a, bool transpose_b, std::int64_t m, std::int64_t n, std::int64_t k, ConstArray a,
            ConstArray b, ConstArray bias, Array out) override {
    real_.gemm(transpose_a, transpose_b, m, n, k, a, b, bias, out);
  }
  double f32_operand_rounding() const override { return real_.f32_operand_rounding(); }
  void conv2d(const ConvShape& shape, ConstArray x, ConstArray w, Array y, bool add) override {
    real_.conv2d(shape, x, w, y, add);
  }
  void conv2d_data(const ConvShape& shape, ConstArray g, ConstArray w, Array dx, bool add) override {
    real_.conv2d_data(shape, g, w, dx, add);
  }
  void conv2d_weight(const ConvShape& shape, ConstArray x, ConstArray g, Array dw) override {
    real_.conv2d_weight(shape, x, g, dw);
  }
  void batch_norm(const NormShape& shape, const BatchNormArrays& arrays) override { real_.batch_norm(shape, arrays); }
  bool conv2d_batch_norm(const ConvShape& conv, ConstArray x, ConstArray w, Array raw, const NormShape& shape,
                         const BatchNormArrays& norm) override {
    return real_.conv2d_batch_norm(conv, x, w, raw, shape, norm);
  }
  std::int64_t relu_tiles(const ConvShape& conv, const NormShape& norm) const override {
    return real_.relu_tiles(conv, norm);
  }
  bool conv2d_data_relu(const ConvShape& conv, const NormShape& norm, const ConvDataReluArrays& arrays,
                        bool add) override {
    return real_.conv2d_data_relu(conv, norm, arrays, add);
  }
  void batch_norm_backward(const NormShape& shape, const BatchNormBackwardArrays& arrays) override {
    real_.batch_norm_backward(shape, arrays);
  }
  void batch_norm_double_backward(const NormShape& shape, const BatchNormDoubleBackwardArrays& arrays) override {
    real_.batch_norm_double_backward(shape, arrays);
  }
  void log_softmax(std::int64_t rows, std::int64_t cols, ConstArray x, Array y) override {
    real_.log_softmax(rows, cols, x, y);
  }
  void log_softmax_backward(std::int64_t rows, std::int64_t cols, ConstArray g, ConstArray y, Array gx) override {
    real_.log_softmax_backward(rows, cols, g, y, gx);
  }
  void l2_normalize(std::int64_t rows, std::int64_t cols, double epsilon, ConstArray x, Array u, Array norm) override {
    real_.l2_normalize(rows, cols, epsilon, x, u, norm);
  }
  void l2_normalize_backward(std::int64_t rows, std::int64_t cols, double epsilon, ConstArray g, ConstArray u,
                             ConstArray norm, Array gx) override {
    real_.l2_normalize_backward(rows, cols, epsilon, g, u, norm, gx);
  }
  void info_nce(const InfoNceShape& shape, ConstArray u, Array log_p, Array lse) override {
    real_.info_nce(shape, u, log_p, lse);
  }
  void info_nce_backward(const InfoNceShape& shape, ConstArray g, ConstArray u, ConstArray lse, Array gu) override {
    real_.info_nce_backward(shape, g, u, lse, gu);
  }
  void info_nce_double_backward(const InfoNceShape& shape, ConstArray a, ConstArray g, ConstArray u, ConstArray lse,
                                Array dg, Array du) override {
    real_.info_nce_double_backward(shape, a, g, u, lse, dg, du);
  }
  void cross_correlation_loss(const CrossCorrelationShape& shape, ConstArray z, Array diagonal, Array off_diagonal,
                              Array c_ii, Array factor) override {
    real_.cross_correlation_loss(shape, z, diagonal, off_diagonal, c_ii, factor);
  }
  void cross_correlation_loss_backward(const CrossCorrelationShape& shape, ConstArray g_diagonal,
                                       ConstArray g_off_diagonal, ConstArray z, ConstArray c_ii, ConstArray factor,
                                       Array gz) override {
    real_.cross_correlation_loss_backward(shape, g_diagonal, g_off_diagonal, z, c_ii, factor, gz);
  }
  void mask_backward(std::int64_t rows, std::int64_t cols, ConstArray g, ConstArray x, ConstArray m, Array gx,
                     Array gm) override {
    real_.mask_backward(rows, cols, g, x, m, gx, gm);
  }
  void max_pool(const PoolShape& shape, ConstArray x, Array y, Array index) override {
    real_.max_pool(shape, x, y, index);
  }
  void max_pool_scatter(const PoolShape& shape, ConstArray g, ConstArray index, Array dx) override {
    real_.max_pool_scatter(shape, g, index, dx);
  }
  void max_pool_gather(const PoolShape& shape, ConstArray x, ConstArray index, Array y) override {
    real_.max_pool_gather(shape, x, index, y);
  }
  void average_pool(const PoolShape& shape, ConstArray x, Array y) override { real_.average_pool(shape, x, y); }
  void average_pool_backward(const PoolShape& shape, ConstArray g, Array dx) override {
    real_.average_pool_backward(shape, g, dx);
  }
  void sgd(const SgdSettings& settings, const std::vector<Segment>& segments, ConstArray scalars, ConstArray gradient,
           Array parameters, Array momentum, Array rounded) override {
    real_.sgd(settings, segments, scalars, gradient, parameters, momentum, rounded);
  }
  void lars(const LarsSettings& settings, const std::vector<Segment>& segments, ConstArray scalars, ConstArray gradient,
            Array parameters, Array momentum, Array rounded) override {
    real_.lars(settings, segments, scalars, gradient, parameters, momentum, rounded);
  }
  void adam(const AdamSettings& settings, const std::vector<Segment>& segments, ConstArray scalars, ConstArray gradient,
            Array parameters, Array first_moment, Array second_moment, Array rounded) override {
    real_.adam(settings, segments, scalars, gradient, parameters, first_moment, second_moment, rounded);
  }
  void gather_segments(const std::vector<ConstArray>& parts, const std::vector<Segment>& segments, Array out) override {
    real_.gather_segments(parts, segments, out);
  }
  void moving_average(ConstArray keep, ConstArray values, Array average, Array rounded) override {
    real_.moving_average(keep, values, average, rounded);
  }
  void make_views(const ViewBatch& batch, ConstArray pixels, ConstArray indices, ConstArray epoch, Array out) override {
    real_.make_views(batch, pixels, indices, epoch, out);
  }

 private:
  static constexpr std::int64_t guard = 128;
  const unsigned char poison_;  // also of guard zones: reading NaN there makes results NaN

  Backend& real_;
  std::mutex mutex_;
  std::map<void*, std::int64_t> live_;
  std::vector<std::string> problems_;
};

}  // namespace vergence::test
