#include "models/encoder.h"

#include <algorithm>

#include "engine/text/words.h"
#include "models/parts.h"

namespace vergence {

namespace {

std::string metadata_key(const EncoderOption& option) {
  std::string key = option.name;
  std::replace(key.begin(), key.end(), '-', '_');
  return key;
}

using Choice = EncoderOption::Choice;
using Integer = EncoderOption::Integer;
using Number = EncoderOption::Number;
using Flag = EncoderOption::Flag;

Choice as_choice(const Flag& flag) { return {flag, {{"on", true}, {"off", false}}}; }

// Converts values to texts in metadata and back (`set` is false for any other text), and describes valid texts.
std::string text_of(const Choice& choice, ComponentSettings& components) { return choice.word(components); }
std::string text_of(const Flag& flag, ComponentSettings& components) { return as_choice(flag).word(components); }
std::string text_of(const Integer& number, ComponentSettings& components) { return std::to_string(number(components)); }
std::string text_of(const Number& number, ComponentSettings& components) { return shortest_text(number(components)); }

bool set(const Choice& choice, ComponentSettings& components, const std::string& text) {
  return choice.set(components, text);
}
bool set(const Flag& flag, ComponentSettings& components, const std::string& text) {
  return as_choice(flag).set(components, text);
}
template <class Value>
bool set(const std::function<Value&(ComponentSettings&)>& number, ComponentSettings& components,
         const std::string& text) {
  const std::optional<Value> value = number_of<Value>(text);
  if (value) number(components) = *value;
  return value.has_value();
}

std::string expected(const Choice& choice) { return alternatives(choice.words()); }
std::string expected(const Flag& flag) { return expected(as_choice(flag)); }
std::string expected(const Integer&) { return "a whole number"; }
std::string expected(const Number&) { return "a number"; }

std::string value_of(const EncoderOption& option, ComponentSettings& components) {
  return std::visit([&](const auto& field) { return text_of(field, components); }, option.field);
}

/// A file's metadata; the file's name begins all errors.
struct MetadataReader {
  const std::map<std::string, std::string>& metadata;
  const std::string& where;

  /// `otherwise`: the value of a missing entry; null: the entry is required.
  std::string text(const std::string& key, const std::string* otherwise = nullptr) const {
    const auto found = metadata.find(key);
    require_usage(found != metadata.end() || otherwise, where, ": metadata: there is no '", key, "'");
    return found != metadata.end() ? found->second : *otherwise;
  }
  void read(const EncoderOption& option, ComponentSettings& components) const {
    const std::string key = metadata_key(option), otherwise = value_of(option, components),
                      given = text(key, option.optional ? &otherwise : nullptr);
    const auto take = [&](const auto& field) {
      require_usage(set(field, components, given), where, ": metadata: '", key, "': expected ", expected(field),
                    ", got '", given, "'");
    };
    std::visit(take, option.field);
  }
  void read(const std::string& key, std::int64_t& value, bool optional) const {
    const Integer field = [&](ComponentSettings&) -> std::int64_t& { return value; };
    ComponentSettings none;
    read({.name = key, .field = field, .help = "", .optional = optional}, none);
  }
};

}  // namespace

EncoderShape EncoderSettings::shape() const { return family_of(encoder).shape(*this); }

std::map<std::string, std::string> EncoderSettings::metadata() const {
  std::map<std::string, std::string> entries{
      {"encoder", encoder}, {"image_size", std::to_string(image_size)}, {"channels", std::to_string(channels)}};
  ComponentSettings values = components;
  for (const EncoderOption& option : family_of(encoder).options)
    if (!option.initial) entries[metadata_key(option)] = value_of(option, values);
  return entries;
}

EncoderSettings EncoderSettings::from_metadata(const std::map<std::string, std::string>& metadata,
                                               const std::string& where) {
  const MetadataReader reader{metadata, where};
  EncoderSettings settings;
  settings.encoder = reader.text("encoder");
  reader.read("image_size", settings.image_size, false);
  reader.read("channels", settings.channels, true);
  const auto of_file = [&](const auto& f) {
    try {
      f();
    } catch (const UsageError& error) {
      throw UsageError(join(where, ": metadata: ", error.what()));
    }
  };
  of_file([&] { family_of(settings.encoder); });
  for (const EncoderOption& option : family_of(settings.encoder).options) {
    if (!option.initial) reader.read(option, settings.components);
  }
  of_file([&] { check(settings); });
  return settings;
}

std::vector<EncoderSettings::Described> EncoderSettings::described() const {
  std::vector<Described> list;
  ComponentSettings values = components;
  for (const EncoderOption& option : family_of(encoder).options) {
    if (const auto* choice = std::get_if<Choice>(&option.field)) list.emplace_back(option.name, choice->word(values));
    if (const auto* number = std::get_if<Integer>(&option.field)) list.emplace_back(option.name, (*number)(values));
    if (const auto* number = std::get_if<Number>(&option.field)) list.emplace_back(option.name, (*number)(values));
  }
  return list;
}

void EncoderSettings::take_initial(const ComponentSettings& other) {
  for (const EncoderOption& option : family_of(encoder).options)
    if (option.initial) copy_option(option, other, components);
}

void check(const EncoderSettings& settings) {
  settings.shape();
  const auto inside = [](const char* name, std::int64_t value, std::int64_t most) {
    require_usage(value >= 1 && value <= most, name, ": expected 1 to ", most, ", got ", value);
  };
  inside("image size", settings.image_size, 4096);
  inside("image channels", settings.channels, 1024);
}

std::string EncoderNetwork::describe(NetworkGraph&) const {
  throw UsageError("this family of encoders does not describe its network as a graph");
}

void EncoderNetwork::renew_stem(EncoderSettings& settings, const Init&) {
  throw UsageError(join(settings.encoder, ": its first convolution cannot be replaced"));
}

Tensor EncoderNetwork::stage_map(const Tensor& images, const ForwardMode& pass, std::int64_t stage) const {
  require(stage == 1 && stages() == 1, "encoder: stage ", stage, " of ", stages());
  return feature_map(images, pass);
}

Encoder& Encoder::operator=(Encoder other) noexcept {
  std::swap(settings_, other.settings_);
  std::swap(network_, other.network_);
  return *this;
}

Tensor Encoder::operator()(const Tensor& images, const ForwardMode& pass) const {
  return in_parts(*this, images, pass, pass.groups, [](const Encoder& encoder, const Tensor& x, const ForwardMode& p) {
    return (*encoder.network_)(x, p);
  });
}

Tensor Encoder::feature_map(const Tensor& images, const ForwardMode& pass) const {
  return in_parts(*this, images, pass, pass.groups, [](const Encoder& encoder, const Tensor& x, const ForwardMode& p) {
    return encoder.network_->feature_map(x, p);
  });
}

Encoder Encoder::constant() const {
  Encoder copy = *this;
  copy.each([](const std::string&, Tensor& tensor) { tensor = tensor.detached(); });
  return copy;
}

Backend& Encoder::backend() const {
  Backend* found = nullptr;
  network_->each([&](const std::string&, const Tensor& tensor) { found = &tensor.backend(); }, "");
  require(found != nullptr, settings_.encoder, ": the network has no parameters");
  return *found;
}

Tensor conv_bn_of_images(const Tensor& images, const ConvBn& layer, const ForwardMode& pass,
                         const ConvBnOptions& options, const std::string& name) {
  const std::int64_t channels = layer.w.shape[3], aligned = (channels + 7) / 8 * 8;
  require(images.shape.rank() == 4 && (images.shape[3] == channels || images.shape[3] == aligned), name,
          ": expected images [N,H,W,", channels, "], got ", images.shape);
  const DType type = layer.w.dtype == DType::f64 ? DType::f64 : pass.activations;
  const Tensor x = images.dtype == type ? images : cast(images, type);
  ConvBn first = layer;  // padding channels get zero weights
  if (images.shape[3] > channels) first.w = pad(layer.w, 3, 0, images.shape[3]);
  return conv_bn(x, first, pass, options);
}

const EncoderFamily& family_of(const std::string& encoder) {
  for (const EncoderFamily& family : encoder_families())
    if (std::find(family.names.begin(), family.names.end(), encoder) != family.names.end()) return family;
  throw UsageError(join("encoder: expected ", alternatives(encoder_names()), ", got '", encoder, "'"));
}

std::vector<std::string> encoder_names() {
  std::vector<std::string> names;
  for (const EncoderFamily& family : encoder_families())
    names.insert(names.end(), family.names.begin(), family.names.end());
  return names;
}

Encoder make_encoder(const EncoderSettings& settings, const Init& init) {
  check(settings);
  return {settings, family_of(settings.encoder).make(settings, init)};
}

Cost cost_of(const EncoderSettings& settings, std::int64_t batch, DType activations, const Recompute& recompute) {
  check(settings);
  CostCounter counter(batch, settings.image_size, settings.channels, activations, recompute);
  family_of(settings.encoder).count(settings, counter);
  return counter.total();
}

}  // namespace vergence
