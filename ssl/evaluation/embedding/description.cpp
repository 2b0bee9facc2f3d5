#include "ssl/evaluation/embedding/description.h"

#include "datasets/fingerprint.h"
#include "datasets/registry.h"
#include "engine/io/files.h"
#include "engine/text/json_text.h"
#include "kernels/error.h"
#include "ssl/options/table.h"

namespace vergence {
namespace {

constexpr const char* embedding_format = "vergence embedding 1";

bool ends_with(const std::string& path, const char* ending) { return path.ends_with(ending) && path.size() > 4; }

}  // namespace

bool describes_embedding(const std::string& file, const char* part) {
  if (!file_exists(file)) return false;
  try {
    const nlohmann::ordered_json whole = parse_ordered_json(read_file(file));
    if (part && !(whole.is_object() && whole.contains(part))) return false;
    const nlohmann::ordered_json& json = part ? whole[part] : whole;
    return json.is_object() && json.contains("format") && json["format"] == embedding_format;
  } catch (const UsageError&) {
    return false;
  }
}

bool EmbeddingSettings::is_csv() const { return ends_with(out, ".csv"); }

EmbeddingFiles::EmbeddingFiles(const std::string& out) : rows(out) {
  require_usage(ends_with(out, ".npy") || ends_with(out, ".csv"), "--out: expected a file called .npy or .csv, got '",
                out, "'");
  partial = out + ".partial";
  progress = partial + ".json";
  if (out.ends_with(".csv")) return;
  const std::string base = out.substr(0, out.size() - 4);
  labels = base + ".labels.npy";
  names = base + ".names.txt";
  description = base + ".json";
}

std::int64_t resized_side(const Dataset& data, const ExtractSettings& settings) {
  if (settings.resize >= 0) return settings.resize;
  const std::int64_t side = data.evaluation_resize(settings.image_size);
  return side == 0 ? settings.image_size : side;
}

nlohmann::ordered_json encoder_description(const Subject& subject) {
  nlohmann::ordered_json json{{"encoder_xxh128", subject.encoder_xxh128}, {"untrained", subject.options.untrained}};
  if (subject.options.untrained) json["run_seed"] = subject.run_seed;
  json["prefix"] = subject.options.prefix;
  json["encoder"] = subject.encoder.settings().encoder;
  for (const auto& [name, value] : subject.encoder.settings().described())
    std::visit([&, key = name](const auto& given) { json[key] = given; }, value);
  json["image_size"] = subject.extract.image_size;
  json["mean"] = decimals(subject.extract.mean, subject.extract.channels);
  json["std"] = decimals(subject.extract.std, subject.extract.channels);
  return json;
}

nlohmann::ordered_json description_of(const Subject& subject, const Dataset& data, const EmbeddingSettings& settings,
                                      std::int64_t dim) {
  const Fingerprint fingerprint = fingerprint_of(data);
  nlohmann::ordered_json json{{"format", embedding_format}};
  json.update(encoder_description(subject));
  json["layer"] = settings.layer;
  json["type"] = settings.is_csv() ? "csv" : Words<RowType>(row_type_words).text_of(settings.type);
  json["normalize"] = settings.normalize;
  json["dim"] = dim;
  json["dataset"] = data.name;
  json["split"] = data.split;
  json["limit"] = subject.data.limit;
  json["images"] = data.count;
  json["images_xxh128"] = fingerprint.images;
  json["labels_xxh128"] = fingerprint.labels;
  json["resize"] = resized_side(data, subject.extract);
  if (is_of_image_files(data.name))
    for (const char* key : {"jpeg", "decode"}) json[key] = option_text(subject.judged, key);
  for (const char* key : {"precision", "cpu-conv", "conv"}) json[key] = option_text(subject.judged, key);
  json["device"] = subject.backend->name();
  json["batch"] = subject.extract.batch;
  return json;
}

void require_same(const nlohmann::ordered_json& then, const nlohmann::ordered_json& now, const std::string& where,
                  const std::string& remedy) {
  const bool is_earlier = !then.contains("prefix");  // the first of the keys that earlier versions did not write
  for (const auto& item : now.items()) {
    const std::string& key = item.key();
    if (is_earlier && !then.contains(key)) continue;
    const auto text = [&](const nlohmann::ordered_json& json) {
      return json.contains(key) ? json_text(json[key]) : std::string("none");
    };
    require_usage(text(then) == text(now), where, ": was made with ", key, " ", text(then), ", not ", text(now), ": ",
                  remedy);
  }
}

}  // namespace vergence
