// Batches made by the host's worker threads (datasets/loading/loader.h) and uploaded to the device.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "datasets/loading/batch_source.h"
#include "datasets/loading/loader.h"

namespace vergence {

class HostSource final : public BatchSource {
 public:
  /// Starts the workers. `why` ends the text of `origin`. Throws UsageError like check_loader_settings.
  explicit HostSource(const SourceSetup& setup, const std::string& why = "");
  static SourceCost cost(const SourceSetup& setup);

  void prepare(std::int64_t number) override;
  Views make() override { return views_; }
  std::int64_t epoch() const override { return epoch_; }
  const std::vector<std::int64_t>& indices() const override { return indices_; }
  double seconds_waited() const override { return loader_.seconds_waited(); }
  std::string origin() const override { return origin_; }

 private:
  void take_first(const Batch& batch);
  void pass_on(const std::vector<float>& values, Tensor& buffer, const Tensor& target);

  Loader loader_;
  std::int64_t size_;  // of a view
  Backend& backend_;
  std::string origin_;
  std::int64_t epoch_ = 0;
  std::vector<std::int64_t> indices_;
  Views views_;
  std::array<Views, 2> buffers_;
};

}  // namespace vergence
