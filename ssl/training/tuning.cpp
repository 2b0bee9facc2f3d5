#include "ssl/training/tuning.h"

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "engine/io/files.h"
#include "engine/text/json_text.h"
#include "kernels/conv_tuning.h"
#include "kernels/error.h"

namespace vergence {

void start_tuning(const Options& options, const std::string& file, std::int64_t step, Backend& device) {
  if (!options.tune) return;
  ConvChoices known;
  if (step > 0) {
    const nlohmann::json saved = parse_json(read_file(file));
    require_usage(saved.is_object() && std::all_of(saved.begin(), saved.end(), [](auto& v) { return v.is_string(); }),
                  file, ": expected an object of algorithm names by convolution");
    known = saved.get<ConvChoices>();
  }
  KernelChoices choices = device.choices();
  choices.tuning = std::make_shared<ConvTuning>(std::move(known));
  device.set_choices(choices);
}

void save_tuning(const Options& options, const std::string& file, const Backend& device) {
  if (options.tune) write_atomically(file, json_text(device.choices().tuning->choices(), 1) + "\n");
}

}  // namespace vergence
