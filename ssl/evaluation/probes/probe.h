// Linear probes: how well a linear classifier does on frozen features. There are three protocols; each keeps the
// classifier of its last step, never the best one on the test set. The same settings and seed give the same result.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "engine/text/enum_words.h"
#include "kernels/backend.h"
#include "ssl/evaluation/features/matrix.h"

namespace vergence {

enum class ProbeProtocol {
  adam,  // fixed features, Adam, exponentially decaying learning rate (Ermolov et al., ICML 2021: W-MSE)
  sgd,   // features of newly augmented images in every epoch, SGD with momentum
  lbfgs  // multinomial logistic regression with an L2 penalty on standardized features, to convergence
};
enum class ProbeSchedule { exponential, cosine, step /* a tenth after 60 % and again after 80 % of the epochs */ };

inline constexpr Word<ProbeProtocol> probe_protocol_words[]{
    {"lbfgs", ProbeProtocol::lbfgs}, {"adam", ProbeProtocol::adam}, {"sgd", ProbeProtocol::sgd}};
inline constexpr Word<ProbeSchedule> probe_schedule_words[]{
    {"exponential", ProbeSchedule::exponential}, {"step", ProbeSchedule::step}, {"cosine", ProbeSchedule::cosine}};
const char* name_of(ProbeProtocol protocol);
const char* name_of(ProbeSchedule schedule);

struct ProbeSettings {
  ProbeProtocol protocol = ProbeProtocol::adam;
  std::int64_t epochs = 500;  // lbfgs: the maximum number of iterations
  std::int64_t batch = 1000;  // the last batch of an epoch may be smaller; unused by lbfgs
  double lr = 1e-2;           // in the first epoch; sgd: per 256 images, see applied_lr; unused by lbfgs
  double final_lr = 1e-6;     // exponential: approached as lr (final_lr / lr)^(epoch / epochs)
  ProbeSchedule schedule = ProbeSchedule::exponential;
  double momentum = 0.9;       // sgd
  double weight_decay = 5e-6;  // lbfgs: lambda in mean loss + lambda/2 |W|^2, no penalty on biases
  std::uint64_t seed = 1;      // for the initial weights and the order of the examples
};

/// Returns the protocol's published settings. `batch` 0 means the protocol's own (adam 1000, sgd 256).
ProbeSettings default_probe(ProbeProtocol protocol, std::int64_t batch = 0);

/// Returns the default of linear_probe: lbfgs, or adam in a build without liblbfgs. Other evaluations, which train many
/// probes, use it too.
ProbeSettings quick_probe();

/// Throws UsageError for a setting out of range.
void check_probe(const ProbeSettings& settings);

/// Returns the learning rate that is applied in the first epoch: lr, of sgd times batch / 256.
double applied_lr(const ProbeSettings& settings);

/// Returns the learning rate that is applied in `epoch` (counted from 0).
double probe_lr(const ProbeSettings& settings, std::int64_t epoch);

/// How a fit by L-BFGS ended: converged, or cut short by the maximum number of iterations or by rounding.
struct Convergence {
  bool reached = false;
  std::int64_t iterations = 0;
};

/// logits = (x - center) W^T + b. The center lies among the features, so logits keep their precision far from the
/// origin.
struct LinearClassifier {
  std::int64_t dim = 0, classes = 0;
  std::vector<float> weight;                              // [classes, dim]
  std::vector<float> bias;                                // [classes]
  std::vector<double> center = {};                        // [dim]; empty: the origin
  std::optional<Convergence> convergence = std::nullopt;  // of lbfgs alone

  /// Subtracts the center from rows of features: [rows, dim].
  std::vector<float> centered(std::vector<float> features) const;
};

/// Returns a probe's initial weights: uniform in +-1/sqrt(dim), from (seed, Purpose::probe).
LinearClassifier initial_classifier(std::int64_t dim, std::int64_t classes, std::uint64_t seed);

/// Returns the features of the training images in one epoch (counted from 0), always in the same order.
using FeatureSource = std::function<Features(std::int64_t epoch)>;
/// Called after each epoch with its number (from 1) and its mean loss, for progress lines. May be empty.
using ProbeProgress = std::function<void(std::int64_t epoch, double loss)>;

/// Trains on fixed features. `settings.protocol` is adam, lbfgs, or sgd (then without augmentation).
LinearClassifier train_probe(const Features& train, const ProbeSettings& settings, Backend& backend,
                             const ProbeProgress& progress = {});
/// Trains with SGD on features that change from epoch to epoch.
LinearClassifier train_probe(const FeatureSource& train, const ProbeSettings& settings, Backend& backend,
                             const ProbeProgress& progress = {});

struct ProbeAccuracy {
  double top1 = 0, top5 = 0;  // percent
};
/// Computes top-1 and top-5. The smaller of classes with equal logits comes first; a non-finite logit is never a hit.
ProbeAccuracy probe_accuracy(const LinearClassifier& classifier, const Features& test, Backend& backend);

/// Returns the class of the largest logit of every row: the smaller of equal ones, -1 if a logit is not finite.
std::vector<std::int32_t> probe_predictions(const LinearClassifier& classifier, const Features& test, Backend& backend);

}  // namespace vergence
