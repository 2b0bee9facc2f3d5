// finetune: trains a pretrained encoder and a linear head on labeled images. Writes finetune_<labels>.json and a line
// of results.jsonl; never changes the encoder's file.
#include "ssl/evaluation/finetune/finetune.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>

#include "datasets/registry.h"
#include "engine/text/printable.h"
#include "engine/text/words.h"
#include "kernels/clock.h"
#include "ssl/evaluation/labeled.h"
#include "ssl/evaluation/results.h"
#include "ssl/evaluation/sampling/subset.h"
#include "ssl/evaluation/subject.h"
#include "tools/common.h"

namespace vergence {
namespace {

const char* const description =
    "Trains a pretrained encoder together with a linear head on labeled images of split 'probe', in\n"
    "random crops and flips, and tests both on --split after the last epoch. The last line is\n"
    "'top1 NN.NN top5 NN.NN'; the full result replaces finetune_100.json (finetune_10.json, ...) in the\n"
    "run folder, and a line is appended to results.jsonl. The encoder's file stays as it is.\n"
    "  --labels 10   a tenth of every class, always the same images (docs/evaluation.md: the rule)\n"
    "  --fold 3      a list of images that the data set's authors published: stl10 has ten\n"
    "  --sweep       tries rates on nine tenths of these images, judged on the other tenth, then\n"
    "                trains on all with the best\n"
    "Example: finetune --run runs/cifar10_simclr_s1 --labels 10";

struct FinetuneOptions {
  std::optional<std::int64_t> labels, fold;
  std::optional<std::int64_t> epochs, batch;
  std::optional<double> lr, head_lr, momentum, weight_decay;
  bool sweep = false;
  std::int64_t seed = 1;
};

constexpr Word<std::int64_t> share_words[]{{"100", 100}, {"10", 10}, {"1", 1}};

void add_finetune_options(CLI::App& app, FinetuneOptions& options) {
  const CLI::Range positive(std::int64_t{1}, std::int64_t{1} << 30);
  add_word_option(app, "labels", options.labels, share_words, "percent of the labels (100)");
  app.add_option("--fold", options.fold, "the published fold of this number, instead of --labels")
      ->check(CLI::Range(std::int64_t{0}, std::int64_t{1} << 30));
  app.add_option("--epochs", options.epochs, "passes over the images: 30, of 1 % of the labels 60")->check(positive);
  app.add_option("--batch", options.batch, "images per step (256), at most all")->check(positive);
  app.add_option("--lr", options.lr,
                 "learning rate of the encoder at the start; it falls to 0 by half a cosine (of 100 % of the labels "
                 "0.1, of 1 % 0.01, else 0.03)");
  app.add_option("--head-lr", options.head_lr, "the same of the head (0.03)");
  app.add_flag("--sweep", options.sweep,
               "choose the rates on a held-out tenth of the images: --lr 0.003, 0.01, 0.03, 0.1, 0.3 with --head-lr "
               "0.03 and 0.3, or with the given --head-lr");
  app.add_option("--momentum", options.momentum, "momentum of SGD (0.9)");
  app.add_option("--weight-decay", options.weight_decay, "weight decay of all parameters (0)");
  app.add_option("--seed", options.seed, "seed of the head's initial weights, the order and the crops")
      ->check(CLI::Range(std::int64_t{0}, std::int64_t{1} << 53))
      ->capture_default_str();
}

FinetuneSettings settings_of(const FinetuneOptions& options) {
  require_usage(!options.labels || !options.fold, "--fold: names the images, expected no --labels beside it");
  require_usage(!options.sweep || !options.lr, "--sweep: chooses the encoder's rate, expected no --lr beside it");
  const std::int64_t share = options.fold ? 10 : options.labels.value_or(100);  // a fold: few labels, as 10 %
  FinetuneSettings settings = default_finetune(share);
  if (options.epochs) settings.epochs = *options.epochs;
  if (options.batch) settings.batch = *options.batch;
  if (options.lr) settings.lr = *options.lr;
  if (options.head_lr) settings.head_lr = *options.head_lr;
  if (options.momentum) settings.momentum = *options.momentum;
  if (options.weight_decay) settings.weight_decay = *options.weight_decay;
  settings.seed = static_cast<std::uint64_t>(options.seed);
  check_finetune(settings);
  return settings;
}

/// The result's name: finetune_10, finetune_fold_3.
std::string file_of(const FinetuneOptions& options) {
  return options.fold ? join("finetune_fold_", *options.fold) : join("finetune_", options.labels.value_or(100));
}

std::vector<std::int64_t> images_of(const FinetuneOptions& options, const Subject& subject, const Dataset& train) {
  if (!options.fold) return balanced_share(train.labels, options.labels.value_or(100));
  const std::vector<std::int64_t> fold = published_fold(subject.data, *options.fold);
  require_usage(fold.back() < train.count, "--fold: fold ", *options.fold, " has image ", fold.back(), ", but ",
                train.split, " has the first ", train.count, " images only",
                subject.data.limit > 0 ? " (--limit)" : "");
  return fold;
}

/// What says which images were learned from.
nlohmann::ordered_json described(const FinetuneOptions& options, const std::vector<std::int64_t>& images) {
  nlohmann::ordered_json json{{"labels", nullptr}, {"fold", nullptr}};
  if (options.fold)
    json["fold"] = *options.fold;
  else
    json["labels"] = options.labels.value_or(100);
  json["list_rule"] = options.fold ? "published fold" : "balanced by class, Philox seed 0 stream 9";
  json["list_xxh128"] = list_digest(images);
  json["train_images"] = images.size();
  return json;
}

nlohmann::ordered_json json_of(const FinetuneSettings& settings) {
  return {{"epochs", settings.epochs},
          {"batch", settings.batch},
          {"lr", settings.lr},
          {"head_lr", settings.head_lr},
          {"schedule", "cosine"},
          {"momentum", settings.momentum},
          {"weight_decay", settings.weight_decay},
          {"augmentation", "random resized crop 0.08-1, flip"}};
}

int run(const SubjectOptions& subject_options, const FinetuneOptions& options) {
  FinetuneSettings settings = settings_of(options);
  Subject subject = open_subject(subject_options);
  print_lines(subject.encoder_notices, "notice: ");
  EvaluationResults out(subject.options, file_of(options));
  if (subject_options.judged.values.verify) subject.verify();
  const Dataset judged = open_labeled(subject.data, subject.options.split, "fine-tuning");
  const Dataset train = open_labeled(subject.data, probe_split(subject.options.split), "fine-tuning");
  const std::vector<std::int64_t> images = images_of(options, subject, train);
  settings.batch = std::min(settings.batch, static_cast<std::int64_t>(images.size()));
  if (subject.transfers())
    std::printf("%s: %s\n", printable(subject.path).c_str(), printable(subject.judged_where()).c_str());
  const auto begin = Clock::now();
  const Pretrained start{subject.encoder, subject.statistics, subject.precision};
  std::optional<Sweep> sweep;
  if (options.sweep) {
    sweep = sweep_finetune(start, train, images, subject.extract, settings, finetune_trials(options.head_lr),
                           *subject.backend, [](const std::string& line) { print_lines({line}); });
    settings = with_rates(settings, sweep->chosen());
  }
  double loss = 0;
  Finetuned tuned = finetune(start, train, images, subject.extract, settings, *subject.backend,
                             progress_lines("epoch", settings.epochs, loss));
  print_lines(new_skipped(train));
  const Encode encode = encode_with(tuned.encoder, tuned.statistics, subject.precision);
  const ClassifierFigures result =
      judge_classifier(tuned.head, subject, encode, judged, train, values_at(train.labels, images), settings.seed);
  const double seconds = seconds_since(begin);

  nlohmann::ordered_json json = subject.description(), own = described(options, images);
  own.update(json_of(settings));
  if (sweep) own["sweep"] = sweep->json();
  json["finetune"] = own;
  json["seed"] = settings.seed;
  json["test_images"] = result.images;
  nlohmann::ordered_json figures{{"final_loss", loss}};
  result.store(figures);
  json.update(figures);
  json["seconds"] = two_decimals(seconds);
  out.write(json, subject, {"finetune", "finetune", own, settings.seed, result.images, figures});
  std::printf("%s%s: fine-tuned on %s of %s, %lld %s images, %.1f s; written to %s\n", printable(subject.path).c_str(),
              subject.weights_note().c_str(), counted(static_cast<std::int64_t>(images.size()), "image").c_str(),
              subject.data.name.c_str(), static_cast<long long>(result.images), subject.options.split.c_str(), seconds,
              printable(out.path()).c_str());
  result.print();
  return 0;
}

}  // namespace
}  // namespace vergence

int main(int argc, char** argv) {
  CLI::App app(vergence::description, "finetune");
  vergence::SubjectOptions subject;
  vergence::FinetuneOptions options;
  vergence::add_subject_options(app, subject);
  vergence::add_finetune_options(app, options);
  return vergence::run_tool(app, argc, argv, [&] { return vergence::run(subject, options); });
}
