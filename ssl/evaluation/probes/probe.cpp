// The gradient-trained probes (Adam and SGD) and what all protocols share: settings, initial weights, accuracy.
#include "ssl/evaluation/probes/probe.h"

#include <algorithm>
#include <cmath>

#include "engine/ops/ops.h"
#include "engine/tensor.h"
#include "kernels/random.h"
#include "ssl/evaluation/features/streams.h"
#include "ssl/evaluation/probes/fit.h"
#include "ssl/evaluation/probes/logistic.h"
#include "ssl/evaluation/sampling/sweep.h"

namespace vergence {
namespace {

ScheduleSettings rate_of(const ProbeSettings& settings) {
  ScheduleSettings rate{.base = applied_lr(settings), .epochs = settings.epochs};
  switch (settings.schedule) {
    case ProbeSchedule::exponential:
      rate.kind = ScheduleKind::exponential;
      rate.minimum = settings.final_lr;
      break;
    case ProbeSchedule::cosine:
      rate.kind = ScheduleKind::cosine;
      break;
    case ProbeSchedule::step:
      rate.kind = ScheduleKind::step;
      for (const int tenths : {6, 8}) rate.milestones.push_back(static_cast<double>(tenths * settings.epochs) / 10);
      break;
  }
  return rate;
}

class ProbeTrainer {
 public:
  ProbeTrainer(const LinearClassifier& start, const ProbeSettings& settings, Backend& backend)
      : dim_(start.dim),
        classes_(start.classes),
        weight_(from_floats(backend, {classes_, dim_}, start.weight)),
        bias_(from_floats(backend, {classes_}, start.bias)),
        fit_(ParameterSet({{"weight", &weight_}, {"bias", &bias_}}),
             {.optimizer = {.kind = settings.protocol == ProbeProtocol::adam ? OptimizerKind::adam : OptimizerKind::sgd,
                            .momentum = settings.momentum,
                            .weight_decay = settings.weight_decay,
                            .exclude_vectors = false},  // the published protocols apply weight decay to biases too
              .rate = rate_of(settings),
              .batch = settings.batch,
              .seed = settings.seed,
              .stream = order_stream}) {}
  ProbeTrainer(const ProbeTrainer&) = delete;  // the parameter set points its tensors at one buffer
  ProbeTrainer& operator=(const ProbeTrainer&) = delete;

  /// Makes one pass over the features in the order of `epoch`; returns the mean loss.
  double epoch(const Tensor& features, const std::vector<std::int32_t>& labels, std::int64_t epoch) {
    Backend& backend = features.backend();
    return fit_.epoch(epoch, features.shape[0], [&](const std::vector<std::int32_t>& rows) {
      std::vector<std::int32_t> targets;
      for (std::int32_t row : rows) targets.push_back(labels[static_cast<std::size_t>(row)]);
      const Tensor x = gather_rows(features, from_indices(backend, rows));
      return cross_entropy(linear(x, weight_, bias_), from_indices(backend, targets));
    });
  }

  LinearClassifier classifier() const { return {dim_, classes_, weight_.floats(), bias_.floats(), {}}; }

 private:
  std::int64_t dim_, classes_;
  Tensor weight_, bias_;
  Fit fit_;
};

void require_finite(double loss, std::int64_t epoch) {
  if (!std::isfinite(loss))
    throw NotFinite(join("probe: the loss is not finite in epoch ", epoch + 1, "; a smaller learning rate may help"));
}

Tensor upload_features(const Features& features, Backend& backend) {
  return from_floats(backend, {features.rows(), features.dim}, features.values);
}

/// [rows, classes].
std::vector<float> logits_of(const LinearClassifier& classifier, const Features& test, Backend& backend) {
  check_labeled(test, "probe test");
  require_usage(test.dim == classifier.dim && test.classes == classifier.classes, "probe test: ", test.dim,
                " features and ", test.classes, " classes, the probe has ", classifier.dim, " and ",
                classifier.classes);
  const Tensor weight = from_floats(backend, {classifier.classes, classifier.dim}, classifier.weight);
  const Tensor bias = from_floats(backend, {classifier.classes}, classifier.bias);
  const Tensor features = from_floats(backend, {test.rows(), test.dim}, classifier.centered(test.values));
  return linear(features, weight, bias).floats();
}

bool finite_row(const float* values, std::int64_t count) {
  return std::all_of(values, values + count, [](float v) { return std::isfinite(v); });
}

}  // namespace

const char* name_of(ProbeProtocol protocol) { return text_of(probe_protocol_words, protocol); }
const char* name_of(ProbeSchedule schedule) { return text_of(probe_schedule_words, schedule); }

ProbeSettings default_probe(ProbeProtocol protocol, std::int64_t batch) {
  ProbeSettings settings;
  settings.protocol = protocol;
  if (protocol == ProbeProtocol::sgd) {
    settings.epochs = 100;
    settings.batch = 256;
    settings.lr = 0.1;
    settings.schedule = ProbeSchedule::step;
    settings.weight_decay = 0;
  } else if (protocol == ProbeProtocol::lbfgs) {
    settings.epochs = 1000;
    settings.weight_decay = 1e-4;
  }
  if (batch > 0) settings.batch = batch;
  return settings;
}

ProbeSettings quick_probe() {
#ifdef VERGENCE_PLAIN_CPU
  return default_probe(ProbeProtocol::adam);
#else
  return default_probe(ProbeProtocol::lbfgs);
#endif
}

void check_probe(const ProbeSettings& settings) {
  const auto positive = [](double value, const char* name) {
    require_usage(std::isfinite(value) && value > 0, "probe: ", name, " is ", value, ", expected a number above 0");
  };
  positive(static_cast<double>(settings.epochs), "epochs");
  positive(static_cast<double>(settings.batch), "batch");
  positive(settings.lr, "the learning rate");
  positive(settings.final_lr, "the final learning rate");
  require_usage(settings.momentum >= 0 && settings.momentum < 1, "probe: momentum is ", settings.momentum,
                ", expected 0 or more, below 1");
  require_usage(std::isfinite(settings.weight_decay) && settings.weight_decay >= 0, "probe: weight decay is ",
                settings.weight_decay, ", expected 0 or more");
}

double applied_lr(const ProbeSettings& settings) {
  const bool scaled = settings.protocol == ProbeProtocol::sgd;
  return scaled ? settings.lr * static_cast<double>(settings.batch) / 256 : settings.lr;
}

double probe_lr(const ProbeSettings& settings, std::int64_t epoch) { return Schedule(rate_of(settings)).at(epoch); }

std::vector<float> LinearClassifier::centered(std::vector<float> features) const {
  if (!center.empty())
    for (std::size_t i = 0; i < features.size(); ++i)
      features[i] = static_cast<float>(features[i] - center[i % center.size()]);
  return features;
}

LinearClassifier initial_classifier(std::int64_t dim, std::int64_t classes, std::uint64_t seed) {
  require(dim > 0 && classes > 0, "probe: a classifier of ", dim, " features and ", classes, " classes");
  LinearClassifier result{dim, classes, {}, {}, {}};
  const float bound = 1 / std::sqrt(static_cast<float>(dim));
  Random random(seed, Purpose::probe, 0, 0, weight_stream);
  for (std::int64_t i = 0; i < dim * classes; ++i) result.weight.push_back(random.uniform(-bound, bound));
  for (std::int64_t i = 0; i < classes; ++i) result.bias.push_back(random.uniform(-bound, bound));
  return result;
}

LinearClassifier train_probe(const Features& train, const ProbeSettings& settings, Backend& backend,
                             const ProbeProgress& progress) {
  check_labeled(train, "probe");
  check_probe(settings);
  if (settings.protocol == ProbeProtocol::lbfgs) return train_logistic(train, settings, progress);
  const Tensor features = upload_features(train, backend);
  ProbeTrainer trainer(initial_classifier(train.dim, train.classes, settings.seed), settings, backend);
  for (std::int64_t epoch = 0; epoch < settings.epochs; ++epoch) {
    const double loss = trainer.epoch(features, train.labels, epoch);
    require_finite(loss, epoch);
    if (progress) progress(epoch + 1, loss);
  }
  return trainer.classifier();
}

LinearClassifier train_probe(const FeatureSource& train, const ProbeSettings& settings, Backend& backend,
                             const ProbeProgress& progress) {
  require(settings.protocol == ProbeProtocol::sgd, "probe: features that change need the protocol sgd, got ",
          name_of(settings.protocol));
  Features features = train(0);
  check_labeled(features, "probe");
  check_probe(settings);
  ProbeTrainer trainer(initial_classifier(features.dim, features.classes, settings.seed), settings, backend);
  for (std::int64_t epoch = 0; epoch < settings.epochs; ++epoch) {
    if (epoch > 0) features = train(epoch);
    const double loss = trainer.epoch(upload_features(features, backend), features.labels, epoch);
    require_finite(loss, epoch);
    if (progress) progress(epoch + 1, loss);
  }
  return trainer.classifier();
}

ProbeAccuracy probe_accuracy(const LinearClassifier& classifier, const Features& test, Backend& backend) {
  const std::vector<float> logits = logits_of(classifier, test, backend);
  std::int64_t top1 = 0, top5 = 0;
  for (std::int64_t i = 0; i < test.rows(); ++i) {
    const float* row = logits.data() + i * classifier.classes;
    const std::int32_t truth = test.labels[static_cast<std::size_t>(i)];
    if (!finite_row(row, classifier.classes)) continue;
    std::int64_t before = 0;
    for (std::int32_t c = 0; c < classifier.classes; ++c)
      before += row[c] > row[truth] || (row[c] == row[truth] && c < truth);
    top1 += before < 1;
    top5 += before < 5;
  }
  const double percent = 100.0 / static_cast<double>(test.rows());
  return {static_cast<double>(top1) * percent, static_cast<double>(top5) * percent};
}

std::vector<std::int32_t> probe_predictions(const LinearClassifier& classifier, const Features& test,
                                            Backend& backend) {
  const std::vector<float> logits = logits_of(classifier, test, backend);
  std::vector<std::int32_t> predicted;
  for (std::int64_t i = 0; i < test.rows(); ++i) {
    const float *row = logits.data() + i * classifier.classes, *end = row + classifier.classes;
    const bool known = finite_row(row, classifier.classes);
    predicted.push_back(known ? static_cast<std::int32_t>(std::max_element(row, end) - row) : -1);
  }
  return predicted;
}

}  // namespace vergence
