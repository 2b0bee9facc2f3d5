// A small MRCL for tests.
#pragma once

#include <string>

#include "models/encoders/resnet.h"
#include "tests/support/small_objectives.h"

namespace vergence {

inline Options tiny_mrcl(const std::string& base = "simclr", const Switches& more = {}) {
  Options options;
  options.objective = "mrcl";
  options.components.get<ResNetSettings>().width = 4;
  options.batch = 8;
  options.optimizer = OptimizerKind::sgd;
  set_all(options,
          {"simclr.hidden", "barlow_twins.hidden", "barlow_twins.output", "byol.hidden", "byol.output",
           "byol.predictor_hidden"},
          "16");
  set_option(options, "mrcl.base", base);
  set_option(options, "mrcl.decoder_width", "4");
  set_options(options, more);
  return options;
}

}  // namespace vergence
