// evaluate: judges a pretrained encoder without changing it. Writes evaluation.json and a line of results.jsonl.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <nlohmann/json.hpp>
#include <optional>

#include "engine/text/json_text.h"
#include "engine/text/printable.h"
#include "ssl/evaluation/evaluation.h"
#include "ssl/evaluation/labeled.h"
#include "ssl/evaluation/results.h"
#include "ssl/evaluation/subject.h"
#include "tools/common.h"

namespace vergence {
namespace {

const char* const description =
    "Judges a pretrained encoder on --split; trained metrics and kNN's bank use the split 'probe'.\n"
    "Prints a line per figure, replaces evaluation.json in the run folder (evaluation_val.json for\n"
    "--split val), and appends a line to results.jsonl, which keeps all results. --dataset\n"
    "OTHER --data DIR judges a transfer to another data set: evaluation_on_OTHER.json. Of images without\n"
    "labels the default is collapse,alignment.\n"
    "  knn             kNN, k = 200 cosine and k = 5 Euclidean; with the encoder's mask too if it has one\n"
    "  crowding        scatter within classes, distance between them, and their ratio\n"
    "  collapse        RankMe and the deviation of normalized features\n"
    "  alignment       alignment and uniformity of two random views\n"
    "  clustering      k-means: accuracy, NMI, ARI\n"
    "  foreground      probes trained on one form of an image and tested on another, and swapped\n"
    "                  backgrounds (confounded_shapes, composites)\n"
    "  dense           foreground mask from the last feature map: mIoU (confounded_shapes, composites)\n"
    "  reconstruction  R^2 of a decoder trained on the frozen features\n"
    "  nuisance        linear probes of rotation, hue shift and crop position\n"
    "  episodes        few-shot: --ways classes told from --shots examples of each; FC100's test classes\n"
    "                  on CIFAR-100\n"
    "  corruptions     a linear probe and kNN, fitted on clean images, on images with noise, another hue,\n"
    "                  blur\n"
    "  knn_sweep       kNN by cosine over k and temperature, chosen on a held-out tenth of the bank\n"
    "docs/evaluation.md says what each figure is.\n"
    "Example: evaluate --run runs/confounded_shapes_simclr_s1 --metrics all";

struct EvaluateOptions {
  std::optional<std::string> metrics;  // none: the default metrics
  std::string mask;
  std::int64_t train_limit = 5000, seed = 1;
  EpisodeSettings episodes;
  std::vector<const CLI::Option*> of_episodes;
};

const char* const default_metrics = "knn,crowding,collapse,alignment";

const CLI::Range counting(std::int64_t{1}, std::int64_t{1} << 24);

void add_episode_options(CLI::App& app, EvaluateOptions& options) {
  EpisodeSettings& episodes = options.episodes;
  app.add_option("--ways", episodes.ways, "classes of an episode")->check(counting)->capture_default_str();
  app.add_option("--shots", episodes.shots, "examples of each class: numbers with commas between them")
      ->delimiter(',')
      ->check(counting)
      ->default_str("1,5");
  app.add_option("--queries", episodes.queries, "images of each class that an episode classifies")
      ->check(counting)
      ->capture_default_str();
  app.add_option("--episodes", episodes.episodes, "number of episodes for each of --shots")
      ->check(counting)
      ->capture_default_str();
  for (const char* name : {"--ways", "--shots", "--queries", "--episodes"})
    options.of_episodes.push_back(app.get_option(name));
}

void add_evaluate_options(CLI::App& app, EvaluateOptions& options) {
  app.add_option("--metrics", options.metrics, "names with commas between them, or all")->default_str(default_metrics);
  app.add_option("--mask", options.mask,
                 "safetensors file with 'mask' [dim]: kNN also with features times it (knn, corruptions); default: "
                 "mask.safetensors beside the encoder")
      ->type_name("FILE");
  app.add_option("--train-limit", options.train_limit,
                 "images of 'probe' that dense, reconstruction, nuisance and corruptions' probe train on; 0: all")
      ->check(CLI::Range(std::int64_t{0}, std::int64_t{1} << 40))
      ->capture_default_str();
  add_episode_options(app, options);
  app.add_option("--seed", options.seed, "seed of views, k-means, nuisances, decoder, episodes, noise")
      ->check(CLI::Range(std::int64_t{0}, std::int64_t{1} << 53))
      ->capture_default_str();
}

/// The fields for the line of results.jsonl.
ResultRecord record_of(const EvaluationSettings& settings, const nlohmann::ordered_json& json) {
  ResultRecord record{"evaluate", "evaluate", {}, settings.seed, json["test_images"], figures_of(json)};
  record.settings = {{"metrics", settings.metrics}, {"train_limit", settings.train_limit}};
  return record;
}

int run(const SubjectOptions& subject_options, const EvaluateOptions& options) {
  Subject subject = open_subject(subject_options);
  EvaluationResults out(subject.options, "evaluation");
  if (subject_options.judged.values.verify) subject.verify();
  EvaluationSettings settings;
  settings.metrics = chosen_metrics(options.metrics.value_or(default_metrics), subject.data.name);
  settings.unasked = options.metrics.value_or("all") == "all";
  settings.mask_file = options.mask;
  settings.episodes = options.episodes;
  for (const CLI::Option* option : options.of_episodes)
    settings.episodes_given = settings.episodes_given || option->count() > 0;
  settings.train_limit = options.train_limit;
  settings.seed = static_cast<std::uint64_t>(options.seed);
  const nlohmann::ordered_json about = subject.description();
  const auto told = [&](const char* key) { return about.contains(key) ? json_text(about[key]) : "?"; };
  settings.heading = join(subject.path, subject.weights_note(), ", epoch ", told("epoch"), ", step ", told("step"),
                          ", ", subject.judged_where());
  const auto show = [](const std::string& line) {
    std::printf("%s\n", printable(line).c_str());
    std::fflush(stdout);
  };
  print_lines(subject.encoder_notices, "notice: ");
  if (!subject.notice.empty()) show(subject.notice);
  std::exception_ptr failure;
  const nlohmann::ordered_json json = evaluate(subject, settings, show, &failure);
  out.write(json, subject, record_of(settings, json));
  if (failure) std::rethrow_exception(failure);
  return 0;
}

}  // namespace
}  // namespace vergence

int main(int argc, char** argv) {
  CLI::App app(vergence::description, "evaluate");
  vergence::SubjectOptions subject;
  vergence::EvaluateOptions options;
  vergence::add_subject_options(app, subject);
  vergence::add_evaluate_options(app, options);
  return vergence::run_tool(app, argc, argv, [&] { return vergence::run(subject, options); });
}
