// Opens the subject of an evaluation.
#include "ssl/evaluation/subject.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <omp.h>
#include <optional>

#include "datasets/registry.h"
#include "datasets/verify.h"
#include "engine/io/files.h"
#include "engine/io/xxh.h"
#include "engine/text/printable.h"
#include "engine/text/words.h"
#include "models/weights/encoder_weights.h"
#include "models/weights/normalization.h"
#include "ssl/options/options.h"
#include "ssl/options/table.h"
#include "ssl/steps/setup.h"

namespace vergence {
namespace {

namespace fs = std::filesystem;

std::optional<Options> run_config(const SubjectOptions& options) {
  if (options.run.empty()) return std::nullopt;
  const std::string path = (fs::path(options.run) / "config.toml").string();
  return options_from_toml(read_file(path), path);
}

/// The options of the run that wrote the encoder's file: those of --run, or beside an encoder.safetensors if they can
/// be read.
std::optional<Options> writers_config(const SubjectOptions& options) {
  if (!options.run.empty()) return run_config(options);
  const fs::path file(options.encoder_file);
  if (file.filename() != "encoder.safetensors") return std::nullopt;
  const std::string config = (file.parent_path() / "config.toml").string();
  try {
    return options_from_toml(read_file(config), config);
  } catch (const UsageError&) {
    return std::nullopt;
  }
}

Options judged_options(const SubjectOptions& options, const std::optional<Options>& config, const Subject& subject) {
  const GivenOptions& given = options.judged;
  Options judged = config.value_or(Options());
  const std::string run_dataset = config ? config->dataset : "";
  std::string name = given.has("dataset") ? given.values.dataset : run_dataset;
  if (name.empty()) name = trained_dataset(subject.metadata);
  require_usage(!name.empty(), subject.path, ": metadata has no 'dataset'; name one with --dataset");
  if (name != run_dataset) judged.data = judged.classes = "";  // the run's values belong to another data set
  given.apply_to(judged);
  judged.dataset = name;
  judged.device = given.values.device;
  judged.precision = given.values.precision;
  judged.decode = given.values.decode;
  judged.image_size = subject.extract.image_size;
  judged.limit = options.limit;
  judged.seed = subject.run_seed;
  return judged;
}

/// XXH128 of a file's bytes; empty if it cannot be read.
std::string hash_if_readable(const std::string& path) {
  try {
    return xxh128_of_file(path);
  } catch (const UsageError&) {
    return "";
  }
}

/// Loads the subject's encoder, and its hash if that is wanted. A file that was replaced meanwhile, as a run that
/// trains does, is read again.
TrainedEncoder load_identified(const SubjectOptions& options, Subject& subject) {
  const auto load = [&] {
    subject.encoder_notices.clear();
    return open_encoder(options, subject.path, *subject.backend, subject.encoder_notices);
  };
  for (;;) {
    const std::string before = hash_if_readable(subject.path);
    try {
      TrainedEncoder trained = load();
      if (!options.hashed) return trained;
      subject.encoder_xxh128 = hash_if_readable(subject.path);
      if (!before.empty() && subject.encoder_xxh128 == before) return trained;
    } catch (const UsageError&) {
      if (hash_if_readable(subject.path) == before) throw;
    }
  }
}

/// Applies the run's convolutions, or the requested ones, limited to results that repeat. The run's other choices
/// concern only training.
void set_convolutions(const Options& judged) {
  Options kernels;
  kernels.device = judged.device;
  kernels.cpu_conv = judged.cpu_conv;
  kernels.conv = judged.conv;
  kernels.deterministic = true;
  device_of(kernels);
}

/// The CIFAR-100 classes that the encoder was trained on; empty: unknown.
std::string trained_classes(const Metadata& metadata, const std::optional<Options>& config) {
  const auto found = metadata.find("cifar100_classes");
  if (found != metadata.end()) return found->second;
  return config && config->dataset == "cifar100" ? option_text(*config, "cifar100.classes") : "";
}

/// The word of the option `stem`; empty for a network without stems.
std::string stem_of(const EncoderSettings& settings) {
  for (const auto& [name, value] : settings.described())
    if (const auto* word = std::get_if<std::string>(&value); word && name == "stem") return *word;
  return "";
}

/// Refuses what the file says itself, and what only another program's file needs.
void check_described(const SubjectOptions& options, const std::string& path, const Metadata& metadata) {
  const auto format = metadata.find("format");
  require_usage(format == metadata.end() || !format->second.starts_with("vergence-checkpoint"), path,
                ": is the checkpoint of a run, expected the encoder.safetensors beside it");
  for (const std::string& name : options.described.names) {
    const bool own = describes_encoder(metadata) && name != "mean" && name != "std";
    require_usage(!own && !metadata.contains(name), "--", name, ": ", "not with ", path, ", which states it");
  }
  require_usage(options.prefix.empty() || !describes_encoder(metadata), "--prefix: is for other programs' files, not ",
                path);
  require_usage(describes_encoder(metadata) || options.described.has("image-size"), path,
                ": does not say the size of its images: give it with --image-size, such as 32 or 224");
}

/// Chooses the split if none was given: test, or val for images without a test split and labels, where it does not
/// matter.
void settle_split(Subject& subject) {
  subject.options.split = "test";
  if (has_test_split(subject.data) || !open_dataset(subject.data, "val").labels.empty()) return;
  subject.options.split = "val";
  subject.notice = join("notice: ", shortened(subject.data.directory),
                        " has no labels and no split test: judged on val, ", entry_of(subject.data.name).val);
}

/// The run's views, for images as the encoder takes them.
std::vector<ViewSettings> trained_views(const Options& config, const ExtractSettings& extract) {
  Dataset like;
  like.name = config.dataset;
  like.channels = extract.channels;
  like.height = like.width = extract.image_size;
  like.mean = extract.mean;
  like.std = extract.std;
  return view_settings(config, like);
}

/// Replaces the encoder by one of random weights. A run with --init began with others, which a notice says.
void forget_training(Subject& subject, const std::optional<Options>& config) {
  EncoderSettings settings = subject.encoder.settings();
  if (config) settings.take_initial(config->components);
  subject.encoder = make_encoder(settings, {*subject.backend, static_cast<std::uint64_t>(subject.run_seed)});
  subject.statistics = {};
  if (!config || config->init.empty()) return;
  subject.began_with = config->init;
  const std::string prefix = config->init_prefix.empty() ? "" : " --prefix " + config->init_prefix;
  subject.encoder_notices.push_back(
      config->init_stem == StemRule::exact
          ? join("the run began with other weights than these random ones: judge those with --encoder-file ",
                 config->init, prefix)
          : join("the run began with other weights than these random ones: those of ", config->init,
                 " behind another first convolution (--init-stem)"));
}

/// A metadata entry as a number if it is one, otherwise as text.
nlohmann::ordered_json number_or_text(const std::string& text) {
  if (const std::optional<std::int64_t> value = number_of<std::int64_t>(text)) return *value;
  return text;
}

}  // namespace

GivenOptions SubjectOptions::exactly_decoded() {
  GivenOptions given;
  given.values.decode = DecodeRule::exact;
  return given;
}

void add_encoder_options(CLI::App& app, SubjectOptions& options) {
  app.add_option("--run", options.run, "run folder of pretrain")->type_name("DIR");
  app.add_option(
         "--encoder-file", options.encoder_file,
         "instead of --run: an encoder.safetensors, or weights of torchvision, timm, solo-learn or lightly, with:")
      ->type_name("FILE");
  for (const ToolOption& option : std::vector<ToolOption>{
           {.name = "image-size", .otherwise = "the file's", .help = "height and width of its images in pixels"},
           {.name = "mean", .otherwise = "the file's", .help = "per channel, of its images, such as 0.485,0.456,0.406"},
           {.name = "std", .otherwise = "the file's", .help = "per channel, of its images, such as 0.229,0.224,0.225"},
           {.name = "stem", .otherwise = "by shapes and names", .help = "ResNet: its first layers"}})
    add_table_option(app, option, options.described);
  app.add_option("--prefix", options.prefix, "what precedes its tensors' names, such as backbone; default: found")
      ->type_name("TEXT");
}

void add_subject_options(CLI::App& app, SubjectOptions& options, const SubjectWords& words) {
  add_encoder_options(app, options);
  app.add_flag("--untrained", options.untrained,
               "the same architecture with random weights, those that a run without --init starts from: the baseline");
  for (const ToolOption& option : std::vector<ToolOption>{
           {.name = "dataset", .otherwise = "the training data set", .help = "data set to evaluate on"},
           {.name = "data", .otherwise = "the run's"},
           {.name = "classes", .otherwise = "the run's"},
           {.name = "jpeg", .otherwise = "the run's"},
           {.name = "decode"},
           {.name = "bad-images", .otherwise = "the run's"},
           {.name = "eval-resize", .otherwise = "the run's"},
           {.name = "verify"}})
    add_table_option(app, option, options.judged);
  add_word_option(app, "split", words.splits, "", words.split,
                  [&](const std::string& split) { options.split = split; });
  app.add_option("--limit", options.limit,
                 "N images of each split only: the first, or of image files evenly spaced ones; 0: all")
      ->check(CLI::Range(std::int64_t{0}, std::int64_t{1} << 40));
  app.add_option("--run-seed", options.run_seed,
                 "seed of rendered images and --untrained; default: the run's, 1 with --encoder-file")
      ->check(CLI::Range(std::int64_t{0}, std::int64_t{1} << 53));
  for (const ToolOption& option : std::vector<ToolOption>{
           {.name = "device"},
           {.name = "precision", .only = {"fp32", "bf16"}, .help = "type of the encoder's activations"},
           {.name = "cpu-conv", .otherwise = "the run's"},
           {.name = "conv", .otherwise = "the run's"}})
    add_table_option(app, option, options.judged);
  app.add_option("--threads", options.threads, "OpenMP threads; 0: all, or as OMP_NUM_THREADS says")
      ->check(CLI::Range(0, 4096));
  app.add_option("--out", options.out, words.out)->type_name("FILE");
}

std::string encoder_path(const SubjectOptions& options) {
  require_usage(options.run.empty() != options.encoder_file.empty(), "expected either --run or --encoder-file");
  if (options.run.empty()) return options.encoder_file;
  std::error_code error;
  require_usage(fs::is_directory(options.run, error), "--run: ", options.run,
                " is not a folder, expected one that pretrain made");
  std::string path = (fs::path(options.run) / "encoder.safetensors").string();
  require_usage(fs::status(path, error).type() != fs::file_type::not_found, "--run: ", options.run,
                " has no encoder.safetensors, which pretrain writes at the end of each epoch");
  return path;
}

ChannelValues channels_from(const Metadata& metadata, const std::string& key, std::int64_t channels,
                            const std::string& path) {
  const auto found = metadata.find(key);
  require_usage(found != metadata.end(), path, ": does not say the '", key,
                "' of the images that the encoder was trained with: give the channels' values with --", key);
  const std::optional<ChannelValues> values = channel_values(found->second, channels);
  const bool good = values && (key != "std" ||
                               std::all_of(values->begin(), values->begin() + channels, [](float v) { return v > 0; }));
  require_usage(good, path, ": metadata '", key, "' is '", found->second, "', expected ",
                channels == 1 ? "a number" : join(channels, " numbers"), key == "std" ? " above 0" : "");
  return *values;
}

std::vector<double> decimals(const ChannelValues& values, std::int64_t channels) {
  std::vector<double> list;
  for (std::size_t c = 0; c < static_cast<std::size_t>(channels); ++c) {
    char text[32];
    const char* end = std::to_chars(text, text + sizeof text, values[c]).ptr;
    std::from_chars(text, end, list.emplace_back());
  }
  return list;
}

std::string trained_dataset(const Metadata& metadata) {
  const auto found = metadata.find("dataset");
  return found == metadata.end() ? "" : found->second;
}

std::optional<OwnImages> left_images(const SubjectOptions& options) {
  const GivenOptions& given = options.judged;
  if (!given.has("data")) return std::nullopt;
  const std::optional<Options> run = writers_config(options);
  if (!run || !is_of_own_images(run->dataset)) return std::nullopt;
  if (given.has("dataset") && given.values.dataset != run->dataset) return std::nullopt;
  std::error_code error;  // of a folder that cannot be reached: nothing tells it from the one that is given
  if (!fs::exists(run->data, error) || same_input(*find_option("data"), run->data, given.values.data))
    return std::nullopt;
  return OwnImages{run->dataset, run->data};
}

TrainedEncoder open_encoder(const SubjectOptions& options, const std::string& path, Backend& backend,
                            std::vector<std::string>& notices) {
  const std::vector<std::string>& names = options.described.names;
  if (!options.run.empty()) {
    require_usage(names.empty(), "--", names.empty() ? "" : names[0], ": only with --encoder-file; a run states it");
    require_usage(options.prefix.empty(), "--prefix: is for --encoder-file");
    return load_encoder(path, backend);
  }
  const Options& given = options.described.values;
  const Metadata metadata = open_weights(path)->metadata();
  check_described(options, path, metadata);
  const EncoderSettings like{
      .encoder = "", .image_size = given.image_size, .channels = 3, .components = given.components};
  const bool stem_given = options.described.has("stem");
  TrainedEncoder trained =
      load_any_encoder(path, options.prefix, like, "choose one with --prefix", backend, {.stem_given = stem_given});
  for (const char* name : {"mean", "std"})
    if (options.described.has(name)) trained.metadata[name] = option_text(given, name);
  const std::string stem = stem_of(trained.encoder.settings());
  require_usage(!stem_given || stem == option_text(given, "stem"), "--stem ", option_text(given, "stem"), ": ", path,
                " has a ", trained.encoder.settings().encoder,
                stem.empty() ? " without stems" : join(" whose first layers are those of ", stem));
  const auto taken_as = [&](const char* one) { return stem == one && !describes_encoder(metadata) && !stem_given; };
  if (taken_as("cifar"))
    notices.push_back(
        join(shortened(path), " does not say whether its stem pools: taken as cifar, without pooling (--stem)"));
  if (taken_as("cifar_padding2"))
    notices.push_back(join(shortened(path),
                           " has solo-learn's names: its 3x3 stem is taken as cifar_padding2, like theirs (--stem)"));
  return trained;
}

std::string xxh128_of_file(const std::string& path) {
  const MappedFile file(path);
  file.check_unchanged();
  return xxh128(file.bytes());
}

Subject open_subject(const SubjectOptions& options) {
  Subject subject;
  subject.options = options;
  subject.path = encoder_path(options);
  const std::optional<Options> config = run_config(options);
  if (options.threads > 0) omp_set_num_threads(options.threads);
  subject.backend = &backend(options.judged.values.device.c_str());
  subject.precision = activations_of(options.judged.values, *subject.backend);
  subject.run_seed = options.run_seed >= 0 ? options.run_seed : config ? config->seed : 1;

  const TrainedEncoder trained = load_identified(options, subject);
  subject.encoder = trained.encoder;
  subject.statistics = trained.statistics;
  subject.metadata = trained.metadata;
  const EncoderSettings& settings = trained.encoder.settings();
  require_usage(settings.channels <= max_channels, subject.path, ": the encoder takes ", settings.channels,
                " channels, expected at most ", max_channels);
  if (options.untrained) forget_training(subject, config);
  subject.extract.image_size = settings.image_size;
  subject.extract.channels = settings.channels;
  subject.extract.mean = channels_from(subject.metadata, "mean", settings.channels, subject.path);
  subject.extract.std = channels_from(subject.metadata, "std", settings.channels, subject.path);
  subject.judged = judged_options(options, config, subject);
  subject.data = as_judged(dataset_settings(subject.judged));  // all encoders get the same images, whatever the run saw
  set_convolutions(subject.judged);
  if (!options.untrained) subject.trained_on = trained_dataset(subject.metadata);
  if (!options.untrained && subject.trained_on.empty() && config) subject.trained_on = config->dataset;
  if (const std::optional<OwnImages> left = left_images(options); left && left->dataset == subject.trained_on)
    subject.trained_data = left->data;
  if (subject.trained_on == "cifar100") subject.cifar100_classes = trained_classes(subject.metadata, config);
  if (options.split.empty()) settle_split(subject);
  subject.extract.resize = subject.judged.eval_resize;
  if (config) subject.views = trained_views(*config, subject.extract);
  return subject;
}

nlohmann::ordered_json Subject::description() const {
  nlohmann::ordered_json json;
  json["encoder_file"] = path;
  if (!options.prefix.empty()) json["prefix"] = options.prefix;
  json["untrained"] = options.untrained;
  if (!began_with.empty()) json["began_with"] = began_with;
  for (const char* key : {"objective", "epoch", "step"})
    if (const auto found = metadata.find(key); found != metadata.end()) json[key] = number_or_text(found->second);
  for (const char* key : {"config_xxh128", "config_sha256"})  // older versions write the latter
    if (const auto found = metadata.find(key); found != metadata.end()) json[key] = found->second;
  const auto extended = metadata.find("extended");
  if (options.untrained)
    json["epoch"] = json["step"] = 0;
  else if (extended != metadata.end())
    json["extended"] = extended->second;
  json["encoder"] = encoder.settings().encoder;
  for (const auto& [name, value] : encoder.settings().described())
    std::visit([&, key = name](const auto& given) { json[key] = given; }, value);
  json["image_size"] = extract.image_size;
  json["mean"] = decimals(extract.mean, extract.channels);
  json["std"] = decimals(extract.std, extract.channels);
  json["dataset"] = data.name;
  json["trained_on"] = trained_on.empty() ? nlohmann::ordered_json(nullptr) : nlohmann::ordered_json(trained_on);
  if (!trained_data.empty()) json["trained_data"] = absolute_input(*find_option("data"), trained_data);
  if (!cifar100_classes.empty()) json["cifar100_classes"] = cifar100_classes;
  json["judged_on"] = data.name;
  json["data"] = absolute_input(*find_option("data"), data.directory);
  if (!data.classes.empty()) json["classes"] = absolute_input(*find_option("classes"), data.classes);
  if (is_of_image_files(data.name)) {
    json["jpeg"] = option_text(judged, "jpeg");
    json["decode"] = option_text(judged, "decode");
  }
  json["split"] = options.split;
  json["limit"] = data.limit;
  json["eval_resize"] = extract.resize;
  json["run_seed"] = run_seed;
  json["device"] = backend->name();
  json["precision"] = option_text(judged, "precision");
  json["threads"] = omp_get_max_threads();
  return json;
}

void Subject::verify() const {
  verify_dataset(data, [](const std::string& line) { std::printf("%s\n", printable(line).c_str()); });
}

std::string Subject::judged_where() const {
  if (!transfers()) return "on " + data.name;
  const auto named = [](const std::string& dataset, const std::string& folder) {
    return folder.empty() ? dataset : join(dataset, " ", absolute_input(*find_option("data"), folder));
  };
  const std::string judged_data = trained_data.empty() ? "" : data.directory;
  return join("trained on ", named(trained_on, trained_data), ", judged on ", named(data.name, judged_data));
}

std::string Subject::weights_note() const {
  if (!options.untrained) return "";
  return began_with.empty() ? " (initial weights)" : " (random weights)";
}

double two_decimals(double percent) { return std::round(percent * 100) / 100; }

}  // namespace vergence
