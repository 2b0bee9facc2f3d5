#include "models/export/timm.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "engine/io/files.h"
#include "engine/version.h"

namespace vergence {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

const char* const producer_key = "producer";  // an entry of config.json that timm ignores

/// timm's name of the network.
std::string timm_name(const EncoderSettings& settings) {
  const char* const other_ways = "; export it as ONNX, or load it with tools/torch_encoder.py";
  const auto name_of = family_of(settings.encoder).timm;
  require_usage(name_of != nullptr, "timm: it has no model that is ", settings.encoder, other_ways);
  try {
    return name_of(settings);
  } catch (const UsageError& error) {
    throw UsageError(error.what() + std::string(other_ways));
  }
}

/// timm resizes the short side to floor(size / crop_pct).
double crop_share(std::int64_t size, std::int64_t short_side) {
  const auto whole = static_cast<double>(size), side = static_cast<double>(short_side);
  double share = whole / side;
  while (std::floor(whole / share) < side) share = std::nextafter(share, 0.0);
  return share;
}

Json config_of(const Exported& exported, const std::string& architecture) {
  const EncoderSettings& settings = exported.trained.encoder.settings();
  const std::int64_t channels = settings.channels, size = settings.image_size, side = exported.short_side;
  const bool whole = side == 0 || side == size;
  Json images;
  images["input_size"] = {channels, size, size};
  images["fixed_input_size"] = false;
  images["interpolation"] = "bilinear";
  images["crop_pct"] = whole ? 1.0 : crop_share(size, side);
  images["crop_mode"] = side == 0 ? "squash" : "center";
  images["mean"] = exported.mean;
  images["std"] = exported.std;
  images["num_classes"] = 0;
  // timm changes a first convolution of three channels for images with others.
  images["first_conv"] = channels == 3 ? Json("conv1") : Json(nullptr);
  images["classifier"] = "fc";
  Json config;
  config["architecture"] = architecture;
  config["num_classes"] = 0;
  config["num_features"] = settings.dim();
  config["global_pool"] = "avg";
  config["pretrained_cfg"] = images;
  config[producer_key] = "vergence " + version();
  return config;
}

/// How a model card speaks of where the weights come from: its title, the first words of a line with the version, and
/// what is known of the training.
struct Origin {
  std::string title, by, facts;
  bool without_labels = false;
};

Origin origin_of(const Metadata& about, const std::string& architecture) {
  if (!about.contains("objective")) return {architecture, "Exported by", "- training: unknown\n"};
  const auto value = [&](const char* key) { return about.contains(key) ? about.at(key) : std::string("unknown"); };
  const std::string facts = join("- objective: ", value("objective"), "\n- data set: ", value("dataset"),
                                 "\n- epochs: ", value("epoch"), "\n");
  if (const auto init = about.find("init"); init != about.end())
    return {join(architecture, ", trained further from other weights"), "Trained further by",
            join("- started from: ", init->second, ", whose training this card does not know\n", facts)};
  return {join(architecture, ", pretrained without labels"), "Pretrained by", facts, true};
}

/// The hub's model card.
std::string card_of(const Exported& exported, const std::string& architecture) {
  const Origin origin = origin_of(exported.trained.metadata, architecture);
  const EncoderSettings& settings = exported.trained.encoder.settings();
  return join(
      "---\nlibrary_name: timm\npipeline_tag: image-feature-extraction\ntags:\n- image-feature-extraction\n- timm\n",
      origin.without_labels ? "- self-supervised\n" : "", "---\n\n# ", origin.title, "\n\n", origin.by, " Vergence ",
      version(), ". It has no classifier: its outputs are ", settings.dim(), " features of an image.\n\n", origin.facts,
      "- images: ", settings.image_size, " x ", settings.image_size, ", ", settings.channels,
      " channels\n\n```python\nimport timm\nimport torch\n\n",
      "model = timm.create_model(\"local-dir:FOLDER\", pretrained=True).eval()  # or \"hf-hub:OWNER/NAME\"\n",
      "images = timm.data.create_transform(**timm.data.resolve_model_data_config(model))(image)[None]  # of a PIL "
      "image\n",
      "with torch.no_grad():\n    features = model(images)  # [1, ", settings.dim(), "]\n```\n");
}

/// A card without its line that names the version. That line alone differs between two versions' cards of one encoder.
std::string without_version(const std::string& card) {
  const std::size_t found = card.find(" by Vergence ");
  if (found == std::string::npos) return "";
  const std::size_t begin = card.rfind('\n', found) + 1;
  return card.substr(0, begin) + card.substr(std::min(card.find('\n', begin), card.size()));
}

/// Whether the folder's model card is missing, or is the one that the export of its model.safetensors wrote.
bool has_no_card_of_others(const fs::path& folder) {
  if (!file_exists(folder / "README.md")) return true;
  try {
    const std::string path = (folder / "model.safetensors").string(), card = read_file((folder / "README.md").string());
    const Metadata about = SafetensorsFile(path).metadata();
    const Exported then{.trained = {Encoder(EncoderSettings::from_metadata(about, path), nullptr), {}, about}};
    const std::string written = without_version(card_of(then, timm_name(then.trained.encoder.settings())));
    return without_version(card) == written;
  } catch (const UsageError&) {
    return false;
  }
}

/// Nothing of other programs is written over.
void require_own_folder(const fs::path& folder) {
  std::error_code error;
  const fs::file_status status = fs::status(folder, error);
  if (status.type() == fs::file_type::not_found) return;
  require_usage(fs::is_directory(status), folder.string(),
                ": is not a folder, expected the name of a new or empty one");
  const fs::path config = folder / "config.json";
  if (fs::is_empty(folder, error)) return;
  const Json json =
      fs::is_regular_file(config, error) ? Json::parse(read_file(config.string()), nullptr, false) : Json();
  require_usage(json.is_object() && json.contains(producer_key), folder.string(),
                ": holds files that are not of an earlier export, expected a new or empty folder");
}

}  // namespace

void write_timm_folder(const std::string& folder, const Exported& exported) {
  const std::string architecture = timm_name(exported.trained.encoder.settings());
  require_usage(!exported.mean.empty(),
                "timm: the encoder's file has no mean and std, which timm needs to prepare images");
  require_own_folder(folder);
  create_folders(folder);
  const bool writes_card = has_no_card_of_others(folder);
  const auto file = [&](const char* name) { return (fs::path(folder) / name).string(); };
  // First the file that says whose folder it is: after a failure the same command writes the rest.
  write_atomically(file("config.json"), config_of(exported, architecture).dump(2) + "\n");
  if (writes_card) write_atomically(file("README.md"), card_of(exported, architecture));
  save_encoder(file("model.safetensors"), exported.trained.encoder, exported.trained.statistics,
               exported.trained.metadata);
}

}  // namespace vergence
