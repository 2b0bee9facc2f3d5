// MRCL, our reconstruction of masked reconstruction contrastive learning (Liu, Li, Han, Guo, Nie: "Masked
// reconstruction contrastive learning with information bottleneck principle", arXiv 2211.09013; we know only the
// abstract): a base method on views with erased patches, and a decoder that must reconstruct the whole views.
// docs/objectives/mrcl.md has the formulas and the source of each choice.
#include <algorithm>
#include <array>
#include <cmath>
#include <optional>

#include "engine/ops/ops.h"
#include "models/decoder.h"
#include "models/parts.h"
#include "ssl/method_objective.h"
#include "ssl/objective_list.h"
#include "ssl/objectives/mrcl/reconstruction.h"
#include "ssl/picture_file.h"

namespace vergence {
namespace {

constexpr std::uint32_t picture_view = 2;  // for the masks of pictures; the views of a step are 0 and 1

/// What fills erased patches; token: one learned color.
enum class MaskFill { mean, noise, token };
/// Which views are masked. one: each in turn; one_asym: always the first.
enum class MaskViews { both, one, one_asym, none };
/// The decoder's input.
enum class DecoderInput { pooled, map };
/// The decoder's target. clean: the un-augmented image.
enum class DecoderTarget { unmasked, masked, clean };

struct MrclOptions {
  std::string base = "simclr";
  double alpha = 0.25;
  bool rec_variance = true;
  double mask_ratio = 0.25;
  std::int64_t mask_patch = 0;
  MaskFill mask_fill = MaskFill::mean;
  MaskViews mask_views = MaskViews::one_asym;
  DecoderInput rec_input = DecoderInput::pooled;
  DecoderTarget rec_target = DecoderTarget::unmasked;
  PixelRegion rec_region = PixelRegion::all;
  PixelNorm rec_norm = PixelNorm::l2;
  bool rec_patch_norm = false, rec_detach_encoder = false, target_clean = false;
  std::int64_t decoder_width = 64, recalibrate = 200;
};

class Mrcl final : public MethodObjective {
 public:
  explicit Mrcl(const ObjectiveSetup& setup)
      : MethodObjective(setup, setup.options.components.get<MrclOptions>().base, "--mrcl.base"),
        options_(setup.options.components.get<MrclOptions>()),
        seed_(static_cast<std::uint64_t>(setup.options.seed)),
        activations_(setup.activations),
        weights_(setup.weights),
        grid_(patch_grid(setup.encoder.image_size, options_.mask_patch, "--mrcl.mask_patch")),
        erased_(options_.mask_views == MaskViews::none ? 0 : grid_.count(options_.mask_ratio)),
        channels_(setup.encoder.channels),
        masks_(grid_, erased_, options_.mask_fill == MaskFill::noise, backend(), channels_) {
    check(setup.begun);
    std::vector<NamedTensor> more;
    if (options_.alpha > 0) {
      decoder_ = make_decoder({.features = options_.rec_input == DecoderInput::map ? setup.encoder.shape().map_channels
                                                                                   : setup.encoder.dim(),
                               .image_size = setup.encoder.image_size,
                               .map_size = options_.rec_input == DecoderInput::map ? setup.encoder.map_size() : 0,
                               .width = options_.decoder_width,
                               .image_channels = channels_},
                              init());
      more = parameters_of(*decoder_);
    }
    if (erased_ > 0 && options_.mask_fill == MaskFill::token) {
      token_ = zeros(backend(), {channels_}, weights_);
      more.push_back({"mask_token", &token_});
    }
    train_with_base({}, more);
    const auto sets = state().parameters;
    const bool has_target = std::any_of(sets.begin(), sets.end(), [](auto& set) { return set.first == "target"; });
    require_usage(!options_.target_clean || has_target, "--mrcl.target_clean: ", options_.base,
                  " has no target network; expected a base that has one, such as byol");
  }

  void prepare(const StepContext& context) override {
    MethodObjective::prepare(context);
    if (erased_ > 0) masks_.prepare(seed_, context);
  }

  bool needs_plain() const override { return options_.alpha > 0 && options_.rec_target == DecoderTarget::clean; }

  Step run(const Views& views) override {
    const Tensor masked = erased_ > 0 ? erased(views.both, masks_, token_) : views.both;
    Terms terms;
    if (erased_ == 0 || options_.mask_views == MaskViews::both) {
      terms = terms_of(views, masked, {erased_, erased_});
    } else {
      terms = terms_of(views, halves(masked, views.both), {erased_, 0});
      if (options_.mask_views == MaskViews::one)
        terms = mean_of(terms, terms_of(views, halves(views.both, masked), {0, erased_}));
    }
    Parts& parts = terms.parts;
    parts.emplace_back("contrastive", terms.contrastive);
    if (options_.base == "simclr") {
      const double candidates = static_cast<double>(2 * views.images() * ranks().count() - 1);
      parts.emplace_back("information_bound", std::log(candidates) - terms.contrastive);
    }
    if (!terms.reconstruction) return update(terms.contrastive, parts);
    parts.emplace_back("reconstruction", terms.reconstruction);
    const Tensor loss = terms.contrastive + options_.alpha * terms.reconstruction;
    parts.emplace_back("reconstruction_share", options_.alpha * terms.reconstruction / loss);
    return update(loss, parts);
  }

  Pictures pictures(const Tensor& images) override {
    if (erased_ == 0 && !decoder_) return {};
    Tensors columns{images};
    Tensor seen = images;
    if (erased_ > 0) {
      PatchMasks masks(grid_, erased_, options_.mask_fill == MaskFill::noise, backend(), channels_);
      masks.prepare_fixed(seed_, images.shape[0], picture_view);
      seen = erased(images, masks, token_).detached();
      columns.push_back(seen);
    }
    if (decoder_) {
      ForwardMode evaluation = pass();
      evaluation.training = false, evaluation.groups = 1;
      const Tensor map = encoder_.feature_map(seen, evaluation);
      Tensor image =
          (*decoder_)(options_.rec_input == DecoderInput::map ? map : encoder_.features_of(map), evaluation).detached();
      const Tensor& wanted = options_.rec_target == DecoderTarget::masked ? seen : images;
      if (options_.rec_patch_norm) image = restore_patches(image, patch_statistics(wanted, grid_), grid_);
      if (by_variance()) image = image * channel_deviations(colors(wanted));
      columns.push_back(image);
    }
    return side_by_side(columns);
  }

  std::int64_t recalibration_batches() const override { return options_.recalibrate; }

  StepCost cost(std::int64_t images) const override {
    StepCost all = MethodObjective::cost(images);
    const int passes = erased_ > 0 && options_.mask_views == MaskViews::one ? 2 : 1;
    all.flops *= passes;
    const std::int64_t kept = images_at_a_time(2 * images);
    const int kept_passes = kept < 2 * images ? 1 : passes;
    all.bytes += (kept_passes - 1) * encoder_cost(2 * images).activation_bytes;
    if (decoder_) {
      all.flops += 3 * passes * decoder_->flops(2 * images);
      all.bytes += kept_passes * decoder_->kept_values(kept) * size_of(activations_);
    }
    return all;
  }

 private:
  /// The terms of the loss; each part is a mean over the passes of a step.
  struct Terms {
    Tensor contrastive, reconstruction;  // reconstruction: of both views together; none without a decoder
    Parts parts;                         // of the base's loss
  };

  /// Earlier versions trained without masks if the ratio rounds to none; their runs may go on.
  void check(bool begun) const {
    const auto patches = static_cast<double>(grid_.patches());
    require_usage(begun || erased_ > 0 || options_.mask_ratio == 0 || options_.mask_views == MaskViews::none,
                  "--mrcl.mask_ratio: ", options_.mask_ratio, " of an image's ", grid_.patches(),
                  " patches rounds to none; expected at least ", 1 / patches, ", one patch, or 0 for no mask");
    if (options_.alpha == 0) return;
    require_usage(!options_.rec_patch_norm || grid_.patch * grid_.patch * channels_ > 1,
                  "--mrcl.mask_patch: a patch of one pixel of one channel has no deviation for --mrcl.rec_patch_norm ",
                  "on; expected larger patches, or --mrcl.rec_patch_norm off");
    require_usage(options_.rec_region != PixelRegion::masked || erased_ > 0,
                  "--mrcl.rec_region: masked counts erased patches, and ",
                  "none is erased; expected a larger --mrcl.mask_ratio, or all");
    require_usage(options_.rec_region != PixelRegion::visible || erased_ < grid_.patches(),
                  "--mrcl.rec_region: visible counts ",
                  "patches that are left, and all are erased; expected a smaller --mrcl.mask_ratio, or all");
  }

  /// Returns the images with their patches erased.
  Tensor erased(const Tensor& images, const PatchMasks& masks, const Tensor& token) const {
    Tensor fill = token ? cast(token, images.dtype) : masks.noise(images.dtype);
    const std::int64_t channels = images.shape[3];  // may exceed the images' channels: alignment zeros, which stay
    if (fill && channels > channels_) fill = pad(fill, -1 + fill.shape.rank(), 0, channels);
    return erase(images, masks.lines(images.dtype), fill, grid_);
  }

  /// Returns the color channels of images of any type, in the master type.
  Tensor colors(const Tensor& images) const {
    return cast(images.shape[3] > channels_ ? slice(images, 3, 0, channels_) : images, weights_);
  }

  /// One pass of encoder and heads over views, some of them masked: `erased` patches in each image.
  Terms terms_of(const Views& views, const Tensor& seen, const std::array<std::int64_t, 2>& erased) {
    const Tensor target_side = target_features(options_.target_clean ? views.both : seen.detached());
    const Tensor map = encoder_.feature_map(seen, pass()), features = encoder_.features_of(map);
    Terms terms;
    terms.contrastive = base().loss(embed(features, target_side), &terms.parts);
    if (!decoder_) return terms;
    const Tensor input = options_.rec_input == DecoderInput::map ? map : features;
    const Tensor images =
        in_parts(*decoder_, options_.rec_detach_encoder ? input.detached() : input, head_pass(), 2,
                 [](const Decoder& decoder, const Tensor& x, const ForwardMode& mode) { return decoder(x, mode); });
    const ReconstructionLoss loss{grid_, options_.rec_region, options_.rec_norm, options_.rec_patch_norm};
    const Tensor lines = options_.rec_region != PixelRegion::all && erased_ > 0 ? masks_.lines(weights_) : Tensor{};
    Tensor target = wanted(views, seen);
    if (by_variance()) target = target / channel_deviations(target, ranks());
    terms.reconstruction = reconstruction_of_views(images, target, lines, erased, loss);
    if (terms.reconstruction) terms.reconstruction = ranks().mean(terms.reconstruction);
    return terms;
  }

  /// Whether the decoder outputs images in units of their channels' deviations. Normalized patches already have units.
  bool by_variance() const { return options_.rec_variance && !options_.rec_patch_norm; }

  /// Returns the decoder's target.
  Tensor wanted(const Views& views, const Tensor& seen) const {
    if (options_.rec_target == DecoderTarget::clean) return concat({colors(views.plain), colors(views.plain)}, 0);
    return colors(options_.rec_target == DecoderTarget::masked ? seen.detached() : views.both);
  }

  static Terms mean_of(const Terms& a, const Terms& b) {
    const auto mean = [](const Tensor& x, const Tensor& y) { return 0.5 * (x + y); };
    Terms terms{mean(a.contrastive, b.contrastive), {}, {}};
    if (a.reconstruction) terms.reconstruction = mean(a.reconstruction, b.reconstruction);
    for (std::size_t i = 0; i < a.parts.size(); ++i)
      terms.parts.emplace_back(a.parts[i].first, mean(a.parts[i].second, b.parts[i].second));
    return terms;
  }

  MrclOptions options_;
  std::uint64_t seed_;
  DType activations_, weights_;
  PatchGrid grid_;
  std::int64_t erased_;    // patches per image in a masked view
  std::int64_t channels_;  // of the images
  PatchMasks masks_;
  std::optional<Decoder> decoder_;
  Tensor token_;  // [channels], or none
};

void options(OptionBuilder& t) {
  t.registered("mrcl.base", option(&MrclOptions::base), method_names(), "base method whose loss compares the views");
  t.number("mrcl.alpha", option(&MrclOptions::alpha), ranges::not_negative,
           "weight of the reconstruction loss; 0: no decoder");
  t.flag(
      "mrcl.rec_variance", option(&MrclOptions::rec_variance),
      "scale reconstruction targets to unit variance per channel, so that alpha does not depend on the normalization");
  t.number("mrcl.mask_ratio", option(&MrclOptions::mask_ratio), ranges::unit,
           "share of the patches to erase; 0: no mask");
  t.number("mrcl.mask_patch", option(&MrclOptions::mask_patch), ranges::from(0, 4096),
           "height and width of a patch in pixels; 0: an eighth of the image, or 32 for images of 224 or more");
  t.choice("mrcl.mask_fill", option(&MrclOptions::mask_fill),
           {{"mean", MaskFill::mean}, {"noise", MaskFill::noise}, {"token", MaskFill::token}},
           "what fills erased patches: the mean color, noise, or one learned color (token)");
  t.choice("mrcl.mask_views", option(&MrclOptions::mask_views),
           {{"both", MaskViews::both},
            {"one", MaskViews::one},
            {"one_asym", MaskViews::one_asym},
            {"none", MaskViews::none}},
           "which views are masked; one: each in turn, at twice the cost; one_asym: only the first");
  t.choice("mrcl.rec_input", option(&MrclOptions::rec_input),
           {{"pooled", DecoderInput::pooled}, {"map", DecoderInput::map}},
           "input of the decoder: pooled features, or the last feature map");
  t.choice("mrcl.rec_target", option(&MrclOptions::rec_target),
           {{"unmasked", DecoderTarget::unmasked}, {"masked", DecoderTarget::masked}, {"clean", DecoderTarget::clean}},
           "what the decoder reconstructs: the views un-masked or masked, or (clean) the un-augmented image");
  t.choice("mrcl.rec_region", option(&MrclOptions::rec_region),
           {{"all", PixelRegion::all}, {"masked", PixelRegion::masked}, {"visible", PixelRegion::visible}},
           "pixels that count in the reconstruction loss: all, the erased ones, or the others");
  t.choice("mrcl.rec_norm", option(&MrclOptions::rec_norm), {{"l2", PixelNorm::l2}, {"l1", PixelNorm::l1}},
           "reconstruction loss: squared (l2) or absolute (l1) differences");
  t.flag("mrcl.rec_patch_norm", option(&MrclOptions::rec_patch_norm),
         "normalize reconstruction targets to mean 0 and standard deviation 1 in each patch");
  t.flag("mrcl.rec_detach_encoder", option(&MrclOptions::rec_detach_encoder),
         "the reconstruction loss trains only the decoder, not the encoder");
  t.flag("mrcl.target_clean", option(&MrclOptions::target_clean),
         "the base's target network (BYOL) sees the un-masked views");
  t.number("mrcl.decoder_width", option(&MrclOptions::decoder_width), ranges::from(1, 4096),
           "width of the decoder; 64: the published channels, other values scale them in proportion");
  t.number("mrcl.recalibrate", option(&MrclOptions::recalibrate), ranges::not_negative,
           "re-estimate the encoder's batch norm statistics after training on N batches of un-masked images; 0: keep "
           "those of training");
  t.idle_with({{"mrcl.alpha", {"0"}}},
              {"mrcl.rec_variance", "mrcl.rec_input", "mrcl.rec_target", "mrcl.rec_region", "mrcl.rec_norm",
               "mrcl.rec_patch_norm", "mrcl.rec_detach_encoder", "mrcl.decoder_width"});
  t.only_with("mrcl.rec_patch_norm", {"off"}, {"mrcl.rec_variance"});
  t.idle_with({{"mrcl.mask_ratio", {"0"}}}, {"mrcl.mask_fill", "mrcl.mask_views", "mrcl.target_clean"});
  t.idle_with({{"mrcl.mask_views", {"none"}}}, {"mrcl.mask_fill", "mrcl.target_clean"});
}

}  // namespace

namespace objectives {

ObjectiveEntry mrcl() {
  return {
      .name = "mrcl",
      .title = "MRCL",
      .options = options,
      .make = [](const ObjectiveSetup& setup) -> std::unique_ptr<Objective> { return std::make_unique<Mrcl>(setup); }};
}

}  // namespace objectives
}  // namespace vergence
