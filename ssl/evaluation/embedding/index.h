// Finds the images of an embedding that are nearest to an image. The rows may be more than memory holds.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "datasets/readers/npy_file.h"
#include "ssl/evaluation/embedding/description.h"
#include "ssl/evaluation/neighbors/by_cosine.h"
#include "ssl/evaluation/subject.h"

namespace vergence {

struct SimilarImage {
  double similarity = 0;  // cosine
  std::int64_t row = 0;
  std::string name;
  std::string label;  // the class's name, or its number; empty: none
};

/// The labels of an embedding's rows.
class ImageLabels {
 public:
  /// Throws UsageError naming the file unless it has a label for each row. An empty path: there are none.
  ImageLabels(const std::string& path, std::int64_t rows, std::vector<std::string> classes);

  bool exist() const { return file_.has_value(); }
  /// The name of the row's class, or its number; empty: none.
  std::string of(std::int64_t row);

 private:
  std::optional<NpyFile> file_;
  std::vector<std::string> classes_;
};

/// A file F.npy of write_embedding and those beside it.
class EmbeddingIndex {
 public:
  /// Throws UsageError naming the file unless all are there and fit each other.
  explicit EmbeddingIndex(const std::string& path);

  std::int64_t rows() const { return rows_; }
  std::int64_t dim() const { return dim_; }
  const EmbeddingFiles& files() const { return files_; }
  /// The layer of its rows.
  std::string layer() const { return description_["layer"]; }

  /// How many rows to read at once, so that they take little memory.
  std::int64_t block() const;
  Features read(std::int64_t begin, std::int64_t count);
  ImageLabels open_labels() const;

  /// Throws UsageError unless the subject is the encoder that made it, described the same way, with the same precision.
  void require_made_by(const Subject& subject);

  /// Prepares the subject's images and their decoding as the index's. Throws UsageError for a damaged description.
  void apply_images_to(Subject& subject) const;

  /// The k most similar images for each query, most similar first; `queries` are rows of layer(). At most rows() are
  /// found. Reads the index once, in blocks.
  std::vector<std::vector<SimilarImage>> nearest(const Features& queries, std::int64_t k, Backend& backend);

 private:
  void read_names(std::vector<std::vector<SimilarImage>>& found) const;

  EmbeddingFiles files_;
  NpyFile file_;
  nlohmann::ordered_json description_;
  std::int64_t rows_ = 0, dim_ = 0;
};

}  // namespace vergence
