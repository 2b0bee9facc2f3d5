// ICL-MSR, our reconstruction of interventional contrastive learning with a meta semantic regularizer (Qiang, Li,
// Zheng, Su, Xiong, ICML 2022): a base method, and the same method under learned interventions on the features. The
// interventions are trained by their effect on the encoder: after one virtual step of the weights under them, is the
// base's own loss low? docs/objectives/icl_msr.md has the formulas and the source of each choice.
#include <algorithm>

#include "engine/graph.h"
#include "engine/ops/ops.h"
#include "ssl/comparison_parts.h"
#include "ssl/method_objective.h"
#include "ssl/objective_list.h"
#include "ssl/objectives/icl_msr/options.h"
#include "ssl/objectives/icl_msr/strata.h"

namespace vergence {
namespace {

class IclMsr final : public MethodObjective {
 public:
  IclMsr(const ObjectiveSetup& setup, const IclMsrOptions& options)
      : MethodObjective(setup, options.base, "--icl_msr.base"),
        options_(options),
        bilevel_(bilevel_options(options)),
        activations_(setup.activations),
        regularizer_(regularizer_settings(options, setup.encoder), init()),
        virtual_rate_(full(backend(), {1}, virtual_rate(options, setup.options), setup.weights)) {
    require_usage(!regularizer_.needs_images() || options.strata <= setup.options.batch,
                  "--icl_msr.strata: ", options.strata,
                  " strata come from as many images of a batch; expected at most --batch, ", setup.options.batch);
    bilevel_.ranks = setup.ranks;
    train_with_base();
    regularizer_parameters_ = ParameterSet(regularizer_.parameters());
    regularizer_optimizer_.emplace(regularizer_parameters_, meta_optimizer_settings(options));
  }

  bool needs_plain() const override { return regularizer_.needs_images(); }

  FreshViews fresh_views() const override {
    return options_.is_bilevel() && options_.outer_views == OuterViews::fresh ? FreshViews::same_images
                                                                              : FreshViews::none;
  }

  void prepare(const StepContext& context) override {
    MethodObjective::prepare(context);
    regularizer_.prepare(init().seed, context.step, context.images * ranks().count());
    due_ = options_.train != RegularizerTraining::fixed && context.step % options_.every == 0;
    if (due_) regularizer_optimizer_->prepare(options_.meta_lr);
  }
  /// 1: the step also trains the regularizer.
  int step_kind() const override { return due_ ? 1 : 0; }

  Step run(const Views& views) override {
    Parts parts;
    const Tensor target = target_features(views.both), features = encode(views);
    const Tensor strata = strata_of(views);
    const Tensor base_loss = base().loss(embed(features, target), &parts);
    parts.emplace_back("base", base_loss);
    Tensor loss = base_loss;
    if (options_.lambda > 0) {
      const Tensor stratified = stratified_loss(parameters_.tensors(), features, target, strata);
      parts.emplace_back("stratified", stratified);
      loss = with_strata(base_loss, stratified);
    }
    describe(strata.detached(), parts);
    if (due_ && options_.train == RegularizerTraining::ordinary) return ordinary_step(loss, strata, parts);
    Step step = update(loss, parts);
    if (due_) meta_step(views, step.parts);
    return step;
  }

  ObjectiveState state() override {
    ObjectiveState all = MethodObjective::state();
    all.parameters.emplace_back("regularizer", regularizer_parameters_);
    all.optimizers.emplace_back("regularizer", &*regularizer_optimizer_);
    return all;
  }

  /// After the first steps, the contrastive part should train the regularizer more than the uniformity does.
  std::string warning(const PartValues& parts, std::int64_t step) const override {
    double contrastive = 0, uniform = 0;
    for (const auto& [name, value] : parts) {
      if (name == "second_order_norm") contrastive = value;
      if (name == "uniformity_norm") uniform = value;
    }
    if (step < 20 || !options_.is_bilevel() || !options_.has_uniformity() || contrastive >= uniform) return {};
    return join("step ", step, ": the regularizer follows the uniformity of its strata (gradient norm ", uniform,
                ") more than the loss after the virtual step (", contrastive,
                "); a smaller --icl_msr.gamma or a larger --icl_msr.virtual_lr helps");
  }

  /// Counts in forward passes of encoder and heads; each stratum costs one pass of the heads.
  StepCost cost(std::int64_t images) const override {
    StepCost all = MethodObjective::cost(images);
    const Cost encoder = encoder_cost(2 * images);
    // NOLINTNEXTLINE(bugprone-parent-virtual-call): without the base method's additions
    const double own = Objective::cost(images).flops / 3, heads = own - encoder.forward_flops;
    const double target = all.flops - 3 * own;
    const double strata = options_.lambda > 0 ? static_cast<double>(options_.strata) * heads : 0;
    const double weights =
        regularizer_.flops(images) + (options_.build == RegularizerBuild::features ? encoder.forward_flops / 2 : 0);
    const double of_strata = (options_.streaming ? 4 : 3) * strata;
    const std::int64_t strata_bytes =
        options_.lambda > 0 && !options_.streaming ? options_.strata * head_bytes(2 * images) : 0;
    all.bytes += strata_bytes;
    double meta = 2 * regularizer_.flops(images);
    if (options_.train == RegularizerTraining::meta) meta += weights;  // its strata come from the new weights
    if (options_.is_bilevel()) {
      const int batches = options_.outer_views == OuterViews::fresh ? 2 : 1;
      meta += 6 * own + batches * target + of_strata;
      if (bilevel_.form == SecondOrder::exact || bilevel_.compare) {
        meta += 2 * encoder.forward_flops + 8 * strata;
        // The virtual step's backward pass and the outer forward pass are in memory at once.
        all.bytes += 2 * (encoder.activation_bytes + head_bytes(2 * images)) + strata_bytes;
      }
      if (bilevel_.form != SecondOrder::exact || bilevel_.compare) meta += 2 * own + 6 * strata;
    }
    all.parameters += regularizer_parameters_.size();
    const double training =
        options_.train == RegularizerTraining::fixed ? 0 : meta / static_cast<double>(options_.every);
    all.flops += of_strata + weights + training;
    if (options_.every > 1) all.occasional += training;
    return all;
  }

 private:
  /// The strata's channel weights [T, C], with their history.
  Tensor strata_of(const Views& views) {
    ForwardMode single = pass();
    single.groups = 1, single.running = nullptr;
    const auto encode = [&](const Tensor& plain) { return encoder_.constant()(plain, single); };
    return regularizer_(views.plain, encode, single);
  }

  /// How heads run when running statistics must not change.
  ForwardMode quiet_heads() {
    ForwardMode quiet = head_pass();
    quiet.running = nullptr;
    return quiet;
  }

  Embeddings embed_quietly(const Tensor& features, const Tensor& target) {
    Embeddings embeddings;
    if (target) embeddings.target = ranks().gather_views(base().embed_target(target, quiet_heads()));
    embeddings.online = ranks().gather_views(base().embed(features, quiet_heads()));
    return embeddings;
  }

  /// Returns the embeddings that the base compares when a stratum's weights [C] scale both sides' features. Targets are
  /// constants.
  Embeddings embed_under(const Tensor& weights, const Tensor& features, const Tensor& target) {
    return embed_quietly(mask_scale(features, weights), target ? mask_scale(target, weights.detached()) : target);
  }

  /// The base's loss under the strata, from features, with the trained parameters `values` already in place.
  Tensor stratified_loss(const Tensors& values, const Tensor& features, const Tensor& target, const Tensor& strata) {
    const bool likelihood = options_.average == StrataAverage::likelihood;
    if (!options_.streaming) {
      std::vector<Embeddings> all;
      for (std::int64_t t = 0; t < strata.rows(); ++t)
        all.push_back(embed_under(reshape(slice(strata, 0, t, 1), {strata.cols()}), features, target));
      return likelihood ? base().stratified_loss(all) : base().Method::stratified_loss(all);
    }
    const auto first_head = static_cast<std::ptrdiff_t>(parameters_of(encoder_).size());
    Tensors shared(values.begin() + first_head, values.end());  // the heads
    shared.push_back(features);
    const Stratum stratum = [this, target, likelihood, first_head](const Tensors& given, const Tensor& weights) {
      Tensors all = parameters_.tensors();
      std::copy(given.begin(), given.end() - 1, all.begin() + first_head);
      return with_parameters(all, [&] {
        const Embeddings embeddings = embed_under(weights, given.back(), target);
        const Tensor log_likelihood = likelihood ? base().log_likelihood(embeddings) : Tensor{};
        return log_likelihood ? log_likelihood : base().loss(embeddings);
      });
    };
    return streamed_loss(stratum, shared, strata);
  }

  /// Combines the base's loss and its loss under the strata into the loss of a step.
  Tensor with_strata(const Tensor& base, const Tensor& stratified) const {
    const Tensor sum = base + options_.lambda * stratified;
    return options_.normalize ? options_.scale() * sum : sum;
  }

  /// The base's loss of views [2N, H, W, 3] with the trained parameters `values`, combined with its loss under strata
  /// if there are any.
  Tensor virtual_loss(const Tensors& values, const Tensor& views, const Tensor& target, const Tensor& strata = {}) {
    return with_parameters(values, [&] {
      ForwardMode quiet = pass();
      quiet.running = nullptr;
      const Tensor features = encoder_(views, quiet);
      const Tensor loss = base().loss(embed_quietly(features, target));
      return strata ? with_strata(loss, stratified_loss(values, features, target, strata)) : loss;
    });
  }

  /// The regularizer's step: after the encoder's, at its new weights. The outer loss uses the same views, or other
  /// views of the same images.
  void meta_step(const Views& views, Parts& parts) {
    const Tensor strata = strata_of(views);
    Tensor gradient = zeros_like(strata.detached());
    if (options_.is_bilevel()) {
      const bool fresh = options_.outer_views == OuterViews::fresh;
      require(!fresh || views.fresh, "icl_msr: --icl_msr.outer_views fresh, but the batch has no fresh views");
      const Tensor outer_views = fresh ? views.fresh : views.both;
      const Tensor target = target_features(views.both);
      const Tensor outer_target = fresh ? target_features(outer_views) : target;
      const BilevelLoss inner = [&](const Tensors& values, const Tensors& meta) {
        return virtual_loss(values, views.both, target, meta[0]);
      };
      const BilevelLoss outer = [&](const Tensors& values, const Tensors&) {
        return virtual_loss(values, outer_views, outer_target);
      };
      const MetaGradient meta =
          meta_gradient(inner, outer, parameters_.tensors(), {strata}, {.lr = virtual_rate_}, bilevel_);
      gradient = meta.gradient[0];
      parts.emplace_back("meta_loss", meta.outer_loss);
      parts.emplace_back("second_order_norm", sqrt(dot(gradient, gradient)));
      append_comparison(meta, parts);
    }
    if (options_.has_uniformity()) {
      const Tensor a = leaf(strata);
      const Tensor apart = options_.gamma * grad({uniformity(a)}, {a})[0];
      parts.emplace_back("uniformity_norm", sqrt(dot(apart, apart)));
      gradient = gradient + apart;
    }
    train_regularizer(
        ranks().sum(grad({strata}, regularizer_parameters_.tensors(), {.seeds = {ranks().share(gradient)}})), parts);
  }

  /// One step of encoder, heads and regularizer on the same loss.
  Step ordinary_step(const Tensor& loss, const Tensor& strata, const Parts& parts) {
    const Tensor whole = options_.has_uniformity() ? loss + options_.gamma * uniformity(strata) : loss;
    Tensors wanted = parameters_.tensors();
    wanted.insert(wanted.end(), regularizer_parameters_.tensors().begin(), regularizer_parameters_.tensors().end());
    const Tensors gradients = ranks().sum(grad({ranks().share(whole)}, wanted));
    const auto first_of_regularizer = gradients.begin() + static_cast<std::ptrdiff_t>(parameters_.count());
    Step step = Step::of(loss, parts);
    parameters_.gather_gradients({gradients.begin(), first_of_regularizer});
    optimizer_->apply();
    after_update();
    train_regularizer({first_of_regularizer, gradients.end()}, step.parts);
    return step;
  }

  void train_regularizer(const Tensors& gradients, Parts& parts) {
    const Tensor& all = regularizer_parameters_.gather_gradients(gradients);
    parts.emplace_back("regularizer_gradient_norm", sqrt(dot(all, all)));
    regularizer_optimizer_->apply();
  }

  /// Adds the log entries about the weights.
  void describe(const Tensor& strata, Parts& parts) const {
    if (options_.strata > 1) parts.emplace_back("uniformity", uniformity(strata));
    parts.emplace_back("strata_mean", mean(strata));
    parts.emplace_back("strata_spread", spread(strata));
  }

  IclMsrOptions options_;
  BilevelOptions bilevel_;
  DType activations_;
  SemanticRegularizer regularizer_;
  Tensor virtual_rate_;
  ParameterSet regularizer_parameters_;
  std::optional<Optimizer> regularizer_optimizer_;
  bool due_ = false;  // this step trains the regularizer
};

}  // namespace

namespace objectives {

ObjectiveEntry icl_msr() {
  return {.name = "icl_msr",
          .title = "ICL-MSR",
          .options = declare_icl_msr,
          .make = [](const ObjectiveSetup& setup) -> std::unique_ptr<Objective> {
            return std::make_unique<IclMsr>(setup, setup.options.components.get<IclMsrOptions>());
          }};
}

}  // namespace objectives
}  // namespace vergence
