// The layers of options: defaults, then a recipe or configuration file, then the command line.
#include "ssl/options.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <deque>
#include <filesystem>
#include <map>
#include <numeric>

#include "engine/files.h"
#include "ssl/help.h"
#include "ssl/option_table.h"
#include "ssl/recipe_files.h"

namespace vergence {
namespace {

namespace fs = std::filesystem;

constexpr const char* about =
    "Pretrains an image encoder without labels.\n\n"
    "Every option can also stand in a TOML file given as --config, under the same name; the command line wins.\n"
    "Without --config the shipped recipe of the data set and objective applies, where there is one (imagenet and\n"
    "image_folder take imagenet100's). The values below are those of options that neither sets.";

constexpr const char* examples =
    "Examples:\n"
    "  pretrain --out runs/first                         the rendered data set, nothing to download\n"
    "  pretrain --dataset cifar10 --data DIR --config cifar10_simclr_short\n"
    "  pretrain --dataset cifar10 --data DIR --objective barlow_twins --epochs 200 --eval-every 10\n"
    "  pretrain --config runs/first/config.toml --out runs/first --resume\n"
    "Then: linear_probe --run runs/first\n\n"
    "Exit status: 0 done, 2 bad usage or data, 1 other failures, 130 and 143 stopped by a signal (after saving, once "
    "it\n"
    "has begun to train).";

/// Edits (insert, delete, replace) between two words.
std::size_t distance(const std::string& a, const std::string& b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0]++;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t above = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1])});
      diagonal = above;
    }
  }
  return row[b.size()];
}

/// ", did you mean 'x'?" for the nearest option, if one is near; else nothing.
std::string suggestion(const std::string& name, const char* dashes) {
  if (name.size() > 100) return "";
  std::string best;
  std::size_t least = std::max<std::size_t>(2, name.size() / 4) + 1;
  for (const OptionEntry& entry : option_table()) {
    const std::size_t edits = distance(name, entry.name);
    if (edits < least) least = edits, best = entry.name;
  }
  return best.empty() ? "" : join(", did you mean ", dashes, best, "?");
}

/// Applies one layer. Options of both views come before those of one, wherever they stand in the layer.
void apply_layer(const std::vector<Setting>& settings, Options& options) {
  for (const bool single_views : {false, true}) {
    for (const Setting& setting : settings) {
      const OptionEntry* entry = find_option(setting.name);
      if (!entry) throw UsageError(join(setting.where, ": unknown option", suggestion(setting.name, "")));
      const bool from_file = setting.type != Setting::Type::untyped;
      require_usage(!from_file || !(entry->flags & OptionEntry::command_line_only), setting.where,
                    ": can only be given on the command line");
      if (single_views == !entry->both.empty()) assign_option(*entry, setting, options);
    }
  }
}

/// What no single option can say.
void check(const Options& options) {
  for (const auto* values : {&options.mean, &options.std}) {
    const char* name = values == &options.mean ? "--mean" : "--std";
    require_usage(values->size() <= most_channels, name, ": expected at most ", most_channels, " numbers, got ",
                  values->size());
  }
  require_usage(options.schedule != "step" || !options.step_epochs.empty(),
                "--schedule step: expected --step-epochs, as 60,80");
  require_usage(std::is_sorted(options.step_epochs.begin(), options.step_epochs.end()),
                "--step-epochs: expected ascending epochs");
  check_view_settings(options.view[0], "view1");
  check_view_settings(options.view[1], "view2");
}

/// The command line as CLI11 understands it, one text per option.
struct CommandLine {
  CLI::App app{about, "pretrain"};
  std::string config;
  std::deque<std::pair<CLI::Option*, const OptionEntry*>> options;

  CommandLine() {
    app.footer(examples);
    app.get_formatter()->column_width(44);
    app.allow_extras();
    app.add_option("--config", config, "file of options, or the name of a shipped recipe")
        ->type_name("FILE")
        ->group("What to train");
    const Options defaults;
    for (const OptionEntry& entry : option_table()) options.emplace_back(add(entry, defaults), &entry);
  }

  CLI::Option* add(const OptionEntry& entry, const Options& defaults) {
    const bool text = std::holds_alternative<std::function<std::string&(Options&)>>(entry.fields[0]);
    std::string help = entry.help;
    if (!entry.choices.empty()) help += " (" + expected_text(entry) + ")";
    CLI::Option* option = app.add_option_function<std::string>(
        "--" + entry.name, [](const std::string&) {}, help);
    const std::string value = entry.flags & OptionEntry::command_line_only ? "" : value_text(entry, defaults);
    if (entry.is_bool()) {
      option->expected(0, 1);  // alone it means on: CLI11 would take a default text for that, so it stands in the type
      option->type_name(value.empty() ? "" : "on|off=" + value);
    } else {
      option->type_name(entry.is_list() ? "LIST" : text ? "TEXT" : "NUMBER");
      if (!value.empty()) option->default_str(value);
    }
    option->group(entry.both.empty() ? entry.group : "");  // no group: not in the help
    return option;
  }

  void parse(int argc, const char* const* argv) {
    try {
      app.parse(argc, argv);
    } catch (const CLI::CallForHelp&) {
      throw HelpRequest{app.help()};
    } catch (const CLI::ParseError& error) {
      throw UsageError(error.what());
    }
    for (const std::string& extra : app.remaining()) {
      const std::string name = extra.substr(std::min(extra.find_first_not_of('-'), extra.size()));
      throw UsageError(join(extra, ": unknown ", extra == name ? "argument" : "option",
                            suggestion(name.substr(0, name.find('=')), "--"), " (see --help)"));
    }
  }

  std::vector<Setting> settings() const {
    std::vector<Setting> given;
    for (const auto& [option, entry] : options) {
      if (option->count() == 0) continue;
      const std::vector<std::string>& results = option->results();
      std::string value = results.empty() ? "" : results.front();
      if (entry->is_bool() && value.empty()) value = "on";
      given.push_back({entry->name, value, Setting::Type::untyped, "--" + entry->name});
    }
    return given;
  }
};

/// The file of --config: a path, or the name of a shipped recipe.
std::string config_path(const std::string& given) {
  if (file_exists(given)) return given;
  const bool plain_name = given.find('/') == std::string::npos;
  const std::string recipe = plain_name ? find_recipe(fs::path(given).stem().string()) : "";
  require_usage(!recipe.empty(), "--config: there is no file ", given,
                plain_name ? " and no shipped recipe of that name" : "");
  return recipe;
}

/// A run folder that was moved has a config.toml that names the old one: a run would begin there.
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

/// The options of both views are saved in one line where they agree.
bool is_written(const OptionEntry& entry, const Options& options) {
  if (entry.flags & OptionEntry::command_line_only) return false;
  const std::string both = entry.both.empty() ? (entry.fields.size() == 2 ? entry.name : "") : entry.both;
  if (both.empty()) return true;
  const std::string key = both.substr(both.find('.'));
  const bool equal =
      value_text(*find_option("view1" + key), options) == value_text(*find_option("view2" + key), options);
  return equal == entry.both.empty();
}

/// The shipped recipe of a data set and objective; other photographs have ImageNet-100's.
std::string recipe_for(const std::string& dataset, const std::string& objective) {
  std::string file = find_recipe(dataset + "_" + objective);
  if (file.empty() && (dataset == "imagenet" || dataset == "image_folder"))
    file = find_recipe("imagenet100_" + objective);
  return file;
}

/// "3 numbers as npy has 3 channels".
std::string numbers_for(const Dataset& data_set) {
  const auto counted = [&](const char* things) {
    return join(data_set.channels, " ", things, data_set.channels == 1 ? "" : "s");
  };
  return join(counted("number"), " as ", data_set.name, " has ", counted("channel"));
}

/// Throws UsageError naming all steps of a view that have no meaning for the data set's channels, and how to leave them
/// out.
void refuse_meaningless(const ViewSettings& settings, const std::string& view, const Dataset& data_set) {
  std::string found, remedy;
  for (const NamedSetting& setting : meaningless_settings(settings)) {
    found += join(found.empty() ? "" : ", ", setting.name, " is ", setting.value);
    remedy += join(remedy.empty() ? "" : " ", "--view.", setting.name, " 0");
  }
  require_usage(found.empty(), view, ": ", found, ", but ", data_set.name, " has ", data_set.channels,
                data_set.channels == 1 ? " channel" : " channels", ": expected 0 (", remedy, ")");
}

}  // namespace

std::string Options::run_folder() const {
  return out.empty() ? join("runs/", dataset, "_", objective, "_s", seed) : out;
}

Options parse_pretrain(int argc, const char* const* argv) {
  CommandLine line;
  line.parse(argc, argv);
  const std::vector<Setting> given = line.settings();
  Options options;
  // The command line comes first as well: it names the data set and objective whose recipe applies.
  apply_layer(given, options);
  std::string file;
  if (!line.config.empty()) {
    file = config_path(line.config);
  } else {
    file = recipe_for(options.dataset, options.objective);
  }
  if (!file.empty()) {
    options = {};
    apply_layer(read_toml(read_text(file), file), options);
    apply_layer(given, options);
    options.applied.push_back((line.config.empty() ? "recipe " : "configuration ") + file);
  }
  check(options);
  const bool out_given = std::any_of(given.begin(), given.end(), [](const Setting& s) { return s.name == "out"; });
  if (options.resume && !out_given && !line.config.empty()) refuse_moved_run(file, options);
  return options;
}

Options options_from_toml(std::string_view text, const std::string& where) {
  Options options;
  apply_layer(read_toml(text, where), options);
  check(options);
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
  std::string text = "# All options of a pretraining run. Run it again: pretrain --config THIS_FILE --out FOLDER\n";
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
    if (both_views || entry.flags != OptionEntry::none) continue;
    std::string a = value_text(entry, first), b = value_text(entry, second);
    if (a != b) found.push_back({entry.name, std::move(a), std::move(b)});
  }
  return found;
}

Options without_changeable(const Options& options) {
  Options result = options, defaults;
  for (const OptionEntry& entry : option_table())
    if (entry.flags & OptionEntry::may_change)
      for (const Field& field : entry.fields)
        std::visit([&](const auto& member) { member(result) = member(defaults); }, field);
  return result;
}

void require_resumable(const Options& saved, const Options& now, const std::string& path) {
  const auto shown = [](const std::string& value) { return value.empty() ? std::string("unset") : value; };
  std::string text;
  for (const OptionDifference& one : differences(saved, now)) {
    text +=
        join(text.empty() ? "" : ", ", one.name, " is ", shown(one.first), " there and ", shown(one.second), " here");
  }
  require_usage(text.empty(), path, ": cannot resume with other options: ", text,
                "; take the run's own with --config and its config.toml, or another --out");
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
    settings.interpolation =
        options.interpolation[view] == "bicubic" ? Interpolation::bicubic : Interpolation::bilinear;
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
  DatasetSettings settings;
  settings.name = options.dataset;
  settings.directory = options.data;
  settings.classes = options.classes;
  settings.jpeg = options.jpeg == "stb" ? JpegLibrary::stb : JpegLibrary::turbo;
  settings.decode = options.decode == "exact" ? DecodeRule::exact : DecodeRule::fast;
  settings.bad_images = options.bad_images == "skip" ? BadImagePolicy::skip : BadImagePolicy::stop;
  settings.image_size = options.image_size;
  settings.limit = options.limit;
  settings.seed = static_cast<std::uint64_t>(options.seed);
  settings.cifar100_classes = options.cifar100_classes;
  const bool composites = options.dataset == "composites";
  settings.confounding = composites ? options.composites.confounding : options.confounding;
  settings.version = composites ? options.composites.version : options.shapes_version;
  settings.background = options.composites.background;
  return settings;
}

}  // namespace vergence
