#include "ssl/objectives/dsa/stage1.h"

#include <algorithm>

#include "ssl/objectives/dsa/options.h"

namespace vergence {

std::optional<Options> dsa_stage1(const Options& options) {
  constexpr std::int64_t max_epochs = 100;  // if the options do not say
  const DsaOptions dsa = options.components.get<DsaOptions>();
  constexpr bool begun = true;  // stage 2, made first for its plan, refuses what is idle
  const DsaSettings settings = resolve(dsa, options.batch, begun);
  if (settings.network.net != PriorNet::stage1 || !settings.needs_network() || !dsa.prior_file.empty()) return {};
  Options first = options;
  first.objective = dsa.base;
  first.components.get<DsaOptions>() = {};
  first.epochs = dsa.stage1_epochs > 0 ? dsa.stage1_epochs : std::min(max_epochs, options.epochs);
  return first;
}

void take_stage1_encoder(Options& options, const std::string& file) {
  options.components.get<DsaOptions>().stage1_encoder = file;
}

}  // namespace vergence
