// One small upload per step: the batch's indices and epoch, which are all that changes.
#include "datasets/loading/device_source.h"

namespace vergence {
namespace {

/// The settings, after checking that they fit the data set.
const LoaderSettings& checked(const SourceSetup& setup) {
  check_loader_settings(setup.settings, setup.dataset);
  return setup.settings;
}

}  // namespace

DeviceSource::DeviceSource(const SourceSetup& setup)
    : settings_(checked(setup)),
      backend_(setup.backend),
      count_(setup.dataset.count),
      images_(setup.dataset, setup.backend, setup.reserve) {
  view_batch_.views = settings_.views;
  view_batch_.seed = settings_.seed;
  view_batch_.channels = device_view_channels(setup.activations);
  images_.describe(view_batch_);
  check_view_batch(view_batch_);
  now_ = empty(backend_, {2 * settings_.own_batch() + 1}, DType::i32);
  const std::int64_t size = view_batch_.size();
  const Shape one_view{settings_.own_batch(), size, size, view_batch_.channels};
  const auto count = static_cast<std::int64_t>(settings_.views.size());
  views_.both = empty(backend_, one_view.with(0, count * settings_.own_batch()), setup.activations);
  if (settings_.fresh != FreshViews::none) {
    fresh_batch_ = view_batch_;
    fresh_batch_.purpose = Purpose::fresh_view;
    views_.fresh = empty_like(views_.both);
  }
  if (!settings_.plain) return;
  plain_batch_ = view_batch_;
  plain_batch_.views = {settings_.plain_view()};
  views_.plain = empty(backend_, one_view, setup.activations);
}

SourceCost DeviceSource::cost(const SourceSetup& setup) {
  const LoaderSettings& settings = setup.settings;
  const std::int64_t size = settings.views[0].size, channels = device_view_channels(setup.activations);
  SourceCost cost;
  cost.images = image_bytes(setup.dataset);
  cost.batch = settings.views_per_image() * settings.own_batch() * size * size * channels * size_of(setup.activations);
  cost.on_device = true;
  return cost;
}

void DeviceSource::prepare(std::int64_t number) {
  const std::int64_t steps = count_ / settings_.batch, epoch = number / steps, step = number % steps;
  if (epoch_ != epoch) order_ = epoch_order(count_, settings_.seed, epoch);
  epoch_ = epoch;
  const std::vector<std::int64_t> drawn = batch_indices(order_, settings_, step);
  const std::vector<std::int64_t> fresh = batch_indices(order_, settings_, step, settings_.fresh);
  std::vector<std::int32_t> now(drawn.begin(), drawn.end());
  now.insert(now.end(), fresh.begin(), fresh.end());
  now.push_back(static_cast<std::int32_t>(epoch));
  backend_.upload(now_.data->data(), now.data(), now_.size() * size_of(DType::i32));
  indices_.clear();
  for (const std::int64_t index : drawn) indices_.push_back(images_.replacement_of(index));
}

Views DeviceSource::make() {
  const std::int32_t* now = now_.array().as<std::int32_t>();
  const std::int64_t n = settings_.own_batch();
  const ConstArray indices(now, n, DType::i32), fresh(now + n, n, DType::i32), epoch(now + 2 * n, 1, DType::i32);
  const auto fill = [&](const ViewBatch& batch, const ConstArray& images, const Tensor& views) {
    if (views) backend_.make_views(batch, images_.pixels(), images, epoch, views.array());
  };
  fill(view_batch_, indices, views_.both);
  fill(fresh_batch_, fresh, views_.fresh);
  fill(plain_batch_, indices, views_.plain);
  return views_;
}

}  // namespace vergence
