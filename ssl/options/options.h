// All options of `pretrain`, and where they come from: command line, configuration file, shipped recipe, defaults. One
// table has the names, types, ranges and help texts of all options (ssl/options/table.h).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "datasets/dataset.h"
#include "engine/component_settings.h"
#include "engine/optimizer.h"
#include "engine/schedule.h"
#include "kernels/choices.h"
#include "kernels/views.h"
#include "models/weights/stem_rule.h"

namespace vergence {

/// The type of activations and convolutions. tf32: GPU only. With bf16 on a GPU, heads and losses are in tf32.
enum class Precision { fp32, tf32, bf16 };

/// How `--extend` continues the schedule: a new one over the added epochs, or that of a run of all epochs.
enum class ExtendSchedule { restart, stretched };

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
  std::string classes;                               // image files: the list of classes to use; empty: all
  JpegLibrary jpeg = JpegLibrary::turbo;             // the JPEG decoder
  DecodeRule decode = DecodeRule::fast;              // how far decoding may reduce images
  BadImagePolicy bad_images = BadImagePolicy::stop;  // for unreadable images
  std::int64_t eval_resize = -1;                     // un-augmented images: short side before the center crop
  std::int64_t image_size = 0;                       // of the views; 0: the data set's own
  std::int64_t limit = 0;                            // use only the first N training images; 0: all

  // ---- encoder
  std::string encoder = "resnet18";
  std::string init;         // a file whose encoder the training starts from
  std::string init_prefix;  // of its tensors' names; empty: found
  StemRule init_stem = StemRule::exact;

  // ---- objectives
  bool joint_head_norm = false;  // the heads' batch norm takes both views together, not each by itself
  ComponentSettings components;  // of objectives, encoders and data sets: components.get<SimclrOptions>()

  // ---- views: probabilities and ranges of view 1 and view 2; view_settings() fills in `size`, `mean` and `std`.
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
  std::optional<bool> exclude_1d;  // biases and batch norm left out of weight decay; none: with LARS only
  LarsOptions lars;
  AdamOptions adam;
  ScheduleKind schedule = ScheduleKind::cosine;
  double warmup_epochs = 0;
  double warmup_start = 0;          // learning rate before the first step, not scaled by the batch
  std::vector<double> step_epochs;  // schedule "step": epochs after which the rate is multiplied by step_factor
  double step_factor = 0.1;
  std::vector<double> restarted_at, stretched_at;  // epochs after which the run was extended: ssl/options/extension.h

  // ---- run
  std::string device = "auto";
  Precision precision = Precision::fp32;
  CpuConv cpu_conv = CpuConv::automatic;
  CudaConv conv = CudaConv::automatic;
  std::optional<DType> weight_gradients;  // the type cuDNN may round them to; none: by precision
  bool record = true;
  bool recompute = false;         // batch norms' results
  bool recompute_blocks = false;  // everything inside the encoder's blocks
  std::int64_t micro_batch = 0;   // image pairs that pass through the encoder together; 0: the batch
  std::int64_t seed = 1;
  std::string out;                    // run folder; empty: runs/<dataset>_<objective>_s<seed>
  bool figures = true;                // judge the encoder while it trains: ssl/steps/figures.h
  std::int64_t eval_every = 0;        // epochs between evaluations by kNN; 0: as `figures` plans them
  std::int64_t eval_limit = 0;        // at most so many images in kNN's bank and queries; 0: all
  std::int64_t max_steps = 0;         // stop after so many steps; 0: no limit
  std::int64_t checkpoint_every = 0;  // steps, besides every epoch and every 60 seconds; 0: only those
  std::int64_t log_every = 1;         // steps between lines of metrics.jsonl
  bool tensorboard = true;            // write TensorBoard's event files
  std::int64_t workers = 0;           // loader threads; 0: as many as suit the machine
  double rank_timeout = 600;          // seconds to wait for other ranks
  bool deterministic = false;
  bool tune = false;

  // ---- for this command only: not saved, not compared
  bool resume = false;
  std::int64_t extend = 0;  // epochs added to a finished run; `epochs` and the lists above include them; 0: none
  ExtendSchedule extend_schedule = ExtendSchedule::restart;
  bool plan = false;
  bool verify = false;
  std::string command;  // quoted for a shell, for run.json; empty: unknown

  /// Whether the caller, the command line or the user's own file chose the batch. If not, a small data set gets a
  /// smaller one (`settle_batch` in ssl/steps/setup.h).
  bool batch_chosen = true;
  std::string recipe;  // the shipped recipe that applied by default, if any

  /// What set options besides command line and defaults: lines such as "recipe /usr/share/…/cifar10/simclr.toml".
  std::vector<std::string> applied;

  /// The applied learning rate: lr * batch / 256.
  double effective_lr() const { return lr * static_cast<double>(batch) / 256; }
  /// Whether biases and batch-norm parameters (one-dimensional ones) are left out of weight decay and LARS' adaptation.
  bool excludes_1d() const { return exclude_1d.value_or(optimizer == OptimizerKind::lars); }
  /// `out`, or runs/<dataset>_<objective>_s<seed>.
  std::string run_folder() const;
};

/// Returns the options of `pretrain` from its arguments, else from the file of --config or (without --config) the
/// shipped recipe of the data set and objective, else the defaults. Throws HelpRequest for --help, and UsageError (one
/// line: option or file:line, what, what was expected), also for --resume with the config.toml of a moved run folder
/// and no --out. With --extend, the file is config.toml of the run folder, and the epochs are added.
Options parse_pretrain(int argc, const char* const* argv);

/// Options from a configuration file and the files it extends, else the defaults; no recipe applies. Throws UsageError
/// like parse_pretrain.
Options options_from_file(const std::string& path);

/// Options from the text of a complete configuration file, else the defaults; no recipe applies. Names may be aliases
/// (ssl/options/aliases.h). `where` begins error messages.
Options options_from_toml(std::string_view text, const std::string& where);

/// The complete configuration file: every saved option, grouped in tables, always in the same order. options_from_toml
/// reads equal options back, except that input paths are absolute, so that they work from any folder.
std::string options_to_toml(const Options& options);

/// An option whose value differs between two runs.
struct OptionDifference {
  std::string name, first, second;  // the name without dashes; values as text
};
/// Returns the saved options that differ, except those that a resumed run may change (OptionEntry::may_change). Two
/// paths of one input are equal.
std::vector<OptionDifference> differences(const Options& first, const Options& second);

/// The options, with defaults for those that a resumed run may change.
Options without_changeable(const Options& options);

/// Throws UsageError naming the `differences` if the run `saved` in the checkpoint or config.toml at `path` cannot
/// continue with options `now`. It can if they are the same, or those of the run after an extension.
void require_resumable(const Options& saved, const Options& now, const std::string& path);

/// Both views' settings; `data_set` gives mean, std and size if the options do not. Throws UsageError for augmentations
/// that do not fit its channels, and for --mean and --std with another number of channels.
std::vector<ViewSettings> view_settings(const Options& options, const Dataset& data_set);

/// Settings for open_dataset. `limit` applies only to the training split: clear it for others.
DatasetSettings dataset_settings(const Options& options);

}  // namespace vergence
