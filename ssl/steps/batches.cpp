#include "ssl/steps/batches.h"

#include <algorithm>
#include <array>
#include <sched.h>

#include "datasets/loading/device_loader.h"
#include "engine/text/words.h"

namespace vergence {
namespace {

/// Batches travel to one of two buffers while the step before is under way, and from there into the tensors that every
/// step reads.
class HostBatches final : public Batches {
 public:
  /// `why` the device does not make them, if it could.
  HostBatches(const Dataset& dataset, const LoaderSettings& settings, Backend& backend, const std::string& why)
      : loader_(dataset, settings),
        size_(settings.views[0].size),
        backend_(backend),
        origin_(join("made by ", counted(settings.workers, "thread"), " of the host", why)) {}

  void prepare(std::int64_t number) override {
    const Batch& batch = loader_.next();
    epoch_ = batch.epoch;
    indices_ = batch.indices;
    if (!views_.both) {
      views_ = views_of(batch, size_, backend_);
      return;
    }
    Views& buffer = buffers_[static_cast<std::size_t>(number % 2)];
    pass_on(batch.views, buffer.both, views_.both);
    pass_on(batch.plain, buffer.plain, views_.plain);
    pass_on(batch.fresh, buffer.fresh, views_.fresh);
  }
  Views make() override { return views_; }
  std::int64_t epoch() const override { return epoch_; }
  const std::vector<std::int64_t>& indices() const override { return indices_; }
  double seconds_waited() const override { return loader_.seconds_waited(); }
  std::string origin() const override { return origin_; }

 private:
  void pass_on(const std::vector<float>& values, Tensor& buffer, const Tensor& target) {
    if (!target) return;
    const std::int64_t bytes = target.size() * size_of(target.dtype);
    if (!backend_.can_record()) return backend_.upload(target.data->data(), values.data(), bytes);
    if (!buffer) {
      buffer = empty_like(target);
      backend_.synchronize();  // kernels under way may still use what was in its memory
    }
    backend_.upload_ahead(buffer.data->data(), values.data(), bytes);
    assign(target, buffer);
  }

  Loader loader_;
  std::int64_t size_;
  Backend& backend_;
  std::string origin_;
  std::int64_t epoch_ = 0;
  std::vector<std::int64_t> indices_;
  Views views_;
  std::array<Views, 2> buffers_;
};

class DeviceBatches final : public Batches {
 public:
  DeviceBatches(const Dataset& dataset, const LoaderSettings& settings, DType activations, Backend& backend,
                std::int64_t reserve)
      : loader_(dataset, settings, backend, activations, device_view_channels(activations), reserve) {}

  void prepare(std::int64_t number) override { loader_.prepare(number); }
  Views make() override {
    loader_.make();
    return {loader_.views(), loader_.plain(), loader_.fresh()};
  }
  std::int64_t epoch() const override { return loader_.epoch(); }
  const std::vector<std::int64_t>& indices() const override { return loader_.indices(); }
  std::string origin() const override { return "made by the device, from images in its memory"; }

 private:
  DeviceLoader loader_;
};

}  // namespace

std::unique_ptr<Batches> make_batches(const Dataset& dataset, const LoaderSettings& settings, DType activations,
                                      Backend& backend, std::int64_t reserve) {
  std::string why;
  if (backend.can_record()) {
    try {
      return std::make_unique<DeviceBatches>(dataset, settings, activations, backend, reserve);
    } catch (const NotOnDevice& error) {
      why = join(", because ", error.what());
    }
  }
  return std::make_unique<HostBatches>(dataset, settings, backend, why);
}

int loader_workers(const Options& options, bool computed_here) {
  if (options.workers > 0) return static_cast<int>(options.workers);
  constexpr int most = 16;
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  // More processors than the set has room for are more than enough.
  const int processors = sched_getaffinity(0, sizeof allowed, &allowed) == 0 ? CPU_COUNT(&allowed) : 2 * most;
  return std::clamp(computed_here ? processors / 2 : processors - 1, 1, most);
}

Views views_of(const Batch& batch, std::int64_t image_size, Backend& backend) {
  const auto images = static_cast<std::int64_t>(batch.indices.size());
  Views views;
  const Shape both{2 * images, image_size, image_size, batch.channels};
  views.both = from_floats(backend, both, batch.views);
  if (!batch.fresh.empty()) views.fresh = from_floats(backend, both, batch.fresh);
  if (!batch.plain.empty()) views.plain = from_floats(backend, both.with(0, images), batch.plain);
  return views;
}

}  // namespace vergence
