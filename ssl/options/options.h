// Every option of `pretrain`, and the ways to get them: command line, configuration file, shipped recipe, defaults.
// Names, types, ranges and help of all options stand in one table (ssl/options/table.h).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "datasets/dataset.h"
#include "engine/optimizer.h"
#include "engine/own_settings.h"
#include "engine/schedule.h"
#include "kernels/choices.h"
#include "kernels/views.h"

namespace vergence {

/// Of activations and convolutions. On a GPU, where tf32 is, heads and losses are in tf32 beside bf16.
enum class Precision { fp32, tf32, bf16 };

struct LarsOptions {
  double eta = 0.02, epsilon = 1e-8;
  bool clip = false, joint_norm = false;
  bool operator==(const LarsOptions&) const = default;
};

struct AdamOptions {
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;
  bool operator==(const AdamOptions&) const = default;
};

struct Options {
  // ---- what to train
  std::string objective = "simclr";
  std::string dataset = "confounded_shapes";
  std::string data;                                  // folder of the data set's files
  std::string classes;                               // of image files: the list of those to use; empty: all
  JpegLibrary jpeg = JpegLibrary::turbo;             // what decodes JPEG
  DecodeRule decode = DecodeRule::fast;              // how small images are decoded
  BadImagePolicy bad_images = BadImagePolicy::stop;  // what an image that cannot be read does
  std::int64_t eval_resize = -1;  // of un-augmented images: the short side before the center is cut out
  std::int64_t image_size = 0;    // of the views; 0: the data set's own
  std::int64_t limit = 0;         // first N training images; 0: all

  // ---- encoder
  std::string encoder = "resnet18";

  // ---- objectives
  bool joint_head_norm = false;  // the heads' batch norm over both views together, not per view
  OwnSettings own;  // the options of each objective, encoder and data set: own.get<...>() of the struct in its file

  // ---- views: probabilities and ranges of view 1 and view 2. `size`, `mean` and `std` of these two are not used:
  // view_settings() fills them in.
  std::array<ViewSettings, 2> view;
  std::vector<double> mean, std;  // per channel; empty: the data set's own

  // ---- optimizer
  std::int64_t epochs = 100;
  std::int64_t batch = 256;
  OptimizerKind optimizer = OptimizerKind::sgd;
  double lr = 0.06;  // per 256 images
  double momentum = 0.9;
  bool nesterov = false;
  double weight_decay = 5e-4;
  std::optional<bool> exclude_1d;  // biases and batch norm from weight decay; none: with LARS only
  LarsOptions lars;
  AdamOptions adam;
  ScheduleKind schedule = ScheduleKind::cosine;
  double warmup_epochs = 0;
  double warmup_start = 0;          // learning rate before the first step, not scaled by the batch
  std::vector<double> step_epochs;  // schedule "step": epochs after which the rate is multiplied by step_factor
  double step_factor = 0.1;

  // ---- run
  std::string device = "auto";
  Precision precision = Precision::fp32;
  CpuConv cpu_conv = CpuConv::automatic;
  CudaConv conv = CudaConv::automatic;
  std::optional<DType> weight_gradients;  // to what a convolution's may be rounded; none: as suits the precision
  bool capture = true;
  bool recompute = false;
  std::int64_t seed = 1;
  std::string out;                    // run folder; empty: runs/<dataset>_<objective>_s<seed>
  std::int64_t eval_every = 0;        // epochs between kNN evaluations; 0: never
  std::int64_t eval_limit = 0;        // images of the kNN bank and of the queries, at most; 0: all
  std::int64_t max_steps = 0;         // stop early after so many steps; 0: not
  std::int64_t checkpoint_every = 0;  // steps, besides every epoch and every 60 seconds; 0: only those
  std::int64_t log_every = 1;         // steps between lines of metrics.jsonl
  std::int64_t workers = 0;           // loader threads; 0: as many as suit the machine
  bool deterministic = false;
  bool tune = false;

  // ---- of this command alone: not saved, not compared
  bool resume = false;
  bool plan = false;
  bool verify = false;
  std::string command;  // as a shell reads it, for run.json; empty: not known

  /// Whether somebody chose the batch: the caller, the command line or the user's own file. Where nobody did, a small
  /// data set gets a smaller one (`settle_batch` in ssl/steps/setup.h).
  bool batch_chosen = true;
  std::string recipe;  // the name of the shipped recipe that applied unasked, if one did

  /// What applied besides the command line and the defaults: lines such as "recipe /usr/share/…/cifar10/simclr.toml".
  std::vector<std::string> applied;

  /// lr batch / 256.
  double effective_lr() const { return lr * static_cast<double>(batch) / 256; }
  /// Whether biases and batch-norm parameters (one-dimensional ones) are left out of weight decay and LARS' adaptation.
  bool excludes_1d() const { return exclude_1d.value_or(optimizer == OptimizerKind::lars); }
  /// `out`, or runs/<dataset>_<objective>_s<seed>.
  std::string run_folder() const;
};

/// `pretrain`'s options from its arguments. What is not on the command line comes from the file of --config; without
/// --config from the shipped recipe of the data set and objective, if there is one; else from the defaults. Throws
/// HelpRequest for --help and UsageError (one line: option or file:line, what, what was expected), also for --resume
/// with a --config that lies beside a checkpoint and names another run folder, unless --out says which one is meant.
Options parse_pretrain(int argc, const char* const* argv);

/// Options from a configuration file, and those that it extends, over the defaults; no recipe applies. Throws
/// UsageError as parse_pretrain does.
Options options_from_file(const std::string& path);

/// Options from the text of a complete configuration file over the defaults; no recipe applies. Options may have the
/// other names that the command line knows (ssl/options/aliases.h). `where` begins error messages.
Options options_from_toml(std::string_view text, const std::string& where);

/// The complete configuration file: every saved option, grouped in tables, always in the same order. Reading it with
/// options_from_toml gives equal options, but that the paths of inputs are absolute: they lead to the same files from
/// another folder.
std::string options_to_toml(const Options& options);

/// An option whose value differs between two runs.
struct OptionDifference {
  std::string name, first, second;  // as on the command line, without dashes; values as text
};
/// The saved options that differ, but not those that a resumed run may change: out, data, device, workers, eval-every,
/// checkpoint-every, bad-images (a run that met a bad image goes on without it) and max-steps. Two paths of the same
/// input file are equal.
std::vector<OptionDifference> differences(const Options& first, const Options& second);

/// The options with those that a resumed run may change at their defaults.
Options without_changeable(const Options& options);

/// Throws UsageError naming the options that differ (as `differences`) if `saved`, of the checkpoint or config.toml at
/// `path`, cannot go on as `now`.
void require_resumable(const Options& saved, const Options& now, const std::string& path);

/// Both views' settings for images of `data_set`'s mean, deviation and size where the options do not say. Throws
/// UsageError for steps that have no meaning for its channels, and for --mean and --std of another number of channels.
std::vector<ViewSettings> view_settings(const Options& options, const Dataset& data_set);

/// What open_dataset needs. `limit` applies to the training split alone: clear it for others.
DatasetSettings dataset_settings(const Options& options);

}  // namespace vergence
