// The order of images and the checks of settings.
#include "datasets/loading/batch.h"

#include <numeric>

#include "datasets/dataset.h"
#include "kernels/draws.h"
#include "kernels/error.h"

namespace vergence {

std::vector<std::int64_t> epoch_order(std::int64_t count, std::uint64_t seed, std::int64_t epoch) {
  std::vector<std::int64_t> order(static_cast<std::size_t>(count));
  std::iota(order.begin(), order.end(), std::int64_t{0});
  Random random(seed, Purpose::order, static_cast<std::uint32_t>(epoch));
  shuffle(order, random);
  return order;
}

std::vector<std::int64_t> batch_indices(const std::vector<std::int64_t>& order, const LoaderSettings& settings,
                                        std::int64_t step, FreshViews fresh) {
  const auto count = static_cast<std::int64_t>(order.size());
  const std::int64_t own = settings.own_batch();
  const std::int64_t begin =
      step * settings.batch + settings.rank * own + (fresh == FreshViews::other_images ? count / 2 : 0);
  std::vector<std::int64_t> indices;
  for (std::int64_t i = begin; i < begin + own; ++i) indices.push_back(order[static_cast<std::size_t>(i % count)]);
  return indices;
}

void check_loader_settings(const LoaderSettings& settings, const Dataset& data) {
  require_usage(settings.batch >= 1, "loader: batch is ", settings.batch, ", expected 1 or more");
  require_usage(settings.batch <= data.count, "loader: a batch of ", settings.batch, " is larger than ", data.name, " ",
                data.split, " with its ", data.count, " images");
  require_usage(settings.batch % settings.ranks == 0, "loader: a batch of ", settings.batch,
                " cannot be shared equally by ", settings.ranks, " ranks");
  require_usage(settings.fresh != FreshViews::other_images || 2 * settings.batch <= data.count, "loader: a batch of ",
                settings.batch, " and as many other images, but ", data.name, " ", data.split, " has ", data.count);
  require_usage(data.count < std::int64_t{1} << 32, "loader: ", data.count, " images, expected fewer than 2^32");
  require_usage(settings.workers >= 1 && settings.workers <= 1024, "loader: workers is ", settings.workers,
                ", expected 1 to 1024");
  require_usage(settings.first_epoch >= 0 && settings.first_step >= 0, "loader: starts at epoch ", settings.first_epoch,
                ", step ", settings.first_step, ", expected 0 or more");
  check_views(settings.views);
  require_usage(settings.views[0].channels == data.channels, "loader: the channels of ", data.name, " are ",
                data.channels, ", the views expect ", settings.views[0].channels);
}

}  // namespace vergence
