// What made an embedding: stored beside it as JSON, to go on with an unfinished file and to make queries the same way.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "datasets/dataset.h"
#include "ssl/evaluation/subject.h"

namespace vergence {

enum class RowType { f32, f16 };
inline constexpr Word<RowType> row_type_words[]{{"f32", RowType::f32}, {"f16", RowType::f16}};

struct EmbeddingSettings {
  std::string out;  // a file .npy or .csv
  std::string layer = "features";
  RowType type = RowType::f32;
  bool normalize = false;  // rows of length 1

  bool is_csv() const;
};

/// The files of an embedding: "cifar.npy", "cifar.labels.npy", "cifar.names.txt", "cifar.json"; of a table "cifar.csv"
/// only that. The unfinished ones are "cifar.npy.partial" and "cifar.npy.partial.json".
struct EmbeddingFiles {
  /// Throws UsageError unless `out` ends with .npy or .csv.
  explicit EmbeddingFiles(const std::string& out);

  std::string rows, labels, names, description, partial, progress;
};

/// The short side to which images are resized before the center crop: also images of other sizes than the data set's,
/// whose own may be the encoder's already. 0: the whole image is squeezed into the square.
std::int64_t resized_side(const Dataset& data, const ExtractSettings& settings);

/// Whether the JSON file says what made an embedding, at its top or, with a `part`, under that key. False too if there
/// is no such file, or none that can be read.
bool describes_embedding(const std::string& file, const char* part = nullptr);

/// The encoder, and what the options say about it where its file does not.
nlohmann::ordered_json encoder_description(const Subject& subject);

/// Everything that the values of the rows depend on, as they are stored.
nlohmann::ordered_json description_of(const Subject& subject, const Dataset& data, const EmbeddingSettings& settings,
                                      std::int64_t dim);

/// Throws UsageError, "<where>: was made with <key> <then>, not <now>: <remedy>", for the first key of `now` that
/// differs. What earlier versions did not write is not compared.
void require_same(const nlohmann::ordered_json& then, const nlohmann::ordered_json& now, const std::string& where,
                  const std::string& remedy);

}  // namespace vergence
