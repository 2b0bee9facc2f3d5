// The layers of options: defaults, then a recipe or configuration file, then the command line.
#include "ssl/options/options.h"

#include <algorithm>
#include <filesystem>
#include <map>

#include "engine/io/files.h"
#include "engine/text/printable.h"
#include "engine/text/words.h"
#include "models/encoder.h"
#include "ssl/options/aliases.h"
#include "ssl/options/command_line.h"
#include "ssl/options/config_file.h"
#include "ssl/options/effects.h"
#include "ssl/options/extension.h"
#include "ssl/options/jpeg_choice.h"
#include "ssl/options/names.h"
#include "ssl/options/table.h"

namespace vergence {
namespace {

namespace fs = std::filesystem;

/// Refuses two values of an option given twice, or under two names.
void refuse_two_values(const Setting& first, const Setting& second) {
  if (first.value == second.value) return;
  const std::string values = join("'", shortened(first.value), "' and '", shortened(second.value), "'");
  require_usage(first.where != second.where, second.where, ": given twice, as ", values);
  throw UsageError(join(second.where, ": the same option as ", first.where, ", and their values differ: ", values));
}

/// The settings' objective, under any of the option's names; `otherwise` if there is none.
std::string objective_in(const std::vector<Setting>& settings, const std::string& otherwise) {
  for (const Setting& setting : settings) {
    const bool fixed = is_option_name(setting.name) && setting.name != objectives_temperature;
    if (fixed && true_option_name(setting.name, otherwise, setting.where, "") == "objective") return setting.value;
  }
  return otherwise;
}

/// The same for layers, of which the last wins.
std::string objective_in(const std::vector<Layer>& layers, std::string otherwise) {
  for (const Layer& layer : layers) otherwise = objective_in(layer.settings, otherwise);
  return otherwise;
}

/// The settings under the options' true names, each once.
std::vector<Setting> with_true_names(const std::vector<Setting>& settings, const std::string& objective) {
  std::vector<Setting> result;
  for (Setting setting : settings) {
    const char* dashes = setting.type == Setting::Type::untyped ? "--" : "";
    setting.name = true_option_name(setting.name, objective, setting.where, dashes);
    const auto before =
        std::find_if(result.begin(), result.end(), [&](const Setting& s) { return s.name == setting.name; });
    if (before == result.end())
      result.push_back(std::move(setting));
    else
      refuse_two_values(*before, setting);
  }
  return result;
}

/// Applies one layer of settings with true names. Options of both views come before those of one view, in any order of
/// the layer.
void apply_layer(const std::vector<Setting>& settings, Options& options) {
  for (const bool single_views : {false, true}) {
    for (const Setting& setting : settings) {
      const OptionEntry& entry = *find_option(setting.name);
      const bool from_file = setting.type != Setting::Type::untyped;
      require_usage(!from_file || !(entry.flags & OptionEntry::command_line_only), setting.where,
                    ": can only be given on the command line");
      if (single_views == !entry.both.empty()) assign_option(entry, setting, options);
    }
  }
}

/// Checks that involve several options.
void check_options(const Options& options) {
  for (const auto* values : {&options.mean, &options.std}) {
    const char* name = values == &options.mean ? "--mean" : "--std";
    require_usage(values->size() <= max_channels, name, ": expected at most ", max_channels, " numbers, got ",
                  values->size());
    const double least = values == &options.mean ? -10 : 1e-6;
    for (const double value : *values)
      require_usage(value >= least && value <= 10, name, ": ", value, ", expected ", least,
                    " to 10: pixels are numbers from 0 to 1, not to 255");
  }
  require_usage(options.schedule != ScheduleKind::step || !options.step_epochs.empty(),
                "--schedule step: expected --step-epochs, as 60,80");
  require_usage(std::is_sorted(options.step_epochs.begin(), options.step_epochs.end()),
                "--step-epochs: expected ascending epochs");
  check_extensions(options);
  check_view_settings(options.view[0], "view1");
  check_view_settings(options.view[1], "view2");
}

/// Whether there is a setting with this name.
bool sets(const std::vector<Setting>& settings, const char* name) {
  return std::any_of(settings.begin(), settings.end(), [&](const Setting& s) { return s.name == name; });
}

/// Whether a file of the user's has the last word on the batch.
bool users_batch(const std::vector<Layer>& layers) {
  for (auto layer = layers.rbegin(); layer != layers.rend(); ++layer)
    if (sets(layer->settings, "batch")) return !layer->shipped;
  return false;
}

/// The config.toml of a moved run folder still names the old folder, where a new run would start.
void refuse_moved_run(const std::string& config, const Options& options) {
  fs::path folder = fs::path(config).parent_path();
  if (folder.empty()) folder = ".";
  const std::string run = options.run_folder();
  std::error_code error;
  const bool holds_run =
      file_exists(folder / "checkpoint.safetensors") || file_exists(folder / "stage1" / "checkpoint.safetensors");
  require_usage(!holds_run || fs::equivalent(folder, run, error), "--resume: ", config,
                " lies beside a checkpoint, but the run folder is ", run, ": give --out ", folder.string(),
                " to go on with that checkpoint, or --out ", run, " if that is meant");
}

/// Where the run to extend is: its folder, with the file of its options.
struct RunToExtend {
  std::string folder;
  ConfigFile config;
};

/// `config` is that of --config, or empty; `options` has the rest of the command line, and `has_out` is whether that
/// names the folder.
RunToExtend run_to_extend(const std::string& config, const Options& options, bool has_out) {
  std::string folder = options.run_folder();
  if (!has_out && !config.empty()) folder = fs::path(config).parent_path().string();
  if (folder.empty()) folder = ".";
  const std::string own = (fs::path(folder) / "config.toml").string();
  require_usage(file_exists(own), "--extend: there is no ", own, ": expected the folder of a finished run as --out");
  std::error_code error;
  require_usage(config.empty() || fs::equivalent(config, own, error), "--extend: takes the options of ", own,
                ", not of --config ", config, ": leave --config out");
  return {folder, {own, ""}};
}

/// Whether the folder has the start of a run that ended before its first line: nothing to keep (RunFolder::only_begun).
bool has_only_begun(const fs::path& folder) {
  for (const char* file : {"checkpoint.safetensors", "encoder.safetensors", "stage1"})
    if (file_exists(folder / file)) return false;
  std::error_code error;
  return fs::is_empty(folder / "metrics.jsonl", error) && !error;
}

/// Whether a resumed run may not change this option.
bool decides_training(const Setting& setting) {
  const OptionEntry* entry = find_option(setting.name);
  return !entry || !(entry->flags & (OptionEntry::may_change | OptionEntry::command_line_only));
}

/// The run's config.toml, if a command --out RUN --resume should take the run's options; else empty. It should if it
/// sets no option that decides what is trained, or if it names neither data set nor objective and the run has others
/// than the defaults.
std::string resumed_config(const CommandLine& line, const std::vector<Setting>& given, const Options& options) {
  if (!options.resume || options.out.empty() || options.extend > 0 || !line.config.empty()) return "";
  const std::string own = (fs::path(options.out) / "config.toml").string();
  const bool decides =
      std::any_of(given.begin(), given.end(), decides_training) || sets(line.settings, objectives_temperature);
  if (!file_exists(own)) {
    const auto has = [&](const char* file) { return file_exists((fs::path(options.out) / file).string()); };
    require_usage(decides || !(has("checkpoint.safetensors") || has("stage1/checkpoint.safetensors")), own,
                  ": there is no such file, so the options of the run are unknown; expected it, or the run's whole "
                  "command with --resume, and with --dataset even if that is the default");
    return "";
  }
  if (decides) {
    if (sets(given, "dataset") || sets(given, "objective") || has_only_begun(options.out)) return "";
    const Options run = options_from_file(own);
    if (run.dataset == options.dataset && run.objective == options.objective) return "";
  }
  return own;
}

/// "3 numbers as npy has 3 channels".
std::string numbers_for(const Dataset& data_set) {
  const std::int64_t channels = data_set.channels;
  return join(counted(channels, "number"), " as ", data_set.name, " has ", counted(channels, "channel"));
}

/// Throws UsageError naming all augmentations that do not fit the data set's channels, and how to turn them off.
void refuse_meaningless(const ViewSettings& settings, const std::string& view, const Dataset& data_set) {
  std::string found, remedy;
  for (const NamedSetting& setting : meaningless_settings(settings)) {
    found += join(found.empty() ? "" : ", ", setting.name, " is ", setting.value);
    remedy += join(remedy.empty() ? "" : " ", "--view.", setting.name, " 0");
  }
  require_usage(found.empty(), view, ": ", found, ", but ", data_set.name, " has ",
                counted(data_set.channels, "channel"), ": expected 0 (", remedy, ")");
}

}  // namespace

std::string Options::run_folder() const {
  return out.empty() ? join("runs/", dataset, "_", objective, "_s", seed) : out;
}

void refuse_other_encoders(const std::vector<std::string>& given, const std::string& encoder) {
  const EncoderFamily& chosen = family_of(encoder);
  for (const EncoderFamily& family : encoder_families())
    for (const EncoderOption& option : family.options)
      require_usage(family.names == chosen.names || std::find(given.begin(), given.end(), option.name) == given.end(),
                    "--", option.name, ": ", encoder, " has no such option");
}

bool is_written(const OptionEntry& entry, const Options& options) {
  if (entry.flags & OptionEntry::command_line_only) return false;
  // Of components that the run does not use, only what the user chose: a program without them reads the file, too.
  const bool if_set = (entry.flags & OptionEntry::if_set) || !unused_owner(entry.name, options).empty();
  if (if_set && value_text(entry, options) == value_text(entry, Options())) return false;
  const std::string both = entry.both.empty() ? (entry.fields.size() == 2 ? entry.name : "") : entry.both;
  if (both.empty()) return true;
  const std::string key = both.substr(both.find('.'));
  const bool equal =
      value_text(*find_option("view1" + key), options) == value_text(*find_option("view2" + key), options);
  return equal == entry.both.empty();
}

namespace {

/// Where the options come from, besides the command line.
struct OptionSource {
  ConfigFile file;         // empty: built-in defaults
  bool is_recipe = false;  // chosen by data set and objective
  std::string run_folder;  // of a run to extend
};

/// `preliminary`: the command line under true names, without --temperature; `options`: the defaults with its values.
OptionSource source_of(const CommandLine& line, const std::vector<Setting>& preliminary, const Options& options) {
  if (options.extend > 0) {
    RunToExtend run = run_to_extend(line.config, options, !options.out.empty());
    return {run.config, false, run.folder};
  }
  if (const std::string resumed = resumed_config(line, preliminary, options); !resumed.empty()) return {{resumed, ""}};
  if (line.config.empty()) return {recipe_for(options.dataset, options.objective), true};
  return {config_file(line.config)};
}

/// Notes which file applied, and options on the command line that have no effect.
void note_source(const OptionSource& source, const std::vector<Layer>& filed, const std::vector<Setting>& given,
                 Options& options) {
  const auto note = [&](const std::string& text) { options.applied.push_back(text); };
  if (source.file.path.empty())
    note(join("no recipe of ", options.dataset, " and ", options.objective, ": built-in defaults"));
  else
    note((source.is_recipe ? "recipe " : "configuration ") + source.file.path);
  const std::string notice = missing_turbo(filed, options.dataset, has_jpeg_turbo());
  if (!notice.empty() && !sets(given, "jpeg")) note("notice: " + notice);
  for (const Setting& setting : given)
    if (const std::string other = without_effect_by(setting.name, options); !other.empty())
      note(join("notice: --", setting.name, " has no effect with ", other));
}

}  // namespace

Options parse_pretrain(int argc, const char* const* argv) {
  const CommandLine line = read_command_line(argc, argv);
  // The command line is also applied first, since it names the data set and objective of the recipe.
  std::vector<Setting> preliminary = line.settings;
  std::erase_if(preliminary, [](const Setting& s) { return s.name == objectives_temperature; });
  Options options;
  preliminary = with_true_names(preliminary, options.objective);
  apply_layer(preliminary, options);
  const std::int64_t added = options.extend;
  const OptionSource source = source_of(line, preliminary, options);
  const std::string& file = source.file.path;
  std::vector<Layer> filed = file.empty() ? std::vector<Layer>{} : read_layers(file);
  const std::string objective = objective_in(line.settings, objective_in(filed, Options().objective));
  const std::vector<Setting> given = with_true_names(line.settings, objective);
  for (Layer& layer : filed) layer.settings = with_true_names(layer.settings, objective);
  options = {};
  for (const Layer& layer : filed) apply_layer(layer.settings, options);
  apply_layer(given, options);
  if (source.is_recipe) options.recipe = source.file.recipe;
  options.batch_chosen = sets(given, "batch") || users_batch(filed);
  require_usage(added == 0 || !sets(given, "epochs"),
                "--epochs: not with --extend, which adds to the run's own epochs");
  require_usage(added > 0 || !sets(given, "extend-schedule"), "--extend-schedule: goes with --extend alone");
  if (added > 0) {
    options.out = source.run_folder;
    extend(options);
  }
  check_options(options);
  note_source(source, filed, given, options);
  std::vector<std::string> names;
  for (const Setting& setting : given) names.push_back(setting.name);
  refuse_other_encoders(names, options.encoder);
  if (options.resume && added == 0 && !sets(given, "out") && !line.config.empty()) refuse_moved_run(file, options);
  return options;
}

Options options_from_file(const std::string& path) {
  Options options;
  const std::vector<Layer> layers = read_layers(path);
  const std::string objective = objective_in(layers, options.objective);
  for (const Layer& layer : layers) apply_layer(with_true_names(layer.settings, objective), options);
  check_options(options);
  return options;
}

Options options_from_toml(std::string_view text, const std::string& where) {
  Options options;
  const std::vector<Setting> settings = read_toml(text, where);
  for (const Setting& setting : settings)
    require_usage(setting.name != extends_key, setting.where, ": expected a complete file, which extends no other");
  apply_layer(with_true_names(settings, objective_in(settings, options.objective)), options);
  check_options(options);
  return options;
}

std::string options_to_toml(const Options& options) {
  std::vector<std::string> order{""};
  std::map<std::string, std::string> tables;
  for (const OptionEntry& entry : option_table()) {
    if (!is_written(entry, options)) continue;
    const std::size_t dot = entry.name.find('.');
    const std::string table = dot == std::string::npos ? "" : entry.name.substr(0, dot);
    const std::string key = dot == std::string::npos ? entry.name : entry.name.substr(dot + 1);
    if (std::find(order.begin(), order.end(), table) == order.end()) order.push_back(table);
    tables[table] += key + " = " + value_toml(entry, options) + "\n";
  }
  std::string text = "# The options of a pretraining run. Run it again: pretrain --config THIS_FILE --out FOLDER\n";
  for (const std::string& table : order) {
    if (!table.empty()) text += "\n[" + table + "]\n";
    text += tables[table];
  }
  return text;
}

std::vector<OptionDifference> differences(const Options& first, const Options& second) {
  std::vector<OptionDifference> found;
  for (const OptionEntry& entry : option_table()) {
    const bool both_views = entry.fields.size() > 1;  // compared view by view
    const bool free = entry.flags & (OptionEntry::command_line_only | OptionEntry::may_change);
    // The default of jpeg is the build's; only image files are decoded by it.
    const bool decodes = is_of_image_files(first.dataset) || is_of_image_files(second.dataset);
    if (both_views || free || (entry.name == "jpeg" && !decodes)) continue;
    std::string a = value_text(entry, first), b = value_text(entry, second);
    const bool same = a == b || (entry.is_input() && same_input(entry, a, b));
    if (!same) found.push_back({entry.name, std::move(a), std::move(b)});
  }
  return found;
}

Options without_changeable(const Options& options) {
  const Options defaults;
  Options result = options;
  for (const OptionEntry& entry : option_table())
    if (entry.flags & OptionEntry::may_change) copy_option(entry, defaults, result);
  return result;
}

void require_resumable(const Options& saved, const Options& now, const std::string& path) {
  const auto text_of = [](const std::string& value) { return value.empty() ? std::string("unset") : value; };
  Options then = now;  // as it was when `saved` was written
  while (then.epochs > saved.epochs && !extensions_of(then).empty()) then = before_last_extension(then);
  if (then.epochs != saved.epochs) then = now;
  const std::vector<OptionDifference> all = differences(saved, then);
  std::string text;
  for (const OptionDifference& one : all) {
    text += join(text.empty() ? "" : ", ", one.name, " is ", text_of(one.first), " there and ", text_of(one.second),
                 " here");
  }
  require_usage(text.empty(), path, ": cannot resume with other options: ", text,
                "; for the run's own give --out and --resume alone, or choose another --out",
                all.size() == 1 && all[0].name == "epochs" && now.epochs > saved.epochs
                    ? join("; once the run has ended, --extend ", now.epochs - saved.epochs, " adds epochs")
                    : "");
}

std::vector<ViewSettings> view_settings(const Options& options, const Dataset& data_set) {
  const auto channels = static_cast<std::size_t>(data_set.channels);
  require_usage(options.mean.empty() || options.mean.size() == channels, "--mean: expected ", numbers_for(data_set),
                ", got ", options.mean.size());
  require_usage(options.std.empty() || options.std.size() == channels, "--std: expected ", numbers_for(data_set),
                ", got ", options.std.size());
  std::vector<ViewSettings> views;
  for (std::size_t view = 0; view < options.view.size(); ++view) {
    ViewSettings settings = options.view[view];
    settings.size = options.image_size ? options.image_size : data_set.view_size();
    settings.channels = data_set.channels;
    refuse_meaningless(settings, join("view", view + 1), data_set);
    settings.mean = data_set.mean;
    settings.std = data_set.std;
    for (std::size_t channel = 0; channel < channels; ++channel) {
      if (!options.mean.empty()) settings.mean[channel] = static_cast<float>(options.mean[channel]);
      if (!options.std.empty()) settings.std[channel] = static_cast<float>(options.std[channel]);
    }
    views.push_back(settings);
  }
  return views;
}

DatasetSettings dataset_settings(const Options& options) {
  require_usage(options.classes.empty() || is_of_image_files(options.dataset),
                "--classes: selects classes of image files (", listed(image_file_datasets()), "), not of ",
                options.dataset);
  DatasetSettings settings;
  settings.name = options.dataset;
  settings.directory = options.data;
  settings.classes = options.classes;
  settings.jpeg = options.jpeg;
  settings.decode = options.decode;
  settings.bad_images = options.bad_images;
  settings.image_size = options.image_size;
  settings.limit = options.limit;
  settings.seed = static_cast<std::uint64_t>(options.seed);
  settings.components = options.components;
  return settings;
}

}  // namespace vergence
