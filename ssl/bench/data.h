// `bench data`: how fast a data set's images become views, by the very loader that feeds `pretrain` and without a
// model.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "ssl/options/options.h"

namespace vergence {

/// Takes batches of the options' data set, in random order, for about `seconds` and at least one batch; those before
/// every worker was busy are not counted. One object: dataset, image, batch, workers, images (made), seconds,
/// images_per_s, views_per_s, options (what the options say of the data set). Throws UsageError as pretrain does for
/// bad options and data.
nlohmann::ordered_json bench_data(const Options& options, double seconds);

}  // namespace vergence
