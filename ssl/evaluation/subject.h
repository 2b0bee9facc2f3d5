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
#include "ssl/options/tool_options.h"

// The CLI11 library's command line.
namespace CLI {
class App;
}

namespace vergence {

struct SubjectOptions {
  std::string run;           // run folder; or
  std::string encoder_file;  // an encoder.safetensors by itself
  bool untrained = false;    // the same architecture with its initial weights
  /// Of pretrain's options: those given apply in place of the run's. --device, --precision and --decode (exact) do not
  /// come from the run; without --dataset it is what the encoder was trained on.
  GivenOptions judged = exactly_decoded();
  std::string split;           // judged on; probes are fitted on probe_split(split). Empty: settled by open_subject
  std::int64_t limit = 0;      // first N images of each split; 0: all
  std::int64_t run_seed = -1;  // of rendered images and initial weights; -1: the run's, 1 for a file by itself
  int threads = 0;             // 0: as OMP_NUM_THREADS says
  std::string out;             // the verdict's file; empty: beside the encoder

 private:
  static GivenOptions exactly_decoded();
};

/// Adds an option for each, and of pretrain's --dataset, --data, --classes, --jpeg, --decode, --bad-images,
/// --eval-resize, --verify, --device, --precision, --cpu-conv and --conv. `options` must outlive the parse.
void add_subject_options(CLI::App& app, SubjectOptions& options);

struct Subject {
  SubjectOptions options;
  std::string path;  // of the encoder's file
  Encoder encoder;
  Statistics statistics;
  Metadata metadata;
  ExtractSettings extract;
  Options judged;  // the run's, or pretrain's defaults, under what was asked for
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

/// Loads the encoder, makes the run's convolutions those of this process, and settles what to judge the encoder on:
/// where no split is asked for, test, or val of images that have neither a split test nor labels (`notice` says so).
/// Throws UsageError (one line) unless exactly one of run and encoder_file is given, for missing or damaged files, and
/// for devices and precisions there are not.
Subject open_subject(const SubjectOptions& options);

/// Per cent with two decimals, as printed and as stored.
double two_decimals(double per_cent);

}  // namespace vergence
