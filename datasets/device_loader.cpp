// What changes from step to step, a batch's indices and its epoch, goes to the device in one small upload.
#include "datasets/device_loader.h"

#include <limits>
#include <utility>

#include "kernels/error.h"

namespace vergence {
namespace {

Tensor uploaded(const Dataset& data, Backend& backend) {
  require_usage(!data.source, "loader: the images of ", data.name, " ", data.split, " do not lie in memory");
  const std::int64_t bytes = data.count * data.image_size();
  require(static_cast<std::int64_t>(data.pixels.size()) == bytes, data.name, " ", data.split, ": ", data.pixels.size(),
          " bytes of pixels, expected ", bytes);
  require_usage(data.count <= std::numeric_limits<std::int32_t>::max(), "loader: ", data.count,
                " images, expected fewer than 2^31");
  try {
    return from_bytes(backend, {data.count, data.height, data.width, data.channels}, data.pixels.data());
  } catch (const Error& error) {
    throw UsageError(join("loader: the ", data.count, " images of ", data.name, " ", data.split, ", ", data.height, "x",
                          data.width, ", ", bytes >> 20, " MiB, do not fit into the memory of ", backend.name(), ": ",
                          error.what()));
  }
}

}  // namespace

DeviceLoader::DeviceLoader(const Dataset& dataset, LoaderSettings settings, Backend& backend, DType dtype,
                           std::int64_t channels)
    : settings_(std::move(settings)), backend_(backend), count_(dataset.count), labels_(dataset.labels) {
  check_loader_settings(settings_, dataset);
  view_batch_ = {.views = settings_.views,
                 .seed = settings_.seed,
                 .height = dataset.height,
                 .width = dataset.width,
                 .channels = channels};
  check_view_batch(view_batch_);
  pixels_ = uploaded(dataset, backend);
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
  indices_ = batch_indices(order_, settings_.batch, step);
  const std::vector<std::int64_t> fresh = batch_indices(order_, settings_.batch, step, settings_.fresh);
  std::vector<std::int32_t> now(indices_.begin(), indices_.end());
  now.insert(now.end(), fresh.begin(), fresh.end());
  now.push_back(static_cast<std::int32_t>(epoch));
  backend_.upload(now_.data->data(), now.data(), now_.size() * size_of(DType::i32));
}

void DeviceLoader::make() {
  const std::int32_t* now = now_.array().as<std::int32_t>();
  const std::int64_t n = settings_.batch;
  const ConstArray indices(now, n, DType::i32), fresh(now + n, n, DType::i32), epoch(now + 2 * n, 1, DType::i32);
  backend_.make_views(view_batch_, pixels_.array(), indices, epoch, views_.array());
  if (fresh_) backend_.make_views(fresh_batch_, pixels_.array(), fresh, epoch, fresh_.array());
  if (plain_) backend_.make_views(plain_batch_, pixels_.array(), indices, epoch, plain_.array());
}

std::vector<std::int32_t> DeviceLoader::labels() const {
  std::vector<std::int32_t> labels;
  for (std::int64_t index : indices_)
    labels.push_back(labels_.empty() ? -1 : labels_.at(static_cast<std::size_t>(index)));
  return labels;
}

}  // namespace vergence
