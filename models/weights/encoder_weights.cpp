#include "models/weights/encoder_weights.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <set>

#include "engine/text/printable.h"
#include "engine/text/words.h"
#include "models/enough_values.h"

namespace vergence {
namespace {

using Sizes = std::vector<std::int64_t>;
using Layout = std::string (*)(const std::string& name);

std::string replaced(std::string text, std::string_view from, std::string_view to) {
  const std::size_t at = text.find(from);
  return at == std::string::npos ? text : text.replace(at, from.size(), to);
}

/// Names in a torch.nn.Sequential of a ResNet's children: conv1 is 0, bn1 is 1, layer1 is `first_stage`.
std::string sequential(const std::string& name, int first_stage) {
  if (name.starts_with("conv1.")) return join("0", name.substr(5));
  if (name.starts_with("bn1.")) return join("1", name.substr(3));
  if (!name.starts_with("layer") || name.size() < 7 || name[6] != '.') return name;
  return join(name[5] - '1' + first_stage, name.substr(6));
}

std::string with_shortcut(const std::string& name) { return replaced(name, ".downsample.", ".shortcut."); }

/// How other programs name an encoder's tensors.
constexpr Layout layouts[]{
    [](const std::string& name) { return name; },
    [](const std::string& name) { return sequential(name, 4); },  // torchvision's: after ReLU and pooling
    [](const std::string& name) { return with_shortcut(name); },  // lightly's ResNetGenerator
    [](const std::string& name) { return with_shortcut(sequential(name, 2)); },  // its children in a Sequential
};

/// A moving average, or a network with other names that is trained beside the encoder.
bool is_copy(const std::string& prefix) {
  for (const char* word : {"momentum", "teacher", "target", "ema", "encoder_k", "key"})
    if (prefix.find(word) != std::string::npos) return true;
  return false;
}

/// "", and every beginning of a name that ends with a dot.
std::set<std::string> prefixes_of(const std::vector<StoredTensor>& tensors) {
  std::set<std::string> prefixes{""};
  for (const StoredTensor& tensor : tensors)
    for (std::size_t dot = tensor.name.find('.'); dot != std::string::npos; dot = tensor.name.find('.', dot + 1))
      prefixes.insert(tensor.name.substr(0, dot + 1));
  return prefixes;
}

/// How many values the tensors have together, at most 2^50.
std::int64_t values_in(const std::vector<StoredTensor>& tensors) {
  constexpr std::int64_t most = std::int64_t{1} << 50;
  std::int64_t sum = 0;
  for (const StoredTensor& tensor : tensors) {
    std::int64_t values = 1;
    for (const std::int64_t size : tensor.shape)
      values = size > most / std::max<std::int64_t>(values, 1) ? most : values * size;
    sum = std::min(sum + values, most);
  }
  return sum;
}

std::string quoted(const std::string& prefix) {
  return prefix.empty() ? "no prefix" : join("'", shortened(prefix), "'");
}

/// The first names, and how many more there are.
std::string some_of(const std::vector<std::string>& names) {
  constexpr std::size_t most = 6;
  std::string text;
  for (std::size_t i = 0; i < std::min(names.size(), most); ++i) text += (i ? ", " : "") + shortened(names[i]);
  return names.size() > most ? join(text, " and ", names.size() - most, " more") : text;
}

bool is_statistic(const std::string& name) {
  return name.ends_with(".running_mean") || name.ends_with(".running_var") || name.ends_with(".num_batches_tracked");
}

using Places = std::map<std::string, std::size_t, std::less<>>;

/// Whether solo-learn names an encoder so: a classifier is always beside it.
bool is_solo_learns(const std::string& prefix, const Places& places) {
  if (prefix.empty()) return false;
  const std::size_t dot = prefix.find_last_of('.', prefix.size() - 2), begin = dot == std::string::npos ? 0 : dot + 1;
  const std::string module = prefix.substr(begin);
  for (const char* name : {"backbone.", "momentum_backbone.", "encoder.", "momentum_encoder."})
    if (module == name) return places.contains(prefix.substr(0, begin) + "classifier.weight");
  return false;
}

/// solo-learn's 3x3 stem, a word of the option `stem`.
constexpr std::string_view solo_learns_stem = "cifar_padding2";

/// The settings with that stem, if the family has stems.
EncoderSettings with_solo_learns_stem(const EncoderFamily& family, EncoderSettings settings) {
  for (const EncoderOption& option : family.options)
    if (const auto* choice = std::get_if<EncoderOption::Choice>(&option.field); choice && option.name == "stem")
      choice->set(settings.components, solo_learns_stem);
  return settings;
}

bool has_solo_learns_stem(const EncoderSettings& settings) {
  for (const auto& [name, value] : settings.described())
    if (const auto* word = std::get_if<std::string>(&value); word && name == "stem") return *word == solo_learns_stem;
  return false;
}

/// All families that recognize their encoders, that of `encoder` first.
std::vector<const EncoderFamily*> recognizing_families(const std::string& encoder) {
  std::vector<const EncoderFamily*> families;
  for (const EncoderFamily& family : encoder_families())
    if (family.recognize) families.push_back(&family);
  std::stable_partition(families.begin(), families.end(), [&](const EncoderFamily* family) {
    return std::find(family->names.begin(), family->names.end(), encoder) != family->names.end();
  });
  return families;
}

struct FoundEncoder {
  std::string prefix;
  Layout layout;
  EncoderSettings settings;
};

/// The encoder whose tensors' names begin with `prefix`, if there is one. Throws UsageError for a variant of a family
/// that is none of its encoders.
std::optional<FoundEncoder> recognized_under(const std::string& prefix, const TensorFile& file, const Places& places,
                                             const EncoderSettings& like, bool stem_given) {
  std::string refusal;
  for (const Layout layout : layouts)
    for (const EncoderFamily* family : recognizing_families(like.encoder)) {
      const auto shape_of = [&](const std::string& name) {
        const auto place = places.find(prefix + layout(name));
        return place == places.end() ? nullptr : &file.tensors()[place->second].shape;
      };
      const bool solo_learns = !stem_given && layout == layouts[0] && is_solo_learns(prefix, places);
      try {
        const auto settings = family->recognize(shape_of, solo_learns ? with_solo_learns_stem(*family, like) : like);
        if (settings) return FoundEncoder{prefix, layout, *settings};
      } catch (const UsageError& error) {
        if (refusal.empty()) refusal = error.what();
      }
    }
  require_usage(refusal.empty(), file.path(), ": ", prefix.empty() ? "" : join("under ", quoted(prefix), ": "),
                refusal);
  return std::nullopt;
}

/// The only encoder besides moving averages. Throws UsageError if there is none or there are several.
FoundEncoder only_one(std::vector<FoundEncoder> found, const TensorFile& file, const std::string& prefix,
                      const char* remedy) {
  if (found.size() > 1) {
    const auto copies =
        std::partition(found.begin(), found.end(), [](const FoundEncoder& f) { return !is_copy(f.prefix); });
    if (copies == found.begin() + 1) found.erase(copies, found.end());
  }
  std::vector<std::string> names, several;
  for (const StoredTensor& tensor : file.tensors())
    if (!is_statistic(tensor.name)) names.push_back(tensor.name);
  require_usage(!found.empty(), file.path(), ": ", prefix.empty() ? "" : join("under ", quoted(prefix), " "),
                "there is no encoder of these: ", listed(encoder_names()), "; its tensors are ", some_of(names));
  for (const FoundEncoder& f : found) several.push_back(quoted(f.prefix));
  require_usage(found.size() == 1, file.path(), ": there are several encoders, with ", listed(several),
                " before their names: ", remedy);
  return std::move(found[0]);
}

}  // namespace

bool describes_encoder(const Metadata& metadata) { return metadata.contains("encoder"); }

EncoderWeights::EncoderWeights(const std::string& path, const std::string& prefix, const EncoderSettings& like,
                               const char* remedy, bool stem_given)
    : file_(open_weights(path)), taken_(file_->tensors().size()) {
  for (std::size_t i = 0; i < file_->tensors().size(); ++i) places_[file_->tensors()[i].name] = i;
  std::set<std::string> prefixes = prefixes_of(file_->tensors());
  if (!prefix.empty()) prefixes = {prefix, prefix + "."};

  std::vector<FoundEncoder> found;
  for (const std::string& before : prefixes)
    if (auto encoder = recognized_under(before, *file_, places_, like, stem_given))
      found.push_back(std::move(*encoder));
  const FoundEncoder only = only_one(std::move(found), *file_, prefix, remedy);
  prefix_ = only.prefix;
  layout_ = only.layout;
  settings_ = only.settings;
}

/// The file's tensors by the network's names.
class WeightsOfEncoder final : public EncoderTensors {
 public:
  WeightsOfEncoder(EncoderWeights& weights, StemRule stem, std::string stem_name)
      : weights_(weights), stem_(stem), stem_name_(std::move(stem_name)) {}

  std::optional<std::vector<float>> floats(const std::string& name, const Sizes& shape) override {
    const bool first = name == stem_name_;
    if (first && stem_ == StemRule::renew) return {};
    const auto place = find(name);
    if (!place) return {};
    const StoredTensor& tensor = weights_.file_->tensors()[*place];
    const bool adapts = first && stem_ == StemRule::adapt && tensor.shape.size() == 4 && tensor.shape[0] == shape[0] &&
                        tensor.shape[2] == shape[2] && tensor.shape[3] == shape[3];
    require_usage(tensor.shape == shape || adapts, path(), ": tensor '", shortened(tensor.name), "' is ",
                  sizes_text(tensor.shape), ", but '", name, "' of the network is ", sizes_text(shape),
                  first ? other_stems(tensor.shape, shape) : "");
    weights_.taken_[*place] = true;
    std::vector<float> values = weights_.file_->floats(*place);
    const auto wrong = std::find_if(values.begin(), values.end(), [](float value) { return !std::isfinite(value); });
    if (wrong != values.end())  // a message for each of millions of values would take most of the time
      throw UsageError(join(path(), ": tensor '", shortened(tensor.name), "': expected finite values, got ", *wrong));
    return tensor.shape == shape ? values : adapted(values, tensor.shape, shape);
  }

  std::int64_t counter(const std::string& name) override {
    const auto place = find(name);
    if (!place) return 0;
    const std::vector<float> value = weights_.file_->floats(*place);
    weights_.taken_[*place] = true;
    return value.size() == 1 && value[0] >= 0 && value[0] < 1e15f ? static_cast<std::int64_t>(value[0]) : 0;
  }

  /// Missing weights, by the network's names.
  const std::vector<std::string>& missing_weights() const { return missing_weights_; }

  /// The file's tensors in the network's modules (conv1., layer1., ...) that the network does not have, by the file's
  /// names. Tensors of a renewed stem do not count.
  std::vector<std::string> unexpected() const {
    const std::string renewed =
        stem_ == StemRule::renew ? file_name(stem_name_.substr(0, stem_name_.rfind('.') + 1)) : "";
    std::vector<std::string> names;
    for (const auto& [name, place] : weights_.places_) {
      if (weights_.taken_[place] || (!renewed.empty() && name.starts_with(renewed))) continue;
      if (modules_.contains(name.substr(0, name.find('.', weights_.prefix_.size()) + 1))) names.push_back(name);
    }
    return names;
  }

 private:
  const std::string& path() const { return weights_.file_->path(); }

  std::string file_name(const std::string& name) const { return weights_.prefix_ + weights_.layout_(name); }

  std::optional<std::size_t> find(const std::string& name) {
    const std::string wanted = file_name(name);
    modules_.insert(wanted.substr(0, wanted.find('.', weights_.prefix_.size()) + 1));
    const auto place = weights_.places_.find(wanted);
    if (place != weights_.places_.end()) return place->second;
    (is_statistic(name) ? weights_.missing_statistics_ : missing_weights_).push_back(name);
    return {};
  }

  /// What would fit a first convolution [out, in, height, width] that does not.
  const char* other_stems(const Sizes& stored, const Sizes& wanted) const {
    if (stored.size() != 4 || stored[0] != wanted[0]) return " (an encoder of another width)";
    if (stored[2] != wanted[2] || stored[3] != wanted[3])
      return stem_ == StemRule::adapt ? " (adapt fits other channels, not other sizes; new initializes this layer)"
                                      : " (new initializes this layer)";
    return " (adapt fits other channels; new initializes this layer)";
  }

  /// [out, in, height, width] for other input channels, so that gray or repeated images give what RGB gave.
  static std::vector<float> adapted(const std::vector<float>& values, const Sizes& from, const Sizes& to) {
    const std::int64_t area = from[2] * from[3], in = from[1], wanted = to[1];
    const bool sums = wanted == 1;
    const float scale = sums ? 1.0f : static_cast<float>(in) / static_cast<float>(wanted);
    std::vector<float> made(static_cast<std::size_t>(to[0] * wanted * area));
    for (std::int64_t out = 0; out < to[0]; ++out)
      for (std::int64_t i = 0; i < (sums ? in : wanted); ++i)
        for (std::int64_t cell = 0; cell < area; ++cell)
          made[static_cast<std::size_t>((out * wanted + (sums ? 0 : i)) * area + cell)] +=
              scale * values[static_cast<std::size_t>((out * in + i % in) * area + cell)];
    return made;
  }

  EncoderWeights& weights_;
  StemRule stem_;
  std::string stem_name_;
  std::vector<std::string> missing_weights_;
  std::set<std::string> modules_;  // the network's, by the file's names with the prefix
};

TrainedEncoder EncoderWeights::load(const EncoderSettings& network, const Init& init, StemRule stem) {
  require_usage(network.encoder == settings_.encoder, file_->path(), ": holds a ", settings_.encoder, ", expected a ",
                network.encoder, " (--encoder)");
  require_enough_values(settings_, values_in(file_->tensors()), file_->path());
  const Encoder fresh = make_encoder(network, init);
  const std::vector<const ConvBn*> layers = fresh.layers();
  require_usage(!layers.empty() || stem == StemRule::exact, "--init-stem: ", network.encoder,
                " has no convolution with a batch norm, which it could adapt or initialize");
  const std::string first = layers.empty() ? "" : layers.front()->conv_name + ".weight";
  WeightsOfEncoder tensors(*this, stem, first);
  TrainedEncoder trained = encoder_from(tensors, network, init);
  require_usage(tensors.missing_weights().empty(), file_->path(),
                ": lacks weights of the network: ", some_of(tensors.missing_weights()));
  const std::vector<std::string> unexpected = tensors.unexpected();
  require_usage(unexpected.empty(), file_->path(), ": its network has more than a ", settings_.encoder, ": ",
                some_of(unexpected));
  if (stem != StemRule::renew && has_solo_learns_stem(settings_) && !has_solo_learns_stem(network))
    notice_ = "the names are solo-learn's, whose 3x3 stem has padding 2, unlike this run's (--stem cifar_padding2)";
  trained.metadata = metadata();
  return trained;
}

TrainedEncoder load_any_encoder(const std::string& path, const std::string& prefix, const EncoderSettings& like,
                                const char* remedy, Backend& backend, const FileUse& use) {
  if (describes_encoder(open_weights(path)->metadata())) return load_encoder(path, backend);
  EncoderWeights weights(path, prefix, like, remedy, use.stem_given);
  EncoderSettings settings = weights.settings();
  settings.image_size = like.image_size;
  TrainedEncoder trained = weights.load(settings, {.backend = backend});
  const std::vector<std::string> missing = use.statistics ? weights.missing_statistics() : std::vector<std::string>{};
  require_usage(missing.empty(), path,
                ": lacks the running statistics of batch norm, which features need: ", some_of(missing),
                "; save model.state_dict(), which has them");
  return trained;
}

std::vector<std::string> EncoderWeights::missing_statistics() const {
  std::vector<std::string> missing = missing_statistics_;
  std::erase_if(missing, [](const std::string& name) { return name.ends_with(".num_batches_tracked"); });
  return missing;
}

std::string EncoderWeights::report() const {
  std::vector<std::string> left;
  for (std::size_t i = 0; i < taken_.size(); ++i)
    if (!taken_[i]) left.push_back(file_->tensors()[i].name);
  std::string text = join(printable(file_->path()), ": ", settings_.encoder, ", ",
                          counted(static_cast<std::int64_t>(taken_.size() - left.size()), "tensor"),
                          prefix_.empty() ? "" : join(" under ", quoted(prefix_)));
  const std::vector<std::string> missing = missing_statistics();
  return join(text, "\nleft out          ", left.empty() ? "nothing" : some_of(left), "\nmissing           ",
              missing.empty() ? "nothing" : some_of(missing), notice_.empty() ? "" : "\nnotice: ", notice_);
}

}  // namespace vergence
