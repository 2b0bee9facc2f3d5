// A run's events for TensorBoard, in the run folder: the numbers of metrics.jsonl, pictures, distributions, options.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "ssl/options/options.h"
#include "ssl/training/tensorboard/event_file.h"
#include "ssl/training/tensorboard/events.h"

namespace vergence {

class RunEvents {
 public:
  /// The run in `folder` after `steps` steps: what an earlier start of it has logged of later steps is void. The file
  /// is created with the first event. If it cannot be written, then or later, `warn` receives one line, and no more is
  /// written.
  RunEvents(const Options& options, std::string folder, std::int64_t steps,
            std::function<void(const std::string&)> warn);

  /// False with --tensorboard off or after a failed write: nothing is written.
  bool on() const { return on_; }
  /// The numbers of a line of metrics.jsonl at its step: train/NAME up to the learning rate and for gradient_norm,
  /// figures/NAME for what follows, and OBJECT/NAME for numbers in an object.
  void line(const nlohmann::ordered_json& line);
  void picture(const std::string& name, std::int64_t step, const Png& png);
  void distribution(const std::string& name, std::int64_t step, const std::vector<float>& values);
  /// The run is finished.
  void end(std::int64_t step);

 private:
  void write(std::int64_t step, const Summary& summary);
  void open();

  const Options& options_;
  std::string folder_;
  std::int64_t steps_;
  std::function<void(const std::string&)> warn_;
  bool on_;
  std::unique_ptr<EventFile> file_;
};

}  // namespace vergence
