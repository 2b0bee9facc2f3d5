#include "ssl/training/time_shares.h"

#include <cmath>
#include <nlohmann/json.hpp>

namespace vergence {
namespace {

double four_decimals(double value) { return std::round(value * 1e4) / 1e4; }

}  // namespace

TimeShares::Seconds TimeShares::seconds() const {
  using Work = Progress::Work;
  const double waited = batches_.seconds_waited();
  return {waited, progress_.seconds_of(Work::steps) - waited, progress_.seconds_of(Work::evaluating),
          progress_.seconds_of(Work::saving)};
}

nlohmann::ordered_json TimeShares::line() {
  const Seconds now = seconds();
  double all = 0;
  for (std::size_t i = 0; i < now.size(); ++i) all += now[i] - before_[i];
  const auto share = [&](std::size_t part) { return all > 0 ? four_decimals((now[part] - before_[part]) / all) : 0; };
  nlohmann::ordered_json line{{"seconds", four_decimals(progress_.spent())},
                              {"images_per_s", four_decimals(progress_.images_per_s())},
                              {"data_wait", share(0)},
                              {"step", share(1)},
                              {"evaluation", share(2)},
                              {"checkpoint", share(3)}};
  before_ = now;
  return line;
}

}  // namespace vergence
