// MetaMask (Li, Qiang, Zhang, Mo, Zheng, Su, Xiong: "MetaMask: revisiting dimensional confounder for self-supervised
// learning", NeurIPS 2022): Barlow Twins and InfoNCE on features whose dimensions a learned mask scales. The mask is
// trained by its effect on the encoder: after one virtual step of the weights under it, is the contrastive loss low?
// docs/objectives/metamask.md has the formulas and the source of each choice.
#include <algorithm>
#include <numeric>

#include "engine/bilevel.h"
#include "engine/graph.h"
#include "engine/ops/ops.h"
#include "kernels/draws.h"
#include "ssl/comparison_parts.h"
#include "ssl/losses.h"
#include "ssl/objective_list.h"
#include "ssl/step_value.h"

namespace vergence {
namespace {

/// The mask value that the regular step applies to a dimension: its own, or, as a control, that which a fixed random
/// permutation gives it.
enum class MaskUse { own, permuted };
/// The virtual step: with momentum and weight decay, or only the gradient.
enum class VirtualStep { momentum, plain };
enum class MetaLoss { contrastive, full };
/// The images of the virtual and the outer step: the regular step's, or as many others.
enum class MetaBatch { same, fresh };

struct MetaMaskOptions {
  std::int64_t redundancy_hidden = 2048, redundancy_output = 2048, contrastive_hidden = 2048, contrastive_output = 256;
  double lambda = 5e-3, contrastive_weight = 10, temperature = 0.07;
  bool meta = true, sigmoid = true, fused = false, compare = false;
  SecondOrder second_order = SecondOrder::exact;
  VirtualStep virtual_step = VirtualStep::momentum;
  MetaLoss meta_loss = MetaLoss::contrastive;
  MetaBatch meta_batch = MetaBatch::same;
  MaskUse mask_use = MaskUse::own;
  double radius = 0.01, mask_lr = 1e-3, mask_momentum = 0.9, mask_weight_decay = 5e-4;
};

class MetaMask final : public Objective {
 public:
  explicit MetaMask(const ObjectiveSetup& setup)
      : Objective(setup),
        options_(setup.options.components.get<MetaMaskOptions>()),
        redundancy_head_(make_mlp(
            head(setup, "redundancy_head", 2, options_.redundancy_hidden, options_.redundancy_output), init())),
        contrastive_head_(make_mlp(
            head(setup, "contrastive_head", 1, options_.contrastive_hidden, options_.contrastive_output), init())),
        logits_(full(backend(), {setup.encoder.dim()}, options_.sigmoid ? 0 : 1, setup.weights)),
        rate_(backend(), setup.weights) {
    bilevel_ = {
        .form = options_.second_order, .radius = options_.radius, .compare = options_.compare, .ranks = setup.ranks};
    if (options_.meta && options_.virtual_step == VirtualStep::momentum) check_virtual_step(setup.options, setup.begun);
    require_usage(
        !options_.fused || options_.meta_batch == MetaBatch::same,
        "--metamask.meta_batch: 'fresh' needs a forward pass of its own; expected same with --metamask.fused on");
    if (options_.mask_use == MaskUse::permuted) {
      require_usage(!options_.fused,
                    "--metamask.mask_use: permuted takes a mask into the regular step that the virtual one ",
                    "does not have; expected own with --metamask.fused on");
      order_ = from_indices(backend(), random_order(setup.encoder.dim()));
    }
    set_trained({&contrastive_head_, &redundancy_head_});  // the contrastive loss's parameters come first
    used_ = options_.meta_loss == MetaLoss::full ? parameters_.count()
                                                 : parameters_of(encoder_).size() + tensors_of(contrastive_head_);
    mask_ = ParameterSet({{"mask.logits", &logits_}});
    mask_optimizer_.emplace(mask_, OptimizerSettings{.kind = OptimizerKind::sgd,
                                                     .momentum = options_.mask_momentum,
                                                     .weight_decay = options_.mask_weight_decay});
  }

  FreshViews fresh_views() const override {
    return options_.meta && options_.meta_batch == MetaBatch::fresh ? FreshViews::other_images : FreshViews::none;
  }

  void prepare(const StepContext& context) override {
    Objective::prepare(context);
    mask_optimizer_->prepare(options_.mask_lr * context.lr_share);
    rate_.set(context.lr);
  }

  Step run(const Views& views) override {
    if (!options_.meta) return regular_step(views);
    return options_.fused ? fused_step(views) : successive_steps(views);
  }

  ObjectiveState state() override {
    ObjectiveState all = Objective::state();
    all.parameters.emplace_back("mask", mask_);
    all.optimizers.emplace_back("mask", &*mask_optimizer_);
    return all;
  }

  Tensor feature_mask() const override { return options_.meta ? mask_of(in_use(logits_.detached())) : Tensor{}; }

  /// Counts in forward passes of the network: the regular step 3, the virtual and the outer step 3 each, and the mixed
  /// product 2. Finite differences instead need 2 forward passes and 4 backward passes through only the head.
  StepCost cost(std::int64_t images) const override {
    StepCost all = Objective::cost(images);
    if (!options_.meta) return all;
    const bool exact = bilevel_.form == SecondOrder::exact,
               difference = bilevel_.form == SecondOrder::finite_difference;
    // A backward pass serves both steps; with one loss, its forward and backward pass do.
    const int saved = !options_.fused ? 0 : options_.meta_loss == MetaLoss::full ? 3 : 1;
    const double forwards = 9 - saved + (exact || bilevel_.compare ? 2 : 0) + (difference || bilevel_.compare ? 2 : 0);
    all.flops *= forwards / 3;
    // The virtual step's backward pass and the outer forward pass are in memory at once.
    if (exact || bilevel_.compare)
      all.bytes += 2 * (encoder_cost(2 * images).activation_bytes + head_bytes(2 * images));
    return all;
  }

 private:
  struct Losses {
    Tensor redundancy, contrastive;
  };

  /// Refuses optimizers that the virtual step with momentum does not follow: it is a step of SGD without Nesterov
  /// momentum that decays every weight. Earlier versions allowed --nesterov and --exclude-1d; their runs may go on.
  static void check_virtual_step(const Options& run, bool begun) {
    const auto need = [](bool holds, const char* needed, const std::string& given) {
      require_usage(holds, "--metamask.virtual_step: 'momentum' needs ", needed, "; expected plain with ", given);
    };
    need(run.optimizer == OptimizerKind::sgd, "--optimizer sgd", text_of(optimizer_words, run.optimizer));
    need(begun || !run.nesterov, "--nesterov off", "--nesterov on");
    need(begun || !run.excludes_1d() || run.weight_decay == 0, "--exclude-1d off", "--exclude-1d on");
  }
  static MlpSettings head(const ObjectiveSetup& setup, const char* name, int hidden_layers, std::int64_t hidden,
                          std::int64_t output) {
    MlpSettings settings{
        .name = name, .sizes = {setup.encoder.dim()}, .hidden_norm = true, .last_norm = LastNorm::affine};
    settings.sizes.insert(settings.sizes.end(), static_cast<std::size_t>(hidden_layers), hidden);
    settings.sizes.push_back(output);
    return settings;
  }
  static std::size_t tensors_of(Mlp& mlp) { return parameters_of(mlp).size(); }

  Tensor mask_of(const Tensor& logits) const { return options_.sigmoid ? sigmoid(logits) : logits; }
  Tensor masked(const Tensor& features, const Tensor& logits) const {
    return options_.meta ? mask_scale(features, mask_of(logits)) : features;
  }
  /// The logits as the regular step applies them: a control permutes them among dimensions.
  Tensor in_use(const Tensor& logits) const {
    if (!order_) return logits;
    return reshape(gather_rows(reshape(logits, {logits.size(), 1}), order_), logits.shape);
  }
  std::vector<std::int32_t> random_order(std::int64_t count) const {
    std::vector<std::int32_t> order(static_cast<std::size_t>(count));
    std::iota(order.begin(), order.end(), 0);
    Random random(init().seed, Purpose::mask, 0, hash_name("metamask.mask_use"));
    shuffle(order, random);
    return order;
  }
  Tensor contrastive(const Tensor& features, const ForwardMode& pass) const {
    return nt_xent(ranks().gather_views(contrastive_head_(features, pass)), options_.temperature);
  }
  Tensor redundancy(const Tensor& features, const ForwardMode& pass) const {
    return barlow_twins(ranks().gather_views(redundancy_head_(features, pass)),
                        {.lambda = options_.lambda, .scale = 1, .unbiased = true, .epsilon = 0});
  }
  Tensor regular(const Losses& losses) const {
    return losses.redundancy + options_.contrastive_weight * losses.contrastive;
  }
  Losses losses_of(const Views& views, const Tensor& logits) {
    const Tensor features = masked(encode(views), logits);
    const ForwardMode heads = head_pass();
    return {redundancy(features, heads), contrastive(features, heads)};
  }
  static Parts parts_of(const Losses& losses) {
    return {{"redundancy", losses.redundancy}, {"contrastive", losses.contrastive}};
  }

  Step regular_step(const Views& views) {
    const Losses losses = losses_of(views, in_use(logits_.detached()));
    return update(regular(losses), parts_of(losses));
  }

  /// The parameters that the virtual step changes: the first `used_`.
  Tensors meta_trained() const {
    const Tensors& all = parameters_.tensors();
    return {all.begin(), all.begin() + static_cast<std::ptrdiff_t>(used_)};
  }

  /// The published order: a regular step, then the meta step at the new weights, on the same views or on views of other
  /// images.
  Step successive_steps(const Views& views) {
    const bool others = fresh_views() != FreshViews::none;
    require(!others || views.fresh, "metamask: --metamask.meta_batch fresh, but the batch has no fresh views");
    Step step = regular_step(views);
    const Tensors theta = meta_trained();
    const BilevelLoss loss = meta_loss(others ? views.fresh : views.both);
    update_mask(meta_gradient(loss, loss, theta, {logits_}, inner_step(), bilevel_), step.parts);
    return step;
  }

  /// Takes the virtual step from the regular step's own forward pass, at the old weights: one forward pass less.
  Step fused_step(const Views& views) {
    const Losses losses = losses_of(views, logits_);
    const Tensors theta = meta_trained();
    const bool recorded = bilevel_.form == SecondOrder::exact || bilevel_.compare;
    const bool whole = options_.meta_loss == MetaLoss::full;
    const Tensor inner = whole ? regular(losses) : losses.contrastive;
    const auto gradient_of = [&](const Tensor& loss, const Tensors& wanted, bool create) {
      return ranks().sum(grad({ranks().share(loss)}, wanted, {.create = create, .keep = true}));
    };
    const Tensors of_inner = gradient_of(inner, theta, recorded);
    Tensors gradient = whole ? of_inner : gradient_of(losses.redundancy, parameters_.tensors(), false);
    if (!whole)
      for (std::size_t i = 0; i < used_; ++i)
        gradient[i] = gradient[i] + options_.contrastive_weight * of_inner[i].detached();
    Step step = Step::of(regular(losses), parts_of(losses));
    const BilevelLoss loss = meta_loss(views.both);
    update_mask(meta_gradient({inner, theta, {logits_}, of_inner}, loss, loss, inner_step(), bilevel_), step.parts);
    parameters_.gather_gradients(gradient);
    optimizer_->apply();
    return step;
  }

  /// The loss of the virtual and of the outer step, as a function of weights and logits. Does not change running
  /// statistics.
  BilevelLoss meta_loss(const Tensor& views) {
    return [this, views](const Tensors& weights, const Tensors& meta) {
      Tensors values = parameters_.tensors();
      std::copy(weights.begin(), weights.end(), values.begin());
      return with_parameters(values, [&] {
        ForwardMode encoder_pass = pass(), heads = head_pass();
        encoder_pass.running = heads.running = nullptr;
        const Tensor features = masked(encoder_(views, encoder_pass), meta[0]);
        const Tensor loss = contrastive(features, heads);
        return options_.meta_loss == MetaLoss::full ? regular({redundancy(features, heads), loss}) : loss;
      });
    };
  }

  InnerStep inner_step() {
    InnerStep step{.lr = rate_.tensor()};
    if (options_.virtual_step == VirtualStep::plain) return step;
    const OptimizerSettings& settings = optimizer_->settings();
    step.momentum = settings.momentum, step.weight_decay = settings.weight_decay;
    step.history = parameters_.parts_of(optimizer_->state("momentum"));
    step.history.resize(used_);
    return step;
  }

  /// Takes the mask's step and logs the mask's spread and both parts of its gradient.
  void update_mask(const MetaGradient& meta, Parts& parts) {
    const Tensor& direct = meta.direct[0];
    const auto norm = [](const Tensor& x) { return sqrt(dot(x, x)); };
    const Tensor mask = mask_of(logits_.detached());
    const Shape row{1, mask.size()};
    parts.emplace_back("meta_loss", meta.outer_loss);
    parts.emplace_back("mask_mean", mean(mask));
    parts.emplace_back("mask_min", reshape(neg(max_cols(neg(reshape(mask, row)))), {}));
    parts.emplace_back("mask_max", reshape(max_cols(reshape(mask, row)), {}));
    const Tensor apart = mask - mean(mask);
    parts.emplace_back("mask_deviation", sqrt(dot(apart, apart) / static_cast<double>(mask.size())));
    parts.emplace_back("direct_norm", norm(direct));
    if (!meta.second.empty()) {
      const Tensor& second = meta.second[0];
      parts.emplace_back("second_order_norm", norm(second));
      parts.emplace_back("cosine", dot(direct, second) / clamp_min(norm(direct) * norm(second), 1e-30));
    }
    append_comparison(meta, parts);
    mask_.gather_gradients(meta.gradient);
    mask_optimizer_->apply();
  }

  MetaMaskOptions options_;
  Mlp redundancy_head_, contrastive_head_;
  Tensor logits_;
  Tensor order_;  // i32: the index of the logit that each dimension takes; none: its own
  StepValue rate_;
  BilevelOptions bilevel_;
  std::size_t used_ = 0;  // number of parameters that the meta loss reads: the first ones
  ParameterSet mask_;
  std::optional<Optimizer> mask_optimizer_;
};

void options(OptionBuilder& t) {
  t.number("metamask.lambda", option(&MetaMaskOptions::lambda), ranges::not_negative,
           "redundancy (Barlow Twins) loss: weight of its off-diagonal terms");
  t.number("metamask.contrastive_weight", option(&MetaMaskOptions::contrastive_weight), ranges::not_negative,
           "weight of the contrastive loss; the redundancy loss has weight 1");
  t.number("metamask.temperature", option(&MetaMaskOptions::temperature), ranges::positive,
           "temperature of the contrastive loss");
  t.number("metamask.redundancy_hidden", option(&MetaMaskOptions::redundancy_hidden), ranges::layer,
           "width of the redundancy head's two hidden layers");
  t.number("metamask.redundancy_output", option(&MetaMaskOptions::redundancy_output), ranges::layer,
           "width of the redundancy head's output");
  t.number("metamask.contrastive_hidden", option(&MetaMaskOptions::contrastive_hidden), ranges::layer,
           "width of the contrastive head's hidden layer");
  t.number("metamask.contrastive_output", option(&MetaMaskOptions::contrastive_output), ranges::layer,
           "width of the contrastive head's output");
  t.flag("metamask.meta", option(&MetaMaskOptions::meta), "learn the mask; off: no mask, features as they are");
  t.choice("metamask.mask_use", option(&MetaMaskOptions::mask_use),
           {{"own", MaskUse::own}, {"permuted", MaskUse::permuted}},
           "mask value of a dimension in the regular step: its own, or (permuted, a control) that which a random "
           "permutation gives it");
  t.flag("metamask.sigmoid", option(&MetaMaskOptions::sigmoid),
         "the mask is the sigmoid of its logits; off: the logits themselves, which start at 1");
  t.choice("metamask.second_order", option(&MetaMaskOptions::second_order), second_order_words,
           "how to compute the mixed second derivative in the mask's gradient; none: leave it out");
  t.number("metamask.radius", option(&MetaMaskOptions::radius), ranges::positive,
           "finite differences: length of the step to either side");
  t.flag("metamask.compare", option(&MetaMaskOptions::compare),
         "compute and log both forms (exact, finite_difference) of the mixed derivative");
  t.choice("metamask.virtual_step", option(&MetaMaskOptions::virtual_step),
           {{"momentum", VirtualStep::momentum}, {"plain", VirtualStep::plain}},
           "virtual step: with momentum and weight decay, or (plain) the gradient alone");
  t.choice("metamask.meta_loss", option(&MetaMaskOptions::meta_loss),
           {{"contrastive", MetaLoss::contrastive}, {"full", MetaLoss::full}},
           "loss of the virtual and the outer step: the contrastive loss, or the full loss");
  t.choice("metamask.meta_batch", option(&MetaMaskOptions::meta_batch),
           {{"same", MetaBatch::same}, {"fresh", MetaBatch::fresh}},
           "images of the virtual and the outer step: those of the regular step, or as many others");
  t.flag("metamask.fused", option(&MetaMaskOptions::fused),
         "take the virtual step from the regular step's forward pass, at the old weights: saves a pass");
  t.number("metamask.mask_lr", option(&MetaMaskOptions::mask_lr), ranges::not_negative,
           "learning rate of the mask; follows the schedule, not scaled by the batch");
  t.number("metamask.mask_momentum", option(&MetaMaskOptions::mask_momentum), ranges::below_one,
           "momentum of the mask's SGD");
  t.number("metamask.mask_weight_decay", option(&MetaMaskOptions::mask_weight_decay), ranges::not_negative,
           "weight decay of the mask's logits");
  t.only_with("metamask.meta", {"on"},
              {"metamask.mask_use", "metamask.sigmoid", "metamask.second_order", "metamask.radius", "metamask.compare",
               "metamask.virtual_step", "metamask.meta_loss", "metamask.meta_batch", "metamask.fused",
               "metamask.mask_lr", "metamask.mask_momentum", "metamask.mask_weight_decay"});
  t.idle_with({{"metamask.second_order", {"exact", "none"}}, {"metamask.compare", {"off"}}}, {"metamask.radius"});
}

}  // namespace

namespace objectives {

ObjectiveEntry metamask() {
  return {.name = "metamask",
          .title = "MetaMask",
          .options = options,
          .make = [](const ObjectiveSetup& setup) -> std::unique_ptr<Objective> {
            return std::make_unique<MetaMask>(setup);
          }};
}

}  // namespace objectives
}  // namespace vergence
