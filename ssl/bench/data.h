// `bench data`: measures how fast images of a data set become views, with the loader of `pretrain` and no model.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "ssl/options/options.h"

namespace vergence {

/// Takes batches of the data set in random order for about `seconds`, at least one; those made before all workers were
/// busy do not count. Returns one object: dataset, image, batch, workers, images (made), seconds, images_per_s,
/// views_per_s, options (the data set's). Throws UsageError for bad options and data, like pretrain.
nlohmann::ordered_json bench_data(const Options& options, double seconds);

}  // namespace vergence
