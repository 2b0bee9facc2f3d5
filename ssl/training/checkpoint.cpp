// Checkpoints; checkpoint.h documents the names in the file.
#include "ssl/training/checkpoint.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <map>
#include <set>

#include "engine/io/files.h"
#include "engine/io/xxh.h"
#include "engine/text/words.h"

namespace vergence {
namespace {

constexpr const char *format_name = "vergence-checkpoint-2", *hash_key = "xxh128";
constexpr const char* old_format_name = "vergence-checkpoint-1";  // without a hash

/// The hash of the tensors in any order and of the metadata except the hash itself.
std::string hash_of(const std::vector<TensorEntry>& tensors, const Metadata& metadata) {
  std::map<std::string_view, const TensorEntry*> by_name;
  for (const TensorEntry& tensor : tensors) by_name[tensor.name] = &tensor;
  Xxh128 hash;
  for (const auto& [key, value] : metadata) {
    if (key == hash_key) continue;
    hash.add_text(key);
    hash.add_text(value);
  }
  for (const auto& [name, tensor] : by_name) {
    hash.add_text(name);
    hash.add_text(tensor->dtype);
    for (const std::int64_t extent : tensor->shape) hash.add_number(extent);
    hash.add(tensor->data, static_cast<std::size_t>(tensor->bytes));
  }
  return hash.digits();
}

const ParameterSet& parameters_called(const ObjectiveState& state, const std::string& name) {
  for (const auto& [set, parameters] : state.parameters)
    if (set == name) return parameters;
  throw Error(join("checkpoint: optimizer '", name, "' has no parameters of its name"));
}

/// Calls `on_tensor(name, tensor, whether it is a parameter)` and `on_optimizer(name, optimizer)` for a whole state.
template <class OnTensor, class OnOptimizer>
void each_value(const ObjectiveState& state, const OnTensor& on_tensor, const OnOptimizer& on_optimizer) {
  for (const auto& [set, parameters] : state.parameters)
    for (std::size_t i = 0; i < parameters.count(); ++i)
      on_tensor(set + "." + parameters.names()[i], parameters.tensors()[i], true);
  for (const auto& [set, optimizer] : state.optimizers) {
    const ParameterSet& parameters = parameters_called(state, set);
    for (const auto& [buffer, whole] : optimizer->state()) {
      const Tensors parts = parameters.parts_of(whole);
      for (std::size_t i = 0; i < parts.size(); ++i)
        on_tensor(join("optimizer.", set, ".", buffer, ".", parameters.names()[i]), parts[i], false);
    }
    on_optimizer(join("optimizer.", set, ".steps"), *optimizer);
  }
}

template <class T>
bool all_finite(const TensorEntry& entry) {
  const T* values = static_cast<const T*>(entry.data);
  // The sum of differences from itself is 0 unless a value is not finite; unlike a loop with exits it vectorizes.
  T sum = 0;
  for (std::int64_t i = 0; i < entry.size(); ++i) sum += values[i] - values[i];
  return sum == 0;
}

std::int64_t stored_number(const SafetensorsFile& file, const std::string& key) {
  const std::string& text = file.meta(key);
  const std::int64_t value = number_of<std::int64_t>(text).value_or(-1);
  require_usage(value >= 0, file.path(), ": metadata '", key, "' is '", text, "', expected a whole number");
  return value;
}

/// A metadata value; empty in older checkpoints that lack it.
std::string text_or_none(const SafetensorsFile& file, const std::string& key) {
  return file.metadata().contains(key) ? file.meta(key) : "";
}

double seconds_spent(const SafetensorsFile& file) {
  const double value = number_of<double>(text_or_none(file, "seconds")).value_or(0);
  return std::isfinite(value) ? std::max(value, 0.0) : 0;
}

std::int64_t counter(const TensorEntry& entry) {
  std::int64_t value;
  std::memcpy(&value, entry.data, sizeof value);
  return value;
}

std::vector<std::byte> bytes_of(const TensorEntry& entry) {
  const auto* begin = static_cast<const std::byte*>(entry.data);
  return {begin, begin + entry.bytes};
}

}  // namespace

std::string kept_checkpoint_text(const std::string& path) {
  if (!file_exists(path)) return "";
  return ". The last checkpoint is kept in " + std::filesystem::path(path).parent_path().string();
}

CheckpointSnapshot::CheckpointSnapshot(const ObjectiveState& state, const RunPosition& position)
    : metadata_{{"format", format_name},
                {"step", std::to_string(position.step)},
                {"epoch", std::to_string(position.epoch)},
                {"threads", std::to_string(position.threads)},
                {"images", std::to_string(position.images)},
                {"images_xxh128", position.data.images},
                {"labels_xxh128", position.data.labels},
                {"seconds", join(position.seconds)},
                {"config", position.config}} {
  if (!position.device.empty()) metadata_["device"] = position.device;
  if (position.ranks > 1) metadata_["ranks"] = std::to_string(position.ranks);
  each_value(
      state,
      [&](const std::string& name, const Tensor& tensor, bool parameter) {
        add(name, tensor);
        if (parameter) parameters_ = entries_.size();
      },
      [&](const std::string& name, const Optimizer& optimizer) { add(name, optimizer.steps()); });
  for (const auto& [prefix, statistics] : state.statistics)
    for (const auto& [layer, running] : statistics->layers) {
      const std::string name = prefix + "." + layer;
      add(name + ".running_mean", running.mean);
      add(name + ".running_var", running.variance);
      add(name + ".num_batches_tracked", running.batches);
    }
}

void CheckpointSnapshot::add(const std::string& name, const Tensor& tensor) {
  const Tensor& copy = copies_.emplace_back(host_copy(tensor));
  std::vector<std::int64_t> shape;
  for (int axis = 0; axis < tensor.shape.rank(); ++axis) shape.push_back(tensor.shape[axis]);
  entries_.push_back({name, safetensors_name_of(copy.dtype), shape, copy.data->data(), copy.data->bytes()});
}

void CheckpointSnapshot::add(const std::string& name, std::int64_t number) {
  const std::int64_t& kept = numbers_.emplace_back(number);
  entries_.push_back({name, "I64", {}, &kept, sizeof kept});
}

void CheckpointSnapshot::require_finite(const std::string& path) const {
  for (std::size_t i = 0; i < parameters_; ++i) {
    const TensorEntry& entry = entries_[i];
    require(entry.dtype == "F64" ? all_finite<double>(entry) : all_finite<float>(entry), "step ", metadata_.at("step"),
            ": ", entry.name, " is not finite; a lower --lr may help", kept_checkpoint_text(path));
  }
}

void CheckpointSnapshot::write(const std::string& path) const {
  require_finite(path);
  Metadata metadata = metadata_;
  metadata[hash_key] = hash_of(entries_, metadata);
  write_safetensors(path, entries_, metadata);
}

Checkpoint::Checkpoint(const std::string& path) : file_(path) {
  const std::string format = text_or_none(file_, "format");
  require_usage(format == format_name || format == old_format_name, path,
                ": not a checkpoint of this program, expected metadata format '", format_name, "'");
  require_usage(format == old_format_name || file_.meta(hash_key) == hash_of(file_.tensors(), file_.metadata()), path,
                ": is damaged: its bytes do not fit its checksum");
  position_ = {.step = stored_number(file_, "step"),
               .epoch = stored_number(file_, "epoch"),
               .device = text_or_none(file_, "device"),
               .threads = stored_number(file_, "threads"),
               .ranks = file_.metadata().contains("ranks") ? stored_number(file_, "ranks") : 1,
               .images = file_.metadata().contains("images") ? stored_number(file_, "images") : 0,
               .data = {text_or_none(file_, "images_xxh128"), text_or_none(file_, "labels_xxh128")},
               .seconds = seconds_spent(file_),
               .config = file_.meta("config")};
}

void Checkpoint::restore(const ObjectiveState& state) const {
  std::set<std::string> known;
  each_value(
      state,
      [&](const std::string& name, const Tensor& tensor, bool) {
        std::vector<std::int64_t> shape;
        for (int axis = 0; axis < tensor.shape.rank(); ++axis) shape.push_back(tensor.shape[axis]);
        from_host(tensor, bytes_of(file_.at(name, safetensors_name_of(tensor.dtype), shape)));
        known.insert(name);
      },
      [&](const std::string& name, Optimizer& optimizer) {
        optimizer.set_steps(counter(file_.at(name, "I64", {})));
        known.insert(name);
      });
  const Tensor& like = state.parameters.at(0).second.flat();
  const std::string mean = ".running_mean";
  for (const auto& [prefix, statistics] : state.statistics)
    for (const TensorEntry& entry : file_.tensors()) {
      if (!entry.name.starts_with(prefix + ".") || !entry.name.ends_with(mean)) continue;
      const std::string name = entry.name.substr(0, entry.name.size() - mean.size());
      RunningStatistics& running =
          statistics->at(name.substr(prefix.size() + 1), entry.size(), like.backend(), like.dtype);
      const char* type = safetensors_name_of(like.dtype);
      from_host(running.mean, bytes_of(file_.at(entry.name, type, {entry.size()})));
      from_host(running.variance, bytes_of(file_.at(name + ".running_var", type, {entry.size()})));
      running.batches = counter(file_.at(name + ".num_batches_tracked", "I64", {}));
      known.insert({entry.name, name + ".running_var", name + ".num_batches_tracked"});
    }
  for (const TensorEntry& entry : file_.tensors())
    require_usage(known.contains(entry.name), file_.path(), ": tensor '", entry.name, "' is not known here");
}

}  // namespace vergence
