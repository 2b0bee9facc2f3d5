// export: writes an encoder for other programs, as an ONNX file or as a folder for timm and the Hugging Face hub.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <optional>

#include "datasets/registry.h"
#include "engine/io/files.h"
#include "engine/text/printable.h"
#include "models/export/onnx.h"
#include "models/export/timm.h"
#include "ssl/evaluation/labeled.h"
#include "ssl/evaluation/subject.h"
#include "ssl/options/tool_options.h"
#include "tools/common.h"

namespace vergence {
namespace {

namespace fs = std::filesystem;

const char* const description =
    "Writes an encoder for other programs (docs/export.md).\n"
    "  --format onnx   a file for ONNX Runtime and others: 'image' [batch, channels, size, size] ->\n"
    "                  'features' [batch, dim], batch norm folded, mean and std in the metadata\n"
    "  --format timm   a folder for timm and the Hugging Face hub: only for networks that timm has\n"
    "Example: build/export --run runs/cifar10_simclr_s1 --out encoder.onnx";

enum class Format { onnx, timm };

constexpr Word<Format> format_words[]{{"onnx", Format::onnx}, {"timm", Format::timm}};

struct ExportOptions {
  SubjectOptions subject;
  Format format = Format::onnx;
  OnnxSettings onnx;
  std::string out;
};

void add_options(CLI::App& app, ExportOptions& options) {
  add_encoder_options(app, options.subject);
  add_word_option(app, "format", options.format, format_words, "what to write");
  add_table_option(app,
                   {.name = "eval-resize",
                    .otherwise = "the run's, or the training data set's",
                    .help = "timm: short side to which images are resized before the center crop; 0: squeeze them"},
                   options.subject.judged);
  app.add_flag("--normalize", options.onnx.normalize,
               "ONNX: the graph takes pixels from 0 to 1 and normalizes them itself");
  app.add_option("--out", options.out, "file .onnx, or for timm the folder, to write")->type_name("PATH")->required();
}

/// The run's options; none if there is no config.toml.
std::optional<Options> run_options(const SubjectOptions& subject) {
  const std::string config = subject.run.empty() ? "" : (fs::path(subject.run) / "config.toml").string();
  if (config.empty() || !file_exists(config)) return std::nullopt;
  return options_from_toml(read_file(config), config);
}

/// The name of the run's --init, which encoders of earlier versions do not tell.
std::string initial_file(const SubjectOptions& subject) {
  const std::optional<Options> options = run_options(subject);
  return options ? printable(fs::path(options->init).filename().string()) : "";
}

/// The length to which evaluation resizes an image's short side: as told here or in the run, or the training data
/// set's, whose images may have the encoder's size already.
std::int64_t short_side(const SubjectOptions& subject, const TrainedEncoder& trained) {
  if (const std::int64_t given = subject.judged.values.eval_resize; given >= 0) {
    const std::int64_t least = trained.encoder.settings().image_size;
    require_usage(given == 0 || given >= least, "--eval-resize: expected 0, or the image size ", least,
                  " or more, got ", given);
    return given;
  }
  if (const std::optional<Options> options = run_options(subject); options && options->eval_resize >= 0)
    return options->eval_resize;
  const std::vector<std::string> known = dataset_names();
  const std::string dataset = trained_dataset(trained.metadata);
  const std::int64_t size = trained.encoder.settings().image_size;
  Dataset images;  // without any, but of their size
  if (std::find(known.begin(), known.end(), dataset) != known.end()) {
    images.zoom = entry_of(dataset).zoom;
    images.height = images.width = entry_of(dataset).side;
  }
  const std::int64_t side = images.evaluation_resize(size);
  return side == 0 ? size : side;
}

Exported open_exported(const SubjectOptions& subject, const std::string& path) {
  std::vector<std::string> notices;
  Exported exported{.trained = open_encoder(subject, path, backend("cpu"), notices)};
  print_lines(notices, "notice: ");
  Metadata& metadata = exported.trained.metadata;
  if (const std::string init = initial_file(subject); !init.empty()) metadata.emplace("init", init);
  const std::int64_t channels = exported.trained.encoder.settings().channels;
  if (metadata.contains("mean") || metadata.contains("std")) {
    require_usage(channels <= max_channels, path, ": the encoder takes ", channels, " channels, expected at most ",
                  max_channels);
    exported.mean = decimals(channels_from(metadata, "mean", channels, path), channels);
    exported.std = decimals(channels_from(metadata, "std", channels, path), channels);
  }
  exported.short_side = short_side(subject, exported.trained);
  return exported;
}

int run(const ExportOptions& options) {
  const std::string path = encoder_path(options.subject);
  std::error_code error;
  require_usage(!fs::equivalent(path, options.out, error), "--out: ", options.out, " is the encoder's own file");
  require_usage(options.format != Format::onnx || fs::path(options.out).extension() == ".onnx",
                "--out: expected a file called .onnx, got '", options.out, "'");
  require_usage(!options.subject.judged.has("eval-resize") || options.format == Format::timm,
                "--eval-resize: only for --format timm");
  require_usage(!options.onnx.normalize || options.format == Format::onnx, "--normalize: only for --format onnx");
  const Exported exported = open_exported(options.subject, path);
  const EncoderSettings& settings = exported.trained.encoder.settings();
  switch (options.format) {
    case Format::onnx:
      write_atomically(options.out, onnx_model(exported, options.onnx));
      break;
    case Format::timm:
      if (trained_dataset(exported.trained.metadata).empty() && options.subject.judged.values.eval_resize < 0)
        print_lines({"the file does not say how images are cropped: config.json takes all of an image (--eval-resize)"},
                    "notice: ");
      write_timm_folder(options.out, exported);
      break;
  }
  std::printf("%s: %s, images of %lld x %lld pixels and %lld channels -> %lld features\n",
              printable(options.out).c_str(), settings.encoder.c_str(), static_cast<long long>(settings.image_size),
              static_cast<long long>(settings.image_size), static_cast<long long>(settings.channels),
              static_cast<long long>(settings.dim()));
  return 0;
}

}  // namespace
}  // namespace vergence

int main(int argc, char** argv) {
  CLI::App app(vergence::description, "export");
  vergence::ExportOptions options;
  vergence::add_options(app, options);
  return vergence::run_tool(app, argc, argv, [&] { return vergence::run(options); });
}
