// linear_probe: trains a linear classifier on a frozen encoder's features. Writes probe.json and a line of
// results.jsonl.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>

#include "engine/text/json_text.h"
#include "engine/text/printable.h"
#include "kernels/clock.h"
#include "ssl/evaluation/labeled.h"
#include "ssl/evaluation/probes/probe.h"
#include "ssl/evaluation/probes/sweep.h"
#include "ssl/evaluation/results.h"
#include "ssl/evaluation/subject.h"
#include "ssl/options/tool_options.h"
#include "tools/common.h"

namespace vergence {
namespace {

const char* const description =
    "Trains a linear classifier on a frozen encoder's features (split 'probe') and tests it on --split\n"
    "after its last epoch. The last line is 'top1 NN.NN top5 NN.NN'; the full result replaces probe.json\n"
    "in the run folder, and a line is appended to results.jsonl. --dataset OTHER --data DIR judges a\n"
    "transfer to another data set: probe_on_OTHER.json.\n"
    "  lbfgs  (default) logistic regression on standardized features, to convergence, with an L2 penalty\n"
    "         (--weight-decay, 1e-4); a build without L-BFGS has adam in its place\n"
    "  adam   features as they are; 500 epochs, batch 1000, learning rate 1e-2 falling to 1e-6, weight\n"
    "         decay 5e-6\n"
    "  sgd    random crops and flips in every epoch, each through the encoder: slow; 100 epochs,\n"
    "         batch 256, lr 0.1\n"
    "--sweep tries learning rates, of lbfgs penalties, on nine tenths of the training images, judged on\n"
    "the other tenth; the best is then trained on all.\n"
    "Example: linear_probe --run runs/cifar10_simclr_s1";

struct ProbeOptions {
  ProbeProtocol protocol = quick_probe().protocol;
  std::optional<std::int64_t> epochs, batch;
  std::optional<double> lr, final_lr, momentum, weight_decay;
  std::optional<ProbeSchedule> schedule;
  bool sweep = false;
  std::int64_t seed = 1;
};

void add_probe_options(CLI::App& app, ProbeOptions& options) {
  const CLI::Range positive(std::int64_t{1}, std::int64_t{1} << 30);
  add_word_option(app, "protocol", options.protocol, probe_protocol_words, "how the probe is trained; see above");
  app.add_option("--epochs", options.epochs, "passes over the images; lbfgs: iterations at most (1000)")
      ->check(positive);
  app.add_option("--batch", options.batch, "images per step")->check(positive);
  app.add_option("--lr", options.lr, "learning rate at the start; sgd: per 256 images, scaled by batch/256");
  app.add_option("--final-lr", options.final_lr, "learning rate at the end of the exponential schedule");
  add_word_option(
      app, "schedule", options.schedule, probe_schedule_words,
      "schedule of the learning rate: exponential (adam), step (sgd: after 60 and 80 % of the epochs) or cosine");
  app.add_option("--momentum", options.momentum, "momentum of sgd (0.9)");
  app.add_option("--weight-decay", options.weight_decay,
                 "weight decay: adam 5e-6, sgd 0; of lbfgs lambda in the penalty lambda/2 |W|^2, 1e-4");
  app.add_flag(
      "--sweep", options.sweep,
      "choose on a held-out tenth of the training images: --weight-decay of lbfgs among 1e-6 ... 1e-1, --lr of "
      "adam among 1e-3 ... 1e-1, of sgd among 0.01 ... 1");
  app.add_option("--seed", options.seed, "seed of the probe's initial weights, order and crops")
      ->check(CLI::Range(std::int64_t{0}, std::int64_t{1} << 53))
      ->capture_default_str();
}

ProbeSettings settings_of(const ProbeOptions& options) {
  const ProbeProtocol protocol = options.protocol;
  const auto refuse = [&](bool given, const char* name) {
    require_usage(!given, "--", name, ": the protocol ", name_of(options.protocol), " has no such setting");
  };
  if (protocol == ProbeProtocol::lbfgs) {
    refuse(options.batch.has_value(), "batch");
    refuse(options.lr.has_value(), "lr");
    refuse(options.schedule.has_value(), "schedule");
  }
  if (protocol != ProbeProtocol::sgd) refuse(options.momentum.has_value(), "momentum");
  const bool by_penalty = protocol == ProbeProtocol::lbfgs;
  require_usage(!options.sweep || !(by_penalty ? options.weight_decay : options.lr), "--sweep: chooses --",
                by_penalty ? "weight-decay" : "lr", ", expected none beside it");
  ProbeSettings settings = default_probe(protocol, options.batch.value_or(0));
  if (options.epochs) settings.epochs = *options.epochs;
  if (options.lr) settings.lr = *options.lr;
  if (options.schedule) settings.schedule = *options.schedule;
  if (protocol == ProbeProtocol::lbfgs || settings.schedule != ProbeSchedule::exponential)
    refuse(options.final_lr.has_value(), "final-lr");
  if (options.final_lr) settings.final_lr = *options.final_lr;
  if (options.momentum) settings.momentum = *options.momentum;
  if (options.weight_decay) settings.weight_decay = *options.weight_decay;
  settings.seed = static_cast<std::uint64_t>(options.seed);
  check_probe(settings);
  return settings;
}

nlohmann::ordered_json json_of(const ProbeSettings& settings) {
  nlohmann::ordered_json json{{"protocol", name_of(settings.protocol)}, {"epochs", settings.epochs}};
  if (settings.protocol != ProbeProtocol::lbfgs) {
    json["batch"] = settings.batch;
    json["lr"] = settings.lr;
    if (settings.protocol == ProbeProtocol::sgd) json["applied_lr"] = applied_lr(settings);
    json["schedule"] = name_of(settings.schedule);
    if (settings.schedule == ProbeSchedule::exponential) json["final_lr"] = settings.final_lr;
  }
  if (settings.protocol == ProbeProtocol::sgd) {
    json["momentum"] = settings.momentum;
    json["augmentation"] = "random resized crop 0.08-1, flip";
  }
  json["weight_decay"] = settings.weight_decay;
  json["seed"] = settings.seed;
  return json;
}

struct Fitted {
  LinearClassifier classifier;
  std::vector<std::int32_t> labels;  // of the training images
  std::optional<Sweep> sweep;
};

/// Trains by the protocol: on fixed features, or on new views in every epoch. A sweep changes `settings` to the best.
Fitted fit(Subject& subject, const Dataset& train, bool sweep, ProbeSettings& settings, const ProbeProgress& progress) {
  const Encode encode = subject.encode();
  Backend& backend = *subject.backend;
  const bool on_views = settings.protocol == ProbeProtocol::sgd;
  Features features;
  FeatureSource views;
  if (!on_views || sweep) features = shown_features(subject, encode, train);
  if (on_views)
    views = [&](std::int64_t epoch) {
      Features made =
          extract_view_features(encode, train, subject.extract, probe_view(), settings.seed, epoch, backend);
      print_lines(new_skipped(train));
      return made;
    };
  Fitted fitted;
  if (sweep) {
    fitted.sweep =
        sweep_probe(features, views, settings, backend, [](const std::string& line) { print_lines({line}); });
    settings = with_trial(settings, fitted.sweep->chosen());
  }
  if (!on_views) {
    fitted.classifier = train_probe(features, settings, backend, progress);
    fitted.labels = features.labels;
    return fitted;
  }
  const FeatureSource source = [&](std::int64_t epoch) {
    Features made = views(epoch);
    fitted.labels = made.labels;
    return made;
  };
  fitted.classifier = train_probe(source, settings, backend, progress);
  return fitted;
}

int probe(const SubjectOptions& subject_options, const ProbeOptions& probe_options) {
  ProbeSettings settings = settings_of(probe_options);
  Subject subject = open_subject(subject_options);
  print_lines(subject.encoder_notices, "notice: ");
  EvaluationResults out(subject.options, "probe");
  if (subject_options.judged.values.verify) subject.verify();
  const Dataset judged = open_labeled(subject.data, subject.options.split, "a linear probe");
  const Dataset train = open_labeled(subject.data, probe_split(subject.options.split), "a linear probe");
  if (subject.transfers())
    std::printf("%s: %s\n", printable(subject.path).c_str(), printable(subject.judged_where()).c_str());
  const auto begin = Clock::now();
  double loss = 0;
  const char* unit = settings.protocol == ProbeProtocol::lbfgs ? "iteration" : "epoch";
  const Fitted fitted = fit(subject, train, probe_options.sweep, settings, progress_lines(unit, settings.epochs, loss));
  const ClassifierFigures result =
      judge_classifier(fitted.classifier, subject, subject.encode(), judged, train, fitted.labels, settings.seed);
  const double seconds = seconds_since(begin);

  nlohmann::ordered_json json = subject.description();
  nlohmann::ordered_json own = json_of(settings);
  if (fitted.sweep) own["sweep"] = fitted.sweep->json();
  json["probe"] = own;
  json["test_images"] = result.images;
  json["feature_dim"] = result.feature_dim;
  nlohmann::ordered_json figures{{"final_loss", loss}};
  if (const std::optional<Convergence>& end = fitted.classifier.convergence) {
    figures["converged"] = end->reached;
    figures["iterations"] = end->iterations;
  }
  result.store(figures);
  json.update(figures);
  json["seconds"] = two_decimals(seconds);
  own.erase("protocol");  // stored beside the settings
  own.erase("seed");
  out.write(json, subject, {"linear_probe", name_of(settings.protocol), own, settings.seed, result.images, figures});
  std::printf("%s%s: %s probe on %s, %lld %s images, %.1f s; written to %s\n", printable(subject.path).c_str(),
              subject.weights_note().c_str(), name_of(settings.protocol), subject.data.name.c_str(),
              static_cast<long long>(result.images), subject.options.split.c_str(), seconds,
              printable(out.path()).c_str());
  result.print();
  return 0;
}

}  // namespace
}  // namespace vergence

int main(int argc, char** argv) {
  CLI::App app(vergence::description, "linear_probe");
  vergence::SubjectOptions subject;
  vergence::ProbeOptions probe;
  vergence::add_subject_options(app, subject);
  vergence::add_probe_options(app, probe);
  return vergence::run_tool(app, argc, argv, [&] { return vergence::probe(subject, probe); });
}
