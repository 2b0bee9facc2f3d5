// One line per option of `pretrain`.
#include "ssl/options/table.h"

#include "datasets/dataset.h"
#include "datasets/registry.h"
#include "models/encoder.h"
#include "ssl/options/builder.h"
#include "ssl/options/jpeg_choice.h"

namespace vergence {
namespace {

using namespace ranges;
using Flags = OptionEntry::Flags;

#define FIELD(path) \
  [](Options & o) -> auto& { return o.path; }
#define VIEW(path) \
  [](Options & o, std::size_t view) -> auto& { return o.view[view].path; }

void add_task(OptionBuilder& t) {
  t.group = "What to train";
  t.registered("objective", FIELD(objective), objective_names(), "the self-supervised objective");
  t.registered("dataset", FIELD(dataset), dataset_names(),
               "the images; confounded_shapes is rendered and needs no download");
  t.path("data", FIELD(data), "DIR", "folder of the data set's files", Flags::may_change | Flags::input);
  t.path("classes", FIELD(classes), "FILE",
         "image files: use these classes only; a file of class names, or imagenet100", Flags::input | Flags::or_list);
  t.number("image-size", FIELD(image_size), from(0, 4096),
           "height and width of the views in pixels; 0: the images' own size, or 224 for image files");
  t.number("eval-resize", FIELD(eval_resize), from(-1, 16384),
           "un-augmented images: short side in pixels before the center crop; 0: squeeze the whole image; -1: the data "
           "set's default");
  t.number("limit", FIELD(limit), not_negative,
           "train on N images only: the first, or of image files evenly spaced ones; 0: all");
  for (const DatasetEntry& entry : dataset_entries())
    for (const ComponentOption& option : entry.options) t.component(option, entry.names.front());
  t.group = "Encoder";
  t.registered("encoder", FIELD(encoder), encoder_names(), "the network to train");
  std::vector<std::string> initial;
  for (const EncoderFamily& family : encoder_families())
    for (const EncoderOption& option : family.options) {
      t.component(option, family.names.front());
      if (option.initial) initial.push_back(option.name);
    }
  t.path(
      "init", FIELD(init), "FILE",
      "start from the encoder in this file: torchvision's, timm's, solo-learn's, lightly's, or an encoder.safetensors",
      Flags::input | Flags::if_set);
  t.text("init-prefix", FIELD(init_prefix),
         "--init: what precedes the names of the encoder's tensors, such as backbone; default: found", Flags::if_set);
  t.choice("init-stem", FIELD(init_stem), stem_rule_words,
           "--init: the first convolution; adapt: fit it to the images' channels; new: initialize it", Flags::if_set);
  t.only_with("init", {""}, initial);  // a file has all weights but those of a new first convolution
}

void add_training(OptionBuilder& t) {
  t.group = "Training";
  t.number("epochs", FIELD(epochs), from(1, 1e6), "passes over the images");
  t.number("batch", FIELD(batch), from(2, 1e6), "images per step; the last partial batch is dropped");
  t.number("micro-batch", FIELD(micro_batch), not_negative,
           "pass at most N image pairs through the encoder at a time, for the memory of a batch of N; 0: all. The loss "
           "is still that of the whole batch; batch norms see N pairs (to see all: --recompute-blocks)");
  t.choice("optimizer", FIELD(optimizer), optimizer_words, "how the weights are updated");
  t.number("lr", FIELD(lr), not_negative, "learning rate per 256 images: scaled by batch/256");
  t.number("momentum", FIELD(momentum), below_one, "momentum of sgd and lars");
  t.flag("nesterov", FIELD(nesterov), "sgd: Nesterov momentum");
  t.number("weight-decay", FIELD(weight_decay), not_negative, "weight decay: an L2 penalty, decoupled for adamw");
  t.choice("exclude-1d", FIELD(exclude_1d), {{"auto", std::nullopt}, {"on", true}, {"off", false}},
           "exclude biases and batch norm from weight decay and LARS' adaptation; auto: only with lars");
  t.choice("schedule", FIELD(schedule),
           {{"cosine", ScheduleKind::cosine}, {"step", ScheduleKind::step}, {"constant", ScheduleKind::constant}},
           "learning rate schedule");
  t.number("warmup-epochs", FIELD(warmup_epochs), from(0, 1e6), "epochs of linear learning rate warm-up; 0: none");
  t.number("warmup-start", FIELD(warmup_start), not_negative,
           "learning rate at the start of the warm-up, not scaled by the batch");
  t.number("step-epochs", FIELD(step_epochs), positive,
           "schedule step: epochs after which the learning rate drops, such as 60,80");
  t.number("step-factor", FIELD(step_factor), share,
           "schedule step: factor of the learning rate at each of --step-epochs");
  t.number("restarted-at", FIELD(restarted_at), positive,
           "epochs after which the schedule starts again without warm-up; --extend writes them", Flags::if_set);
  t.number("stretched-at", FIELD(stretched_at), positive,
           "epochs after which the schedule becomes that of a longer run; --extend writes them", Flags::if_set);
  t.number("lars.eta", FIELD(lars.eta), positive, "lars: trust coefficient");
  t.number("lars.epsilon", FIELD(lars.epsilon), not_negative, "lars: added to the denominator |g| + wd |p|");
  t.flag("lars.clip", FIELD(lars.clip), "lars: never exceed the plain learning rate (LARC)");
  t.flag("lars.joint_norm", FIELD(lars.joint_norm),
         "lars: divide by |g + wd p| instead of |g| + wd |p| + epsilon (p: weights, g: gradient)");
  t.number("adam.beta1", FIELD(adam.beta1), below_one, "adam, adamw: decay of the first moment");
  t.number("adam.beta2", FIELD(adam.beta2), below_one, "adam, adamw: decay of the second moment");
  t.number("adam.epsilon", FIELD(adam.epsilon), positive, "adam, adamw: added to the denominator");
  t.only_with("optimizer", {"sgd", "lars"}, {"momentum"});
  t.only_with("optimizer", {"sgd"}, {"nesterov"});
  t.only_with("optimizer", {"lars"}, {"lars."});
  t.only_with("optimizer", {"adam", "adamw"}, {"adam."});
  t.only_with("schedule", {"step"}, {"step-epochs", "step-factor"});
  t.idle_with({{"warmup-epochs", {"0"}}}, {"warmup-start"});
}

/// The values of an augmentation that never happens have no effect.
void need_probability(OptionBuilder& t, const std::string& probability, const std::vector<std::string>& values) {
  const std::string both[]{"view1." + probability, "view2." + probability};
  for (const std::string& value : values) {
    t.idle_with({{both[0], {"0"}}}, {"view1." + value});
    t.idle_with({{both[1], {"0"}}}, {"view2." + value});
    t.idle_with({{both[0], {"0"}}, {both[1], {"0"}}}, {"view." + value});
  }
}

void add_objectives(OptionBuilder& t) {
  t.group = "Heads";
  t.flag("joint-head-norm", FIELD(joint_head_norm),
         "compute the heads' batch norm statistics over both views together, not per view");
  for (const ObjectiveOptions& objective : objective_options()) t.objective(objective);
}

void add_views(OptionBuilder& t) {
  t.group = "Views (view. sets both views, view1. or view2. only one)";
  t.view("crop_low", VIEW(crop_low), share, "smallest area of the crop, as a share of the image");
  t.view("crop_high", VIEW(crop_high), share, "largest area of the crop, as a share of the image");
  t.view("ratio_low", VIEW(ratio_low), positive, "smallest aspect ratio of the crop, width / height");
  t.view("ratio_high", VIEW(ratio_high), positive, "largest aspect ratio of the crop, width / height");
  t.view_choice("interpolation", VIEW(interpolation),
                {{"bilinear", Interpolation::bilinear}, {"bicubic", Interpolation::bicubic}},
                "interpolation when the crop is resized");
  t.view("jitter_p", VIEW(jitter_p), unit, "probability of color jitter");
  t.view("brightness", VIEW(brightness), not_negative, "color jitter: brightness factor drawn from [1 - v, 1 + v]");
  t.view("contrast", VIEW(contrast), not_negative, "color jitter: contrast factor drawn from [1 - v, 1 + v]");
  t.view("saturation", VIEW(saturation), not_negative, "color jitter: saturation factor drawn from [1 - v, 1 + v]");
  t.view("hue", VIEW(hue), from(0, 0.5), "color jitter: hue shift drawn from [-v, v], in turns of the color circle");
  t.view("gray_p", VIEW(gray_p), unit, "probability of grayscale");
  t.view("blur_p", VIEW(blur_p), unit, "probability of Gaussian blur");
  t.view("blur_sigma_low", VIEW(blur_sigma_low), positive, "smallest sigma of the blur in pixels");
  t.view("blur_sigma_high", VIEW(blur_sigma_high), positive, "largest sigma of the blur in pixels");
  t.view("solarize_p", VIEW(solarize_p), unit, "probability of solarization");
  t.view("solarize_threshold", VIEW(solarize_threshold), unit,
         "solarization inverts pixel values from this one on, from 0 to 1");
  t.view("flip_p", VIEW(flip_p), unit, "probability of a horizontal flip");
  need_probability(t, "jitter_p", {"brightness", "contrast", "saturation", "hue"});
  need_probability(t, "blur_p", {"blur_sigma_low", "blur_sigma_high"});
  need_probability(t, "solarize_p", {"solarize_threshold"});
  t.number("mean", FIELD(mean), any,
           "mean per channel, subtracted from the views, such as 0.49,0.48,0.45; default: the data set's");
  t.number("std", FIELD(std), positive, "standard deviation per channel, divides the views; default: the data set's");
}

void add_run(OptionBuilder& t) {
  t.group = "Run";
  t.path("out", FIELD(out), "DIR", "run folder; default: runs/<dataset>_<objective>_s<seed>", Flags::may_change);
  t.flag("resume", FIELD(resume), "continue from the run folder's checkpoint; start if it has none",
         Flags::command_line_only);
  t.number("extend", FIELD(extend), from(1, 1e6), "add N epochs to the finished run in --out, by its own options",
           Flags::command_line_only);
  t.choice("extend-schedule", FIELD(extend_schedule),
           {{"restart", ExtendSchedule::restart}, {"stretched", ExtendSchedule::stretched}},
           "--extend: restart the schedule over the added epochs, or stretch it over all epochs",
           Flags::command_line_only);
  t.number("seed", FIELD(seed), from(0, 9007199254740992.0), "seed of all random numbers");
  t.flag("figures", FIELD(figures),
         "judge the encoder after some epochs, for at most about 2 % of the work: deviation, RankMe, kNN",
         Flags::may_change);
  t.number("eval-every", FIELD(eval_every), not_negative,
           "epochs between evaluations by kNN on all images; 0: by --figures, on fewer", Flags::may_change);
  t.number("eval-limit", FIELD(eval_limit), not_negative,
           "use at most N images as kNN's bank and N as its queries; 0: all, or 10,000 and 2,000 for --figures");
  t.number("checkpoint-every", FIELD(checkpoint_every), not_negative,
           "write a checkpoint every N steps, besides every epoch and every 60 s; 0: only those", Flags::may_change);
  t.number("log-every", FIELD(log_every), from(1), "steps between lines of metrics.jsonl");
  t.flag("tensorboard", FIELD(tensorboard), "write event files for TensorBoard into the run folder", Flags::may_change);
  t.number("max-steps", FIELD(max_steps), not_negative, "stop after N steps; 0: no limit", Flags::may_change);
  t.flag("plan", FIELD(plan), "print parameters, FLOPs, memory, steps and hours; train nothing",
         Flags::command_line_only);
  t.flag("verify", FIELD(verify), "first compare the data set's files with their published checksums",
         Flags::command_line_only);
  t.group = "Machine";
  t.registered("device", FIELD(device), device_words(), "where to compute; auto: cuda if there is a usable GPU",
               Flags::may_change);
  t.choice("precision", FIELD(precision),
           {{"fp32", Precision::fp32}, {"tf32", Precision::tf32}, {"bf16", Precision::bf16}},
           "type of activations and convolutions; tf32: GPU only; bf16 on a GPU: heads in tf32");
  t.choice("cpu-conv", FIELD(cpu_conv),
           {{"auto", CpuConv::automatic}, {"direct", CpuConv::direct}, {"winograd", CpuConv::winograd}},
           "convolution algorithm on the CPU");
  t.choice("conv", FIELD(conv), {{"auto", CudaConv::automatic}, {"cuda", CudaConv::cuda}, {"cudnn", CudaConv::cudnn}},
           "convolutions on a GPU: this program's own kernels (cuda), or cuDNN's");
  t.choice("weight-gradients", FIELD(weight_gradients),
           {{"auto", std::nullopt}, {"bf16", DType::bf16}, {"fp32", DType::f32}},
           "type to which cuDNN may round a convolution's weight gradients; auto: bf16 with --precision bf16 on a GPU");
  t.flag("record", FIELD(record), "on a GPU: record the training step as a graph and replay it");
  t.flag("recompute", FIELD(recompute),
         "recompute batch norms' outputs in the backward pass: the same bits, less memory, more time",
         Flags::may_change);
  t.flag(
      "recompute-blocks", FIELD(recompute_blocks),
      "recompute the inside of the encoder's blocks in the backward pass: the same results, far less memory, more time",
      Flags::may_change);
  add_jpeg_choice(t, has_jpeg_turbo());
  t.choice("decode", FIELD(decode), {{"fast", DecodeRule::fast}, {"exact", DecodeRule::exact}},
           "how far libjpeg-turbo may reduce images: as far as the views allow, or only without visible differences "
           "(pretrain --eval-every: always exact)");
  t.choice("bad-images", FIELD(bad_images), {{"stop", BadImagePolicy::stop}, {"skip", BadImagePolicy::skip}},
           "unreadable images: stop the run, or skip them", Flags::may_change);
  t.number("workers", FIELD(workers), from(0, 1024), "threads that make views; 0: chosen for the machine",
           Flags::may_change);
  t.number("rank-timeout", FIELD(rank_timeout), positive,
           "with several ranks: seconds to wait for one that does not answer before the run ends", Flags::may_change);
  t.flag("deterministic", FIELD(deterministic), "on a GPU: the same bits in every run (the CPU always gives the same)");
  t.flag("tune", FIELD(tune),
         "choose convolution algorithms by timing them, not by the fixed rule; saved in tuning.json");
  t.only_with("dataset", image_file_datasets(), {"jpeg", "decode", "bad-images"});
}

#undef FIELD
#undef VIEW

const OptionBuilder& declared_options() {
  static const OptionBuilder all = [] {
    OptionBuilder t;
    add_task(t);
    add_training(t);
    add_objectives(t);
    add_views(t);
    add_run(t);
    return t;
  }();
  return all;
}

}  // namespace

const std::vector<OptionEntry>& option_table() { return declared_options().entries; }

const std::vector<EffectRule>& effect_rules() { return declared_options().effects; }

const OptionEntry* find_option(const std::string& name) {
  for (const OptionEntry& entry : option_table()) {
    if (entry.name == name) return &entry;
  }
  return nullptr;
}

void set_option(Options& options, const std::string& name, const std::string& value) {
  const OptionEntry* entry = find_option(name);
  require(entry != nullptr, "there is no option '", name, "'");
  assign_option(*entry, {name, value, Setting::Type::untyped, "--" + name}, options);
}

}  // namespace vergence
