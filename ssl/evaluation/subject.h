// The subject of an evaluation: an encoder from a run folder or a file, and the images to judge it on. Shared by the
// tools that judge (evaluate, linear_probe, finetune) and by embed, export and report.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "datasets/dataset.h"
#include "engine/io/safetensors.h"
#include "models/encoder_file.h"
#include "ssl/evaluation/features/features.h"
#include "ssl/options/tool_options.h"

// The CLI11 library's command line.
namespace CLI {
class App;
}

namespace vergence {

struct SubjectOptions {
  std::string run;           // a run folder, or
  std::string encoder_file;  // an encoder.safetensors without its run, or another program's file
  // What another program's file does not say:
  std::string prefix;
  GivenOptions described;  // stem, image-size, mean, std
  bool untrained = false;  // use the same architecture with random weights, the initial ones of a run without --init
  /// Options of pretrain that override the run's. --device, --precision and --decode (exact) are never the run's;
  /// --dataset defaults to the training data set.
  GivenOptions judged = exactly_decoded();
  std::string split;           // the judged split; probes train on probe_split(split). Empty: open_subject chooses
  std::int64_t limit = 0;      // only the first N images of each split; 0: all
  std::int64_t run_seed = -1;  // for rendered images and random weights; -1: the run's, or 1 for a file without a run
  int threads = 0;             // 0: OMP_NUM_THREADS
  std::string out;             // the result's file; empty: in the encoder's folder
  bool hashed = false;         // whether Subject::encoder_xxh128 is wanted, for which the file is read once more

 private:
  static GivenOptions exactly_decoded();
};

/// What a tool's --split and --out take.
struct SubjectWords {
  std::vector<std::string> splits{"test", "val"};
  std::string split =
      "split that the encoder is judged on: test, or val for choosing coefficients. Default: test, or val if "
      "images without labels have no split test";
  std::string out = "file of the result; default: beside the encoder";
};

/// Adds --run and --encoder-file, and what another program's file does not say. `options` must outlive the parse.
void add_encoder_options(CLI::App& app, SubjectOptions& options);

/// Adds an option for each field, and these of pretrain: --dataset, --data, --classes, --jpeg, --decode, --bad-images,
/// --eval-resize, --verify, --device, --precision, --cpu-conv and --conv. `options` must outlive the parse.
void add_subject_options(CLI::App& app, SubjectOptions& options, const SubjectWords& words = {});

struct Subject {
  SubjectOptions options;
  std::string path;  // the encoder's file
  /// If wanted: of that file's bytes when they were read. A run that still trains replaces it.
  std::string encoder_xxh128;
  Encoder encoder;
  Statistics statistics;
  Metadata metadata;
  ExtractSettings extract;
  Options judged;  // the run's options, or pretrain's defaults, with the given options applied
  DatasetSettings data;
  DType precision = DType::f32;
  Backend* backend = nullptr;
  std::int64_t run_seed = 1;
  std::string trained_on;        // the training data set; empty: unknown, or random weights
  std::string trained_data;      // the user's own images that it was trained on, if others are judged: left_images
  std::string cifar100_classes;  // the CIFAR-100 classes, if trained on it: all or fc100_base; empty: unknown
  std::string began_with;        // the file of the run's --init, if random weights are judged instead; else empty
  std::string notice;            // a line about what is judged; usually empty
  std::vector<std::string> encoder_notices;  // what was assumed about another program's encoder; began_with
  std::vector<ViewSettings> views;           // the run's two training views; none for a file without a run

  /// Returns the encoder in eval mode; the subject must outlive it.
  Encode encode() { return encode_with(encoder, statistics, precision); }
  Encode encode_map() { return encode_map_with(encoder, statistics, precision); }
  Encode encode_stage(std::int64_t stage) { return encode_stage_with(encoder, statistics, precision, stage); }
  /// Returns what identifies the subject, for the result file. Paths are raw bytes (see json_text).
  nlohmann::ordered_json description() const;
  /// Compares the data set's files with their published checksums and prints the result; throws UsageError for a
  /// mismatch.
  void verify() const;
  /// Returns whether the encoder is known to come from images other than the judged ones: of another data set, or of
  /// another folder of the user's own images.
  bool transfers() const { return !trained_on.empty() && (trained_on != data.name || !trained_data.empty()); }
  /// "on cifar10", or "trained on cifar10, judged on stl10"; of own images with both folders.
  std::string judged_where() const;
  /// Follows the encoder's path in a tool's lines: "" or " (initial weights)", where a run began with others " (random
  /// weights)".
  std::string weights_note() const;
};

/// The encoder at `path`, which encoder_path gave. What another program's file lacks comes from the options, mean and
/// std into its metadata. `notices` receives lines for the user. Throws UsageError for missing and
/// damaged files, for what a file does not say, and for options that say what it says itself.
TrainedEncoder open_encoder(const SubjectOptions& options, const std::string& path, Backend& backend,
                            std::vector<std::string>& notices);

/// XXH128 of a file's bytes. Throws UsageError naming it if it cannot be read.
std::string xxh128_of_file(const std::string& path);

/// Returns the path of the encoder's file. Throws UsageError unless exactly one of run and encoder_file is given, and
/// if a run folder has no encoder.
std::string encoder_path(const SubjectOptions& options);

/// Reads one number per channel (at most max_channels), as in the metadata entries mean and std: a JSON list, in older
/// files without brackets. Throws UsageError, beginning with `path`, for a missing entry and other values.
ChannelValues channels_from(const Metadata& metadata, const std::string& key, std::int64_t channels,
                            const std::string& path);
/// The first channels' values, each as the shortest decimal number that gives the same float.
std::vector<double> decimals(const ChannelValues& values, std::int64_t channels);

/// The user's own images: a data set such as image_folder, and the folder or file in --data.
struct OwnImages {
  std::string dataset, data;
};
/// Returns the own images that the encoder was trained on if --data names others of the same data set. None if these
/// are the same, if the run's options are unknown, or if its folder is not there: then it is taken to have been moved.
std::optional<OwnImages> left_images(const SubjectOptions& options);

/// Returns the training data set in an encoder's metadata; empty if there is none.
std::string trained_dataset(const Metadata& metadata);

/// Loads the encoder, applies the run's convolutions to this process and settles the judged split: test, or val for
/// images with neither a test split nor labels (`notice` says so). Throws UsageError (one line) unless exactly one of
/// run and encoder_file is given, and for missing or damaged files, unavailable devices and precisions.
Subject open_subject(const SubjectOptions& options);

/// Rounds a percentage to two decimals, as printed and stored.
double two_decimals(double percent);

}  // namespace vergence
