// What an evaluation judges: an encoder from a run folder or a file, and the images it is judged on. Shared by the
// tools `linear_probe` and `evaluate`.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "datasets/dataset.h"
#include "engine/io/safetensors.h"
#include "models/encoder.h"
#include "ssl/evaluation/features/features.h"

// The CLI11 library's command line.
namespace CLI {
class App;
}

namespace vergence {

struct SubjectOptions {
  std::string run;                // run folder; or
  std::string encoder_file;       // an encoder.safetensors by itself
  bool untrained = false;         // the same architecture with its initial weights
  std::string dataset;            // empty: what the encoder was trained on
  std::string data;               // folder of its files; empty: the run's
  std::string classes;            // of image files; empty: the run's
  std::string jpeg, bad_images;   // empty: the run's
  std::string decode = "exact";   // how small images are decoded: fast or exact, whatever the run's
  std::int64_t eval_resize = -2;  // -2: the run's
  bool verify = false;            // first compare the data set\'s files with their published sums
  std::string split;              // judged on; probes are fitted on probe_split(split). Empty: settled by open_subject
  std::int64_t limit = 0;         // first N images of each split; 0: all
  std::int64_t run_seed = -1;     // of rendered images and initial weights; -1: the run's, 1 for a file by itself
  std::string device = "auto", precision = "fp32";
  int threads = 0;  // 0: as OMP_NUM_THREADS says
  std::string out;  // the verdict's file; empty: beside the encoder
};

/// Adds --run, --encoder-file, --untrained, --dataset, --data, --classes, --jpeg, --decode, --bad-images,
/// --eval-resize,
/// --verify, --split,
/// --limit, --run-seed, --device, --precision,
/// --threads and --out. `options` must outlive the parse.
void add_subject_options(CLI::App& app, SubjectOptions& options);

struct Subject {
  SubjectOptions options;
  std::string path;  // of the encoder's file
  Encoder encoder;
  Statistics statistics;
  Metadata metadata;
  ExtractSettings extract;
  DatasetSettings data;
  DType precision = DType::f32;
  Backend* backend = nullptr;
  std::int64_t run_seed = 1;
  std::string trained_on;           // data set the weights were learned on; empty: unknown, or initial weights
  std::string cifar100_classes;     // of CIFAR-100, where that was trained on: all or fc100_base; empty: unknown
  std::string notice;               // a line for the reader about what is judged; usually empty
  std::vector<ViewSettings> views;  // the two that the run was trained on; none for a file by itself

  /// The encoder in eval mode; the subject must outlive it.
  Encode encode() { return encode_with(encoder, statistics, precision); }
  Encode encode_map() { return encode_map_with(encoder, statistics, precision); }
  /// All that identifies the subject, for the verdict's file; paths are bytes as they are (see json_text).
  nlohmann::ordered_json description() const;
  /// Compares the data set's files with their published sums and prints what it finds; throws UsageError for others.
  void verify() const;
  /// Whether the encoder is known to come from another data set than it is judged on.
  bool transfers() const { return !trained_on.empty() && trained_on != data.name; }
  /// "on cifar10", or "trained on cifar10, judged on stl10".
  std::string judged_where() const;
};

/// Where the encoder's file is. Throws UsageError unless exactly one of run and encoder_file is given, and for a run
/// folder without one.
std::string encoder_path(const SubjectOptions& options);

/// The data set that an encoder says it was trained on; empty where it does not.
std::string trained_dataset(const Metadata& metadata);

/// Loads the encoder and settles what to judge it on: where no split is asked for, test, or val of images that have
/// neither a split test nor labels (`notice` says so). Throws UsageError (one line) unless exactly one of run and
/// encoder_file is given, for missing or damaged files, and for devices and precisions there are not.
Subject open_subject(const SubjectOptions& options);

/// Per cent with two decimals, as printed and as stored.
double two_decimals(double per_cent);

}  // namespace vergence
