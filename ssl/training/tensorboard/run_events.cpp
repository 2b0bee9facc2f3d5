#include "ssl/training/tensorboard/run_events.h"

#include <chrono>
#include <nlohmann/json.hpp>
#include <utility>

#include "kernels/error.h"
#include "ssl/training/tensorboard/hparams.h"

namespace vergence {
namespace {

/// Seconds since 1970.
double wall_time() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

/// Adds the numbers of `object`, which may lie in further objects.
void add_scalars(Summary& summary, const std::string& group, const nlohmann::ordered_json& object) {
  for (const auto& [name, value] : object.items()) {
    const std::string tag = group + "/" + name;
    if (value.is_object()) add_scalars(summary, tag, value);
    if (value.is_number()) summary.scalar(tag, value.get<double>());
  }
}

}  // namespace

RunEvents::RunEvents(const Options& options, std::string folder, std::int64_t steps,
                     std::function<void(const std::string&)> warn)
    : options_(options), folder_(std::move(folder)), steps_(steps), warn_(std::move(warn)), on_(options.tensorboard) {}

void RunEvents::line(const nlohmann::ordered_json& line) {
  if (!on_) return;
  Summary summary;
  bool of_training = true;
  for (const auto& [name, value] : line.items()) {
    if (value.is_object()) add_scalars(summary, name, value);
    if (!value.is_number() || name == "step") continue;
    const char* group = name == "images_per_s"                   ? "clock/"
                        : of_training || name == "gradient_norm" ? "train/"
                                                                 : "figures/";
    summary.scalar(group + name, value.get<double>());
    of_training = of_training && name != "lr";
  }
  write(line.at("step").get<std::int64_t>(), summary);
}

void RunEvents::picture(const std::string& name, std::int64_t step, const Png& png) {
  if (!on_) return;
  Summary summary;
  summary.picture("pictures/" + name, png);
  write(step, summary);
}

void RunEvents::distribution(const std::string& name, std::int64_t step, const std::vector<float>& values) {
  if (!on_) return;
  Summary summary;
  summary.histogram("distributions/" + name, values);
  write(step, summary);
}

void RunEvents::end(std::int64_t step) {
  if (!on_) return;
  Summary summary;
  add_session_end(summary, wall_time());
  write(step, summary);
}

void RunEvents::write(std::int64_t step, const Summary& summary) {
  if (summary.empty()) return;
  try {
    if (!file_) open();
    file_->append(summary_event(wall_time(), step, summary));
  } catch (const Error& error) {
    on_ = false;
    warn_(join("warning: ", error.what(), "; training continues without further events for TensorBoard"));
  }
}

void RunEvents::open() {
  file_ = std::make_unique<EventFile>(folder_);
  file_->append(version_event(wall_time()));
  const std::int64_t next = steps_ > 0 ? steps_ + 1 : 0;  // step 0 has the first batch's views
  file_->append(start_event(wall_time(), next));
  Summary summary;
  add_session_start(summary, options_, wall_time());
  file_->append(summary_event(wall_time(), next, summary));
}

}  // namespace vergence
