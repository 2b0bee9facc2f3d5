#include "ssl/steps/initial_weights.h"

#include "models/weights/encoder_weights.h"

namespace vergence {

std::optional<InitialWeights> initial_weights(const ObjectiveSetup& setup) {
  const Options& options = setup.options;
  const bool chosen = !options.init_prefix.empty() || options.init_stem != StemRule::exact;
  require_usage(!options.init.empty() || !chosen, "--init-prefix and --init-stem: expected --init FILE too");
  if (options.init.empty()) return {};
  try {
    EncoderWeights weights(options.init, options.init_prefix, setup.encoder, "choose one with --init-prefix");
    InitialWeights initial{weights.load(setup.encoder, setup.init(), options.init_stem), {}};
    initial.report = weights.report();
    return initial;
  } catch (const UsageError& error) {
    throw UsageError(join("--init: ", error.what()));
  }
}

}  // namespace vergence
