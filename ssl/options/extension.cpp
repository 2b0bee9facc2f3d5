#include "ssl/options/extension.h"

#include <algorithm>
#include <cmath>

#include "engine/text/words.h"
#include "ssl/options/table.h"

namespace vergence {

std::vector<Extension> extensions_of(const Options& options) {
  std::vector<Extension> all;
  for (const double epoch : options.restarted_at)
    all.push_back({static_cast<std::int64_t>(epoch), ExtendSchedule::restart});
  for (const double epoch : options.stretched_at)
    all.push_back({static_cast<std::int64_t>(epoch), ExtendSchedule::stretched});
  std::sort(all.begin(), all.end(), [](const Extension& a, const Extension& b) { return a.after < b.after; });
  return all;
}

std::string extensions_text(const Options& options) {
  std::vector<std::string> texts;
  for (const Extension& one : extensions_of(options))
    texts.push_back(join(one.schedule == ExtendSchedule::restart ? "restart" : "stretched", " after ",
                         counted(one.after, "epoch")));
  return listed(texts);
}

void check_extensions(const Options& options) {
  for (const auto* epochs : {&options.restarted_at, &options.stretched_at})
    for (const double epoch : *epochs)
      require_usage(std::trunc(epoch) == epoch && epoch < static_cast<double>(options.epochs),
                    epochs == &options.restarted_at ? "--restarted-at" : "--stretched-at",
                    ": expected whole numbers below the ", options.epochs, " epochs of the run, got ", epoch);
  const std::vector<Extension> all = extensions_of(options);
  const auto twice = std::adjacent_find(all.begin(), all.end(),
                                        [](const Extension& a, const Extension& b) { return a.after == b.after; });
  require_usage(twice == all.end(), "--restarted-at, --stretched-at: expected different epochs");
}

void extend(Options& options) {
  const bool restarts = options.extend_schedule == ExtendSchedule::restart;
  (restarts ? options.restarted_at : options.stretched_at).push_back(static_cast<double>(options.epochs));
  options.epochs += options.extend;
  const Range& range = find_option("epochs")->range;
  require_usage(range.contains(static_cast<double>(options.epochs)), "--extend: expected at most ", range.high,
                " epochs in all, got ", options.epochs);
  options.resume = true;
}

Options before_last_extension(const Options& options) {
  Options before = options;
  before.epochs = extensions_of(options).back().after;
  for (auto* epochs : {&before.restarted_at, &before.stretched_at})
    std::erase(*epochs, static_cast<double>(before.epochs));
  return before;
}

Options before_extensions(const Options& options) {
  Options before = options;
  while (!extensions_of(before).empty()) before = before_last_extension(before);
  return before;
}

}  // namespace vergence
