// A small MRCL for tests.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "ssl/option_table.h"

namespace vergence {

using Switches = std::vector<std::pair<std::string, std::string>>;

inline Options tiny_mrcl(const std::string& base = "simclr", const Switches& more = {}) {
  Options options;
  options.objective = "mrcl";
  options.width = 4;
  options.batch = 8;
  options.optimizer = "sgd";
  for (const char* layer : {"simclr.hidden", "barlow_twins.hidden", "barlow_twins.output", "byol.hidden", "byol.output",
                            "byol.predictor_hidden"})
    set_option(options, layer, "16");
  set_option(options, "mrcl.base", base);
  set_option(options, "mrcl.decoder_width", "4");
  for (const auto& [name, value] : more) set_option(options, name, value);
  return options;
}

}  // namespace vergence
