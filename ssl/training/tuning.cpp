#include "ssl/training/tuning.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "engine/io/files.h"
#include "engine/text/json_text.h"
#include "kernels/conv_tuning.h"
#include "kernels/error.h"

namespace vergence {

void start_tuning(const Options& options, const std::string& file, std::int64_t step) {
  stop_conv_tuning();
  if (!options.tune) return;
  ConvChoices known;
  if (step > 0) {
    const nlohmann::json saved = parse_json(read_file(file));
    require_usage(saved.is_object() && std::all_of(saved.begin(), saved.end(), [](auto& v) { return v.is_string(); }),
                  file, ": expected an object of algorithm names by convolution");
    known = saved.get<ConvChoices>();
  }
  start_conv_tuning(known);
}

void save_tuning(const Options& options, const std::string& file) {
  if (options.tune) write_atomically(file, json_text(conv_choices(), 1) + "\n");
}

}  // namespace vergence
