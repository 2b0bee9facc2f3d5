#include "tests/support/training_losses.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "engine/io/files.h"
#include "engine/text/json_text.h"
#include "models/encoders/resnet.h"
#include "ssl/options/table.h"
#include "tests/support/step_runs.h"

namespace vergence::test {
namespace {

const std::vector<std::string> compared_objectives{"simclr", "barlow_twins"};

double rate_of(const std::string& objective) { return objective == "simclr" ? 1e-3 : 1e-6; }

/// The settings that must agree between computing and comparing the losses.
nlohmann::ordered_json settings_json() {
  const BenchSettings settings = training_settings("cpu", "simclr");
  const Options options = bench_options(settings);
  return {{"encoder", options.encoder},      {"width", options.components.get<ResNetSettings>().width},
          {"image", settings.image},         {"batch", options.batch},
          {"projector", settings.projector}, {"precision", option_text(options, "precision")},
          {"steps", compared_steps}};
}

std::vector<double> row_of(const nlohmann::json& objective, const char* name, const std::string& where) {
  const auto row = objective.find(name);
  require_usage(row != objective.end() && row->is_array() && row->size() == compared_steps, where, "'", name,
                "' is not a list of ", compared_steps, " losses");
  std::vector<double> losses;
  for (const nlohmann::json& loss : *row) {
    require_usage(loss.is_number(), where, "'", name, "' holds ", loss.dump(), ", expected a number");
    losses.push_back(loss.get<double>());
  }
  return losses;
}

}  // namespace

BenchSettings training_settings(const std::string& device, const std::string& objective) {
  BenchSettings settings;
  settings.run.values.objective = objective;
  settings.run.values.device = device;
  settings.run.values.batch = 16;
  settings.projector = 256;
  settings.warmup = 0;
  return settings;
}

std::vector<double> training_losses(const BenchSettings& settings) {
  const Options options = bench_options(settings);
  Backend& device = device_of(options);
  const auto objective = make_objective(objective_setup(options, settings.image, device));
  const Views views = random_views(options.batch, settings.image, 1, device);
  const auto steps = steps_at(rate_of(options.objective), compared_steps, options.batch);
  return run_steps(*objective, device, views, false, steps).losses;
}

std::vector<CpuLosses> compute_cpu_losses() {
  std::vector<CpuLosses> all;
  for (const std::string& objective : compared_objectives) {
    BenchSettings settings = training_settings("cpu", objective);
    CpuLosses losses{objective, training_losses(settings), {}};
    settings.run.values.cpu_conv = CpuConv::direct;
    losses.direct = training_losses(settings);
    all.push_back(std::move(losses));
  }
  return all;
}

std::string cpu_losses_text(const std::vector<CpuLosses>& all) {
  nlohmann::ordered_json file{{"settings", settings_json()}};
  for (const CpuLosses& one : all)
    file["objectives"][one.objective] = {
        {"lr", rate_of(one.objective)}, {"losses", one.losses}, {"direct", one.direct}};
  return json_text(file, 1) + "\n";
}

std::vector<CpuLosses> read_cpu_losses(const std::string& path) {
  const std::string where = path + ": ";
  const nlohmann::json file = parse_json(read_file(path));
  require_usage(file.is_object() && file.contains("settings") && file.contains("objectives"), where,
                "not the losses that cpu_losses writes");
  require_usage(file["settings"] == nlohmann::json(settings_json()), where, "written for the steps ",
                file["settings"].dump(), ", expected ", settings_json().dump());
  std::vector<CpuLosses> all;
  for (const std::string& objective : compared_objectives) {
    const nlohmann::json& objectives = file["objectives"];
    require_usage(objectives.is_object() && objectives.contains(objective), where, "has no losses of '", objective,
                  "'");
    const nlohmann::json& one = objectives[objective];
    require_usage(one.is_object() && one.contains("lr") && one["lr"] == rate_of(objective), where, "'", objective,
                  "' was not trained at the rate ", rate_of(objective));
    const std::string of = where + "'" + objective + "': ";
    all.push_back({objective, row_of(one, "losses", of), row_of(one, "direct", of)});
  }
  return all;
}

}  // namespace vergence::test
