#include "ssl/evaluation/embedding/index.h"

#include <algorithm>
#include <fstream>
#include <map>
#include <utility>

#include "datasets/dataset.h"
#include "datasets/registry.h"
#include "engine/io/files.h"
#include "engine/io/half.h"
#include "engine/text/json_text.h"
#include "engine/text/stored_text.h"
#include "kernels/error.h"
#include "ssl/options/table.h"

namespace vergence {
namespace {

constexpr std::int64_t block_bytes = 32 << 20;  // of rows as f32

/// "F.npy", which has a description beside it.
const std::string& checked_path(const std::string& path) {
  require_usage(path.ends_with(".npy"), "--index: expected a file .npy of embed, got '", path, "'");
  file_bytes(path, "--index: " + path);
  const std::string description = EmbeddingFiles(path).description;
  require_usage(file_exists(description), "--index: ", path, " has no ", description,
                " beside it, which embed writes with it");
  return path;
}

}  // namespace

ImageLabels::ImageLabels(const std::string& path, std::int64_t rows, std::vector<std::string> classes)
    : classes_(std::move(classes)) {
  if (path.empty()) return;
  file_.emplace(path, path);
  if (file_->header().type != "<i8" || file_->header().shape != std::vector<std::int64_t>{rows})
    file_->fail(join("expected ", rows, " labels"));
}

std::string ImageLabels::of(std::int64_t row) {
  std::int64_t label = -1;
  if (file_) file_->read(row * 8, 8, &label);
  if (label < 0) return "";
  return class_name(classes_, label);
}

EmbeddingIndex::EmbeddingIndex(const std::string& path)
    : files_(checked_path(path)),
      file_(path, "--index: " + path),
      description_(parse_ordered_json(read_file(files_.description))) {
  const NpyHeader& header = file_.header();
  if (header.shape.size() != 2 || header.fortran_order || (header.type != "<f4" && header.type != "<f2"))
    file_.fail("expected rows of features, f32 or f16 in C order");
  rows_ = header.shape[0];
  dim_ = header.shape[1];
  const auto is = [&](const char* key, std::int64_t value) {
    return description_.contains(key) && description_[key] == value;
  };
  require_usage(description_.is_object() && description_.contains("layer") && description_["layer"].is_string() &&
                    is("rows", rows_) && is("dim", dim_) && rows_ > 0,
                files_.description, ": does not describe the ", rows_, " rows of ", dim_, " in ", path);
}

void EmbeddingIndex::require_made_by(const Subject& subject) {
  nlohmann::ordered_json now = encoder_description(subject);
  now["precision"] = option_text(subject.judged, "precision");
  require_same(description_, now, files_.rows, "give the encoder and options that made it");
}

void EmbeddingIndex::apply_images_to(Subject& subject) const {
  const auto found = description_.find("resize");
  require_usage(found != description_.end() && found->is_number_integer(), files_.description, ": has no resize");
  subject.extract.resize = *found;
  for (const char* key : {"jpeg", "decode"})
    if (description_.contains(key) && description_[key].is_string())
      assign_option(
          *find_option(key),
          {key, description_[key].get<std::string>(), Setting::Type::text, join(files_.description, ": ", key)},
          subject.judged);
  subject.data = as_judged(dataset_settings(subject.judged));
}

std::int64_t EmbeddingIndex::block() const { return std::max<std::int64_t>(block_bytes / (4 * dim_), 1); }

ImageLabels EmbeddingIndex::open_labels() const {
  const auto has_labels = description_.find("labels"), classes = description_.find("classes");
  if (has_labels == description_.end() || *has_labels != true) return {"", rows_, {}};
  std::vector<std::string> names;
  if (classes != description_.end() && classes->is_array())
    for (const nlohmann::ordered_json& name : *classes)
      names.push_back(name.is_string() ? read_stored_text(name.get<std::string>(), files_.description) : "");
  return {files_.labels, rows_, names};
}

Features EmbeddingIndex::read(std::int64_t begin, std::int64_t count) {
  Features features{dim_, 0, std::vector<float>(static_cast<std::size_t>(count * dim_)), {}};
  if (file_.header().type == "<f4") {
    file_.read(4 * begin * dim_, 4 * count * dim_, features.values.data());
    return features;
  }
  std::vector<std::uint16_t> halves(features.values.size());
  file_.read(2 * begin * dim_, 2 * count * dim_, halves.data());
  std::transform(halves.begin(), halves.end(), features.values.begin(), float_of_half);
  return features;
}

std::vector<std::vector<SimilarImage>> EmbeddingIndex::nearest(const Features& queries, std::int64_t k,
                                                               Backend& backend) {
  FeatureBlocks blocks{.rows = rows_, .dim = dim_, .read = {}};
  blocks.block = block();
  blocks.read = [&](std::int64_t begin, std::int64_t count) { return read(begin, count); };
  std::vector<std::vector<SimilarImage>> found;
  for (const std::vector<Neighbor>& list : nearest_by_cosine(blocks, queries, std::min(k, rows_), backend)) {
    found.emplace_back();
    for (const Neighbor& neighbor : list) found.back().push_back({cosine_of(neighbor), neighbor.row, "", ""});
  }
  read_names(found);
  ImageLabels labels = open_labels();
  for (auto& list : found)
    for (SimilarImage& image : list) image.label = labels.of(image.row);
  return found;
}

/// Reads the file of names line by line and keeps those that are needed.
void EmbeddingIndex::read_names(std::vector<std::vector<SimilarImage>>& found) const {
  std::map<std::int64_t, std::string> names;
  for (const auto& list : found)
    for (const SimilarImage& image : list) names[image.row];
  std::ifstream file(files_.names, std::ios::binary);
  require_usage(file.is_open(), files_.names, ": cannot be opened");
  std::string line;
  std::int64_t row = -1;
  for (auto& [wanted, name] : names) {
    while (row < wanted && std::getline(file, line)) ++row;
    require_usage(row == wanted, files_.names, ": has ", row + 1, " names, expected ", rows_);
    name = line;
  }
  for (auto& list : found)
    for (SimilarImage& image : list) image.name = names[image.row];
}

}  // namespace vergence
