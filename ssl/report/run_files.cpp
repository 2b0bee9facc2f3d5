#include "ssl/report/run_files.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>

#include "datasets/registry.h"
#include "engine/io/files.h"
#include "engine/io/safetensors.h"
#include "engine/text/json_text.h"
#include "engine/text/stored_text.h"
#include "engine/text/words.h"
#include "kernels/error.h"
#include "ssl/steps/figures.h"

namespace vergence {
namespace {

namespace fs = std::filesystem;
using ResultJson = nlohmann::ordered_json;

constexpr std::int64_t interrupted = 130, terminated = 143;

/// Parts of figures that describe how they were measured.
bool is_setting(const std::string& name) {
  static const std::array<std::string, 11> names{"k",           "classes",         "train_images",  "missing_classes",
                                                 "temperature", "held_out_images", "decoder_width", "missing_images",
                                                 "epochs",      "iterations",      "table"};
  return std::find(names.begin(), names.end(), name) != names.end();
}

/// "train" and "test" of a matrix of accuracies name its rows and columns.
bool is_matrix(const ResultJson& value, const ResultJson& parent) {
  if (!value.is_array() || !parent.is_object() || !parent.contains("train") || !parent.contains("test")) return false;
  const ResultJson &rows = parent["train"], &columns = parent["test"];
  return rows.is_array() && columns.is_array() && value.size() == rows.size() &&
         std::all_of(value.begin(), value.end(),
                     [&](const ResultJson& row) { return row.is_array() && row.size() == columns.size(); });
}

void add_numbers(const ResultJson& value, const std::string& path, std::vector<std::pair<std::string, double>>& out) {
  if (value.is_number()) {
    out.emplace_back(path, value.get<double>());
  } else if (value.is_object()) {
    for (const auto& [key, item] : value.items()) {
      if (is_setting(key)) continue;
      const std::string name = path.empty() ? key : path + "." + key;
      if (!is_matrix(item, value)) {
        add_numbers(item, name, out);
        continue;
      }
      for (std::size_t row = 0; row < item.size(); ++row)
        for (std::size_t column = 0; column < item[row].size(); ++column) {
          const ResultJson &from = value["train"][row], &to = value["test"][column];
          const std::string cell = from.is_string() && to.is_string()
                                       ? from.get<std::string>() + " > " + to.get<std::string>()
                                       : join("[", row, "][", column, "]");
          add_numbers(item[row][column], name + " " + cell, out);
        }
    }
  } else if (value.is_array()) {
    for (std::size_t i = 0; i < value.size(); ++i) add_numbers(value[i], join(path, "[", i, "]"), out);
  }
}

/// A line of a file, without its newline.
struct Line {
  std::string_view text;
  std::int64_t number = 0;
  bool whole = true;  // ends with a newline
};

std::vector<Line> lines_of(std::string_view text) {
  std::vector<Line> lines;
  for (std::int64_t number = 1; !text.empty(); ++number) {
    const std::size_t end = text.find('\n');
    const bool whole = end != std::string_view::npos;
    lines.push_back({text.substr(0, end), number, whole});
    text.remove_prefix(whole ? end + 1 : text.size());
  }
  std::erase_if(lines, [](const Line& line) { return line.text.empty(); });
  return lines;
}

std::string string_in(const ResultJson& object, const char* key) {
  return object.contains(key) && object[key].is_string() ? object[key].get<std::string>() : "";
}

void add_point(RunFiles& run, const std::string& name, std::int64_t step, const ResultJson& value,
               const std::string& images = "") {
  if (!value.is_number() || !std::isfinite(value.get<double>())) return;
  const auto found = std::find_if(run.metrics.begin(), run.metrics.end(),
                                  [&](const Series& s) { return s.name == name && s.knn_images == images; });
  Series& series = found != run.metrics.end() ? *found : run.metrics.emplace_back(Series{name, {}, images});
  series.points.push_back({step, value.get<double>()});
}

/// Reads metrics.jsonl. Of "clock", only the rate is a figure; earlier versions have it outside. They do not have
/// knn_images: then the run's options tell.
void read_metrics(RunFiles& run) {
  const std::string path = run.file("metrics.jsonl");
  if (!file_exists(path)) return;
  const std::string text = read_file(path);
  std::int64_t first_epoch_ends = 0;
  for (const Line& line : lines_of(text)) {
    const ResultJson json = parse_ordered_json(line.text);
    const bool good = json.is_object() && json.contains("step") && json["step"].is_number_integer();
    if (!good && !line.whole) break;
    require_usage(good, path, ":", line.number, ": is damaged, expected a JSON object with a step");
    const auto step = json["step"].get<std::int64_t>();
    const std::int64_t epoch =
        json.contains("epoch") && json["epoch"].is_number_integer() ? json["epoch"].get<int>() : 0;
    const std::string named = string_in(json, "knn_images"), images = named.empty() ? knn_images(run.options) : named;
    for (const auto& [name, value] : json.items()) {
      if (name == "clock" && value.is_object() && value.contains("images_per_s"))
        add_point(run, "images_per_s", step, value["images_per_s"]);
      else if (name != "step" && name != "epoch" && name != "knn_images")
        add_point(run, name, step, value, is_online_knn(name) ? images : "");
    }
    if (epoch == 1) first_epoch_ends = step;
    if (epoch > 1) run.steps_per_epoch = first_epoch_ends;
    run.last_step = step;
    run.last_epoch = epoch;
  }
}

std::int64_t integer_in(const ResultJson& object, const char* key, std::int64_t otherwise = 0) {
  return object.contains(key) && object[key].is_number_integer() ? object[key].get<std::int64_t>() : otherwise;
}

/// Whether results that differ in this setting are different figures. Not if it only says where they were computed, the
/// seed, what else was asked for, or what follows from other settings and the seed (train_images, list_xxh128).
bool defines_figures(const std::string& setting) {
  static const std::array<std::string, 7> others{"run_seed", "seed",         "device",     "threads",
                                                 "metrics",  "train_images", "list_xxh128"};
  return std::find(others.begin(), others.end(), setting) == others.end();
}

/// "lr 0.1, 0.3": the values that a sweep tried, rates times `rate`. Which it chose differs from seed to seed.
std::string tried_in(const ResultJson& sweep, double rate) {
  std::vector<std::string> texts;
  for (const auto& [name, chosen] : sweep["chosen"].items()) {
    std::vector<std::string> values;
    for (const ResultJson& trial : sweep["trials"]) {
      std::string value = "?";
      if (trial.is_object() && trial.contains(name))
        value = json_text(name == "lr" && rate != 1 && trial[name].is_number()
                              ? ResultJson(trial[name].get<double>() * rate)
                              : trial[name]);
      if (std::find(values.begin(), values.end(), value) == values.end()) values.push_back(value);
    }
    texts.push_back(name + " " + listed(values));
  }
  return listed(texts);
}

std::map<std::string, std::string> settings_of(const ResultJson& settings) {
  std::map<std::string, std::string> found;
  for (const auto& [key, value] : settings.items())
    if (defines_figures(key)) found[key] = value.is_string() ? value.get<std::string>() : json_text(value);
  const bool swept = settings.contains("sweep") && settings["sweep"].is_object() &&
                     settings["sweep"].contains("chosen") && settings["sweep"]["chosen"].is_object() &&
                     settings["sweep"].contains("trials") && settings["sweep"]["trials"].is_array();
  if (!swept) return found;
  // Of the probe sgd, earlier versions stored the rates as they were applied.
  const bool scales = settings.contains("applied_lr") && settings.contains("batch") && settings["batch"].is_number();
  found["sweep"] = tried_in(settings["sweep"], scales ? settings["batch"].get<double>() / 256 : 1);
  for (const auto& [name, value] : settings["sweep"]["chosen"].items()) found.erase(name);
  return found;
}

/// The probe sgd's learning rate as it was applied: earlier versions stored only this one, as "lr". A sweep chose none.
void keep_applied_lr(std::map<std::string, std::string>& settings) {
  const auto lr = settings.find("lr");
  if (lr == settings.end()) {
    settings.erase("applied_lr");
  } else {
    settings.emplace("applied_lr", lr->second);
    settings.erase("lr");
  }
}

/// The episodes' figures under the task that they are of: "5_way_15_queries_600_episodes.1_shot".
ResultJson by_task(const ResultJson& episodes) {
  ResultJson shots = ResultJson::object();
  if (episodes["shots"].is_object())
    for (const auto& [number, figures] : episodes["shots"].items()) shots[number + "_shot"] = figures;
  const std::string classes = string_in(episodes, "classes");
  return {{join(classes.empty() || classes == "all classes" ? "" : classes + ".", integer_in(episodes, "ways"), "_way_",
                integer_in(episodes, "queries"), "_queries_", integer_in(episodes, "episodes"), "_episodes"),
           shots}};
}

/// Puts a metric's figures under the word that qualifies them, unless it is the usual one.
void qualify(ResultJson& figures, const char* metric, const char* key, const std::string& usual) {
  if (!figures.contains(metric) || !figures[metric].is_object()) return;
  const std::string word = string_in(figures[metric], key);
  if (!word.empty() && word != usual) figures[metric] = {{word, figures[metric]}};
}

/// The file of a mask, in the encoder's folder by its name alone; empty: the encoder's own mask.
std::string mask_name(const std::string& mask, const std::string& encoder) {
  const fs::path path = fs::path(mask).lexically_normal();
  if (path.parent_path() != fs::path(encoder).lexically_normal().parent_path()) return path.string();
  return path.filename() == "mask.safetensors" ? "" : path.filename().string();
}

/// Adds to the names of figures what they depend on besides the settings: the task, mask, views or probe.
ResultJson spelled_out(ResultJson figures, const std::string& encoder, const std::string& where) {
  if (figures.contains("episodes") && figures["episodes"].is_object() && figures["episodes"].contains("shots"))
    figures["episodes"] = by_task(figures["episodes"]);
  for (const char* metric : {"knn", "corruptions"}) {
    if (!figures.contains(metric) || !figures[metric].is_object() || !figures[metric].contains("masked")) continue;
    ResultJson& masked = figures[metric]["masked"];
    const std::string name = mask_name(read_stored_text(string_in(masked, "mask_file"), where), encoder);
    if (masked.is_object() && masked.contains("mask_file") && !name.empty()) masked = {{name, masked}};
  }
  qualify(figures, "alignment", "views", "the run's views");
  for (const char* metric : {"nuisance", "foreground", "corruptions"}) qualify(figures, metric, "probe", "lbfgs");
  return figures;
}

Result result_of(const ResultJson& json, const std::string& where) {
  const bool good = json.is_object() && json.contains("tool") && json["tool"].is_string() && json.contains("figures") &&
                    json["figures"].is_object();
  require_usage(good, where, ": is no result, expected an object with tool and figures");
  Result result;
  result.tool = string_in(json, "tool");
  result.protocol = string_in(json, "protocol");
  result.judged_on = string_in(json, "judged_on");
  result.split = string_in(json, "split");
  const std::string encoder = read_stored_text(string_in(json, "encoder_file"), where);
  result.encoder = fs::path(encoder).filename().string();
  result.untrained = json.contains("untrained") && json["untrained"].is_boolean() && json["untrained"].get<bool>();
  if (json.contains("settings") && json["settings"].is_object()) result.settings = settings_of(json["settings"]);
  if (result.protocol == "sgd") keep_applied_lr(result.settings);
  if (is_of_own_images(result.judged_on) && json.contains("data"))
    result.settings["data"] = read_stored_text(string_in(json, "data"), where);
  // One data set may have files of several sizes, such as a part of CIFAR-100.
  if (json.contains("test_images")) result.settings["test_images"] = json_text(json["test_images"]);
  if (json.contains("epoch") && json["epoch"].is_number_integer()) result.epoch = json["epoch"].get<std::int64_t>();
  result.step = integer_in(json, "step");
  add_numbers(spelled_out(json["figures"], encoder, where), "", result.figures);
  return result;
}

void read_results(RunFiles& run) {
  const std::string path = run.file("results.jsonl");
  if (!file_exists(path)) return;
  const std::string text = read_file(path);
  for (const Line& line : lines_of(text)) {
    const ResultJson json = parse_ordered_json(line.text);
    const std::string where = join(path, ":", line.number);
    if (json.is_discarded())
      run.notices.push_back(where + ": is not JSON: skipped");
    else
      run.results.push_back(result_of(json, where));
  }
}

/// Seconds since 1970 of a time such as 2026-01-31T23:59:59Z; -1 if it is no such text.
double seconds_of(const std::string& text) {
  std::tm time{};
  if (std::sscanf(text.c_str(), "%d-%d-%dT%d:%d:%dZ", &time.tm_year, &time.tm_mon, &time.tm_mday, &time.tm_hour,
                  &time.tm_min, &time.tm_sec) != 6)
    return -1;
  time.tm_year -= 1900;
  time.tm_mon -= 1;
  return static_cast<double>(timegm(&time));
}

/// How long training took over all starts, by the last line of metrics.jsonl that tells. None without one.
std::optional<double> last_clock(const std::string& metrics) {
  const std::vector<Line> lines = lines_of(metrics);
  for (auto line = lines.rbegin(); line != lines.rend(); ++line) {
    const ResultJson json = parse_ordered_json(line->text);
    if (!json.is_object() || !json.contains("clock") || !json["clock"].is_object()) continue;
    const ResultJson& clock = json["clock"];
    if (clock.contains("seconds") && clock["seconds"].is_number()) return clock["seconds"].get<double>();
  }
  return std::nullopt;
}

/// Seconds of both stages, each by its own clock. None if a stage does not say.
std::optional<double> trained_seconds(const RunFiles& run) {
  std::optional<double> all;
  for (const std::string& path : {run.file("stage1/metrics.jsonl"), run.file("metrics.jsonl")}) {
    const std::string metrics = file_exists(path) ? read_file(path) : "";
    if (metrics.empty()) continue;
    const std::optional<double> seconds = last_clock(metrics);
    if (!seconds) return std::nullopt;
    all = all.value_or(0) + *seconds;
  }
  return all;
}

void add_commit(RunHistory& history, const std::string& commit) {
  std::vector<std::string>& all = history.commits;
  if (!commit.empty() && std::find(all.begin(), all.end(), commit) == all.end()) all.push_back(commit);
}

void add_name(std::string& list, const std::string& name) {
  if (!name.empty() && (", " + list + ",").find(", " + name + ",") == std::string::npos)
    list += (list.empty() ? "" : ", ") + name;
}

/// Whether a start found nothing left to do. If it was stopped before a checkpoint or in stage 1, its exit is not 0.
bool did_nothing(const ResultJson& start) {
  return start.contains("from_step") && start.contains("to_step") && start["from_step"].is_number_integer() &&
         start["from_step"] == start["to_step"] && start.contains("exit") && start["exit"] == 0;
}

/// A start without a commit of its own has the record's.
void read_history(RunFiles& run) {
  const std::string path = run.file("run.json");
  if (!file_exists(path)) return;
  const ResultJson record = parse_ordered_json(read_file(path));
  const bool good = record.is_object() && record.contains("runs") && record["runs"].is_array();
  require_usage(good, path, ": is damaged, expected a JSON object with runs");
  const std::string last_commit = string_in(record, "commit");
  for (const ResultJson& each : record["runs"]) {
    if (!each.is_object()) continue;
    add_commit(run.history, each.contains("commit") ? string_in(each, "commit") : last_commit);
    if (run.history.start.empty()) run.history.start = string_in(each, "start");
    if (!did_nothing(each)) {
      add_name(run.history.hosts, string_in(each, "host"));
      add_name(run.history.devices, string_in(each, "device"));
    }
    run.history.ended = each.contains("exit") && each["exit"].is_number_integer();
    run.history.status = integer_in(each, "exit");
    run.history.to_step = integer_in(each, "to_step");
    const double start = seconds_of(string_in(each, "start")), end = seconds_of(string_in(each, "end"));
    if (start >= 0 && end >= start)
      run.history.seconds += end - start;
    else
      run.history.seconds_lack = true;
  }
  add_commit(run.history, last_commit);
  if (const std::optional<double> seconds = trained_seconds(run); seconds && *seconds >= run.history.seconds) {
    run.history.seconds = *seconds;
    run.history.seconds_lack = false;
  }
}

/// How the last start ended, where that explains an unfinished run.
std::string ending(const RunHistory& history, const Options& options) {
  if (history.start.empty()) return "";
  if (!history.ended) return ", no end recorded";
  if (history.status == interrupted || history.status == terminated) return ", stopped by a signal";
  if (history.status != 0) return join(", ended with exit status ", history.status);
  return options.max_steps > 0 ? ", stopped by --max-steps" : ", no encoder.safetensors of the last epoch";
}

/// Compares the epochs that the encoder has seen with those planned. Without the file, a run has ended if its last
/// start says so.
void read_progress(RunFiles& run) {
  const std::string path = run.file("encoder.safetensors");
  std::int64_t done = 0;
  if (file_exists(path)) {
    const SafetensorsFile encoder(path);
    const auto found = encoder.metadata().find("epoch");
    if (found != encoder.metadata().end()) done = number_of<std::int64_t>(found->second).value_or(0);
  }
  if (done >= 1 && run.steps_per_epoch == 0 && run.last_epoch == 1) run.steps_per_epoch = run.last_step;
  if (done >= run.options.epochs) return;
  const RunHistory& history = run.history;
  const bool ended_well = history.ended && history.status == 0 && history.to_step == run.last_step;
  if (!file_exists(path) && ended_well && run.last_step > 0 && run.options.max_steps == 0) return;
  run.unfinished = run.last_step == 0 ? "no step logged"
                                      : join("step ", run.last_step, ", epoch ", run.last_epoch, " of ",
                                             run.options.epochs, ending(run.history, run.options));
}

std::string last_folder(const std::string& path) {
  std::error_code error;
  fs::path whole = fs::absolute(path, error).lexically_normal();
  if (!whole.has_filename()) whole = whole.parent_path();
  return whole.has_filename() ? whole.filename().string() : path;
}

}  // namespace

const Series* RunFiles::series(const std::string& wanted) const {
  const auto found = std::find_if(metrics.begin(), metrics.end(), [&](const Series& s) { return s.name == wanted; });
  return found == metrics.end() ? nullptr : &*found;
}

std::int64_t RunFiles::epoch_of(std::int64_t step) const {
  return steps_per_epoch > 0 ? std::min(last_epoch, (step + steps_per_epoch - 1) / steps_per_epoch) : last_epoch;
}

bool is_online_knn(const std::string& figure) { return figure.starts_with("knn_"); }

RunFiles read_run(const std::string& path) {
  RunFiles run;
  run.path = path;
  run.name = last_folder(path);
  std::error_code error;
  require_usage(fs::is_directory(path, error), path, ": is no run folder, expected one that pretrain made");
  const std::string config = run.file("config.toml");
  require_usage(file_exists(config), path,
                ": is no run folder: it has no config.toml, expected one that pretrain made");
  run.options = options_from_toml(read_file(config), config);
  read_metrics(run);
  read_results(run);
  read_history(run);
  read_progress(run);
  return run;
}

std::vector<std::pair<std::string, double>> numbers_in(const std::string& json) {
  std::vector<std::pair<std::string, double>> found;
  add_numbers(parse_ordered_json(json), "", found);
  return found;
}

}  // namespace vergence
