#include "ssl/bench/data.h"

#include <nlohmann/json.hpp>

#include "datasets/loading/loader.h"
#include "kernels/clock.h"
#include "ssl/options/table.h"
#include "ssl/steps/setup.h"

namespace vergence {
namespace {

/// The values of all options about the data set, by name.
nlohmann::ordered_json data_options(const Options& options) {
  nlohmann::ordered_json values = nlohmann::ordered_json::object();
  const std::string& group = find_option("dataset")->group;
  for (const OptionEntry& entry : option_table())
    if ((entry.group == group && entry.name != "objective") || entry.name == "jpeg" || entry.name == "decode")
      values[entry.name] = value_text(entry, options);
  return values;
}

}  // namespace

nlohmann::ordered_json bench_data(const Options& given, double seconds) {
  Options options = given;
  const Dataset data = open_dataset(dataset_settings(options), "train");
  settle_batch(options, data);
  LoaderSettings settings;
  settings.batch = options.batch;
  settings.views = view_settings(options, data);
  settings.seed = static_cast<std::uint64_t>(options.seed);
  settings.workers = loader_workers(options, false);
  Loader loader(data, settings);
  const std::int64_t before = settings.workers + 2;  // batches that the loader may have made ahead
  for (std::int64_t i = 0; i < before; ++i) loader.next();
  const auto begin = Clock::now();
  std::int64_t images = 0;
  double passed = 0;
  do {
    loader.next();
    images += options.batch;
    passed = seconds_since(begin);
  } while (passed < seconds);
  const double rate = static_cast<double>(images) / passed;
  return {{"dataset", options.dataset},
          {"image", settings.views[0].size},
          {"batch", options.batch},
          {"workers", settings.workers},
          {"images", images},
          {"seconds", passed},
          {"images_per_s", rate},
          {"views_per_s", rate * static_cast<double>(settings.views.size())},
          {"options", data_options(options)}};
}

}  // namespace vergence
