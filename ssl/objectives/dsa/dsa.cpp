// DSA, the Dynamic Semantic Adjuster (Song, Qiang, Zheng, Sun, Xiong: "On the discriminability of self-supervised
// representation learning", arXiv 2407.13541): adds to a base method a loss that attracts or repels pairs of different
// images according to a learned matrix of their similarities. docs/objectives/dsa.md has the formulas and the source of
// each choice.
#include <algorithm>
#include <numbers>

#include "engine/ops/ops.h"
#include "ssl/losses.h"
#include "ssl/method_objective.h"
#include "ssl/objective_list.h"
#include "ssl/objectives/dsa/loss.h"
#include "ssl/objectives/dsa/options.h"
#include "ssl/objectives/dsa/stage1.h"

namespace vergence {
namespace {

class Dsa final : public MethodObjective {
 public:
  Dsa(const ObjectiveSetup& setup, const DsaOptions& options)
      : MethodObjective(setup, options.base, "--dsa.base"),
        options_(options),
        settings_(resolve(options, setup.options.batch, setup.begun || options.has_stage1())),
        share_(backend(), DType::f64),
        lambda1_(backend(), setup.weights),
        tau_(full(backend(), {1}, options.tau_p, DType::f64)) {
    if (settings_.needs_network()) network_ = make_prior(settings_.network, setup, encoder_);
    if (settings_.calibrates()) calibration_ = ParameterSet({{"tau", &tau_}}, Role::constant);
    std::vector<NamedTensor> more;
    if (settings_.adds() && settings_.arranges) {
      // Runs the base's embedding on a few features to find its width.
      const Tensor few = zeros(backend(), {4, setup.encoder.dim()}, setup.weights);
      arranging_ = make_arranging(settings_.mode, settings_.output, base().embed(few, {.groups = 2}).cols(), init());
      more = parameters_of(arranging_);
    }
    train_with_base({}, more);
  }

  bool needs_plain() const override { return settings_.scores; }

  void prepare(const StepContext& context) override {
    MethodObjective::prepare(context);
    if (network_ && network_->copy()) network_->copy()->prepare(context);
    const bool running = settings_.temperature == PriorTemperature::running;
    calibrating_ = settings_.calibrates() && (running || context.step < options_.calibration_batches);
    if (calibrating_) share_.set(1 / static_cast<double>(std::min(context.step + 1, options_.calibration_batches)));
    // Like a warm-up, the rise does not start again with the schedule.
    const bool risen = context.first_step > 0;
    if (rises())
      lambda1_.set(settings_.adjusting * (risen ? 1 : adjusting_share(options_, context.step, context.steps)));
  }
  int step_kind() const override { return calibrating_ ? 1 : 0; }

  Step run(const Views& views) override {
    Parts parts;
    const Tensor target = target_features(views.both);
    const Embeddings embeddings = embed(encode(views), target);
    const Tensor base_loss = base().loss(embeddings, &parts);
    if (!settings_.adds()) return update(base_loss, parts);
    parts.emplace_back("base", base_loss);
    const std::array<Pair, 4> pairs = pairs_of(embeddings);
    const Blocks prior = settings_.compares() ? prior_blocks(views) : Blocks{};
    const Blocks matrices = settings_.arranges ? arranged(pairs) : prior;
    Tensor loss = base_loss, scores;
    if (settings_.adjusting > 0) {
      if (settings_.scores) scores = scores_of(views);
      const Tensor adjusting = adjusting_loss(distances(pairs), for_adjusting(matrices), scores, options_.tau_w);
      loss = loss + (rises() ? adjusting * reshape(lambda1_.tensor(), {}) : settings_.adjusting * adjusting);
      parts.emplace_back("adjusting", adjusting);
      if (scores) parts.emplace_back("score", mean(scores));
    }
    if (settings_.prior > 0) {
      const Tensor prior_term = prior_loss(matrices, prior, settings_.mean_prior);
      loss = loss + settings_.prior * prior_term;
      parts.emplace_back("prior", prior_term);
    }
    parts.emplace_back("similarity", mean(concat({matrices.begin(), matrices.end()}, 0)));
    parts.emplace_back("attracted", attracted_share(matrices));
    if (settings_.compares()) parts.emplace_back("tau_p", tau_);
    Step step = update(loss, parts);
    if (scores) step.distributions.emplace_back("scores", scores.detached());
    return step;
  }

  void after_update() override {
    MethodObjective::after_update();
    if (network_ && network_->copy()) network_->copy()->follow(parameters_);
  }

  ObjectiveState state() override {
    ObjectiveState all = MethodObjective::state();
    if (network_ && network_->copy()) all.parameters.emplace_back("prior", network_->copy()->parameters());
    if (settings_.calibrates()) all.parameters.emplace_back("calibration", calibration_);
    return all;
  }

  StepCost cost(std::int64_t images) const override {
    StepCost all = MethodObjective::cost(images);
    if (!settings_.adds()) return all;
    if (network_)
      all.flops += network_->flops((settings_.compares() ? 2 : 0) * images + (settings_.scores ? images : 0));
    if (network_ && network_->copy()) all.parameters += network_->copy()->parameters().size();
    if (network_ && settings_.network.net != PriorNet::pixels)
      all.bytes += all.encoder_parameters * size_of(init().dtype);
    if (settings_.arranges) all.flops += 3 * 4 * arranging_.flops(images);
    all.shared_bytes = 4 * 12 * images * images * size_of(DType::f64);  // about a dozen matrices per block
    all.bytes += all.shared_bytes;
    return all;
  }

 private:
  /// The rows i and the columns j of one block.
  struct Pair {
    Tensor p, q;
  };

  /// Blocks 11, 22, 12, 21. With a momentum encoder, its embeddings are the second view in 12 and 21.
  static std::array<Pair, 4> pairs_of(const Embeddings& embeddings) {
    const Tensor first = view(embeddings.online, 0), second = view(embeddings.online, 1);
    if (!embeddings.target) return {{{first, first}, {second, second}, {first, second}, {second, first}}};
    return {
        {{first, first}, {second, second}, {first, view(embeddings.target, 1)}, {second, view(embeddings.target, 0)}}};
  }

  static Blocks distances(const std::array<Pair, 4>& pairs) {
    Blocks blocks;
    for (std::size_t k = 0; k < blocks.size(); ++k) blocks[k] = unit_distances(pairs[k].p, pairs[k].q);
    return blocks;
  }

  Blocks arranged(const std::array<Pair, 4>& pairs) const {
    Blocks blocks;
    for (std::size_t k = 0; k < blocks.size(); ++k) {
      const Tensor &p = pairs[k].p, &q = pairs[k].q;
      if (k >= 2 && settings_.same_view)
        blocks[k] = blocks[k - 2];
      else
        blocks[k] = settings_.detach_embeddings ? arranging_(p.detached(), q.detached()) : arranging_(p, q);
    }
    return blocks;
  }

  Blocks for_adjusting(Blocks matrices) const {
    if (options_.detach_matrix)
      for (Tensor& matrix : matrices) matrix = matrix.detached();
    return matrices;
  }

  /// exp(-distance / tau) of the prior's features, for both views.
  Blocks prior_blocks(const Views& views) {
    const Tensor features = ranks().gather_views(network_->features(views.both, pass()));
    const Tensor first = view(features, 0), second = view(features, 1), cross = unit_distances(first, second);
    const Blocks apart{unit_distances(first, first), unit_distances(second, second), cross, transpose(cross)};
    if (calibrating_) calibrate({apart[0], apart[1], apart[2]});
    Blocks blocks;
    for (std::size_t k = 0; k < blocks.size(); ++k) blocks[k] = cast(exp(neg(apart[k] / tau_)), head_type());
    return blocks;
  }

  /// Moves tau by `share_` of the way to the temperature at which a share `quantile` of this batch's pairs have a
  /// similarity above 1/2. Over the first batches, tau thus becomes the mean of these temperatures.
  void calibrate(const Tensors& apart) {
    constexpr double most = 2, least = 1e-3;  // of unit vectors; `least` keeps the temperature above 0 if all are alike
    const Tensor now = clamp_min(off_diagonal_quantile(apart, options_.quantile, most), least) / std::numbers::ln2;
    assign(tau_, tau_ + (now - tau_) * share_.tensor());
  }

  Tensor scores_of(const Views& views) {
    require(views.plain.data != nullptr, "dsa: the un-augmented images are missing");
    ForwardMode single = pass();
    single.groups = 1;
    const Tensor graph = neighbors(ranks().gather(network_->features(views.plain, single)), options_.eta);
    return cast(anchor_scores(graph, options_.eta, settings_.mu), head_type());
  }

  /// Whether lambda1 changes from step to step.
  bool rises() const { return settings_.adjusting > 0 && (options_.warmup > 0 || options_.ramp > 0); }

  DType head_type() const { return parameters_.flat().dtype; }

  DsaOptions options_;
  DsaSettings settings_;
  StepValue share_;    // weight of this batch in tau, during calibration
  StepValue lambda1_;  // of this step, if it rises
  Tensor tau_;         // the prior's temperature, [1]
  ParameterSet calibration_;
  bool calibrating_ = false;
  std::unique_ptr<PriorNetwork> network_;
  Arranging arranging_;
};

}  // namespace

namespace objectives {

ObjectiveEntry dsa() {
  return {.name = "dsa",
          .title = "DSA",
          .options = declare_dsa,
          .make = [](const ObjectiveSetup& setup) -> std::unique_ptr<Objective> {
            return std::make_unique<Dsa>(setup, setup.options.components.get<DsaOptions>());
          },
          .first_run = dsa_stage1,
          .take_encoder = take_stage1_encoder,
          .notice = [](const Options& options, const ViewSettings& view) -> std::string {
            const DsaSettings settings = resolve(options.components.get<DsaOptions>(), options.batch, true);
            return settings.needs_network() ? prior_notice(settings.network, view) : "";
          }};
}

}  // namespace objectives
}  // namespace vergence
