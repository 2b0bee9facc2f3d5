// What changes from step to step, a batch's indices and its epoch, goes to the device in one small upload.
#include "datasets/loading/device_loader.h"

#include <utility>

namespace vergence {

namespace {

/// The settings, once they are known to fit the data set.
LoaderSettings checked(LoaderSettings settings, const Dataset& dataset) {
  check_loader_settings(settings, dataset);
  return settings;
}

}  // namespace

DeviceLoader::DeviceLoader(const Dataset& dataset, LoaderSettings settings, Backend& backend, DType dtype,
                           std::int64_t channels, std::int64_t reserve)
    : settings_(checked(std::move(settings), dataset)),
      backend_(backend),
      count_(dataset.count),
      labels_(dataset.labels),
      images_(dataset, backend, reserve) {
  view_batch_.views = settings_.views;
  view_batch_.seed = settings_.seed;
  view_batch_.channels = channels;
  images_.describe(view_batch_);
  check_view_batch(view_batch_);
  now_ = empty(backend, {2 * settings_.batch + 1}, DType::i32);
  const std::int64_t size = view_batch_.size();
  const auto views = static_cast<std::int64_t>(settings_.views.size());
  views_ = empty(backend, {views * settings_.batch, size, size, channels}, dtype);
  if (settings_.fresh != FreshViews::none) {
    fresh_batch_ = view_batch_;
    fresh_batch_.purpose = Purpose::fresh_view;
    fresh_ = empty_like(views_);
  }
  if (!settings_.plain) return;
  plain_batch_ = view_batch_;
  plain_batch_.views = {
      ViewSettings::plain(size, settings_.plain_resize, settings_.views[0].mean, settings_.views[0].std)};
  plain_ = empty(backend, {settings_.batch, size, size, channels}, dtype);
}

void DeviceLoader::prepare(std::int64_t number) {
  const std::int64_t epoch = number / steps_per_epoch(), step = number % steps_per_epoch();
  if (epoch_ != epoch) order_ = epoch_order(count_, settings_.seed, epoch);
  epoch_ = epoch;
  const std::vector<std::int64_t> drawn = batch_indices(order_, settings_.batch, step);
  const std::vector<std::int64_t> fresh = batch_indices(order_, settings_.batch, step, settings_.fresh);
  std::vector<std::int32_t> now(drawn.begin(), drawn.end());
  now.insert(now.end(), fresh.begin(), fresh.end());
  now.push_back(static_cast<std::int32_t>(epoch));
  backend_.upload(now_.data->data(), now.data(), now_.size() * size_of(DType::i32));
  indices_.clear();
  for (const std::int64_t index : drawn) indices_.push_back(images_.stands_for(index));
}

void DeviceLoader::make() {
  const std::int32_t* now = now_.array().as<std::int32_t>();
  const std::int64_t n = settings_.batch;
  const ConstArray indices(now, n, DType::i32), fresh(now + n, n, DType::i32), epoch(now + 2 * n, 1, DType::i32);
  backend_.make_views(view_batch_, images_.pixels(), indices, epoch, views_.array());
  if (fresh_) backend_.make_views(fresh_batch_, images_.pixels(), fresh, epoch, fresh_.array());
  if (plain_) backend_.make_views(plain_batch_, images_.pixels(), indices, epoch, plain_.array());
}

std::vector<std::int32_t> DeviceLoader::labels() const {
  std::vector<std::int32_t> labels;
  for (std::int64_t index : indices_)
    labels.push_back(labels_.empty() ? -1 : labels_.at(static_cast<std::size_t>(index)));
  return labels;
}

}  // namespace vergence
