#include "ssl/evaluation/embedding/projector.h"

#include <algorithm>
#include <fstream>

#include "engine/io/files.h"
#include "engine/text/printable.h"
#include "kernels/error.h"
#include "ssl/evaluation/embedding/index.h"

namespace vergence {
namespace {

constexpr const char* tensors = "/tensors.bytes";
constexpr const char* metadata = "/metadata.tsv";
constexpr const char* config = "/projector_config.pbtxt";
/// A line of the last file, by which a folder is known again.
constexpr const char* own_mark = "\n  tensor_path: \"tensors.bytes\"";

void write_tensors(EmbeddingIndex& index, const std::string& path) {
  AtomicFile file(path);
  for (std::int64_t begin = 0; begin < index.rows(); begin += index.block()) {
    const Features rows = index.read(begin, std::min(index.block(), index.rows() - begin));
    file.write(rows.values.data(), static_cast<std::int64_t>(rows.values.size() * sizeof(float)));
  }
  file.commit();
}

/// A line per image, on which printable() leaves no tabs. With labels a table of two columns under their names; a table
/// of one column has no such line.
void write_metadata(const EmbeddingIndex& index, const std::string& path) {
  AtomicFile file(path);
  ImageLabels labels = index.open_labels();
  std::ifstream names(index.files().names, std::ios::binary);
  if (labels.exist()) file.write("name\tlabel\n");
  for (std::int64_t row = 0; row < index.rows(); ++row) {
    std::string name;
    require_usage(static_cast<bool>(std::getline(names, name)), index.files().names, ": has ", row, " names, expected ",
                  index.rows());
    std::string line = printable(name);
    if (labels.exist()) line.append(1, '\t').append(printable(labels.of(row)));
    file.write(line.append(1, '\n'));
  }
  file.commit();
}

}  // namespace

void check_projector(const std::string& folder) {
  create_folders(folder);
  const bool own = file_exists(folder + config) && read_file(folder + config).find(own_mark) != std::string::npos;
  for (const char* name : {tensors, metadata, config})
    require_usage(own || !file_exists(folder + name), folder, name,
                  ": exists and is not embed's, expected another folder");
  for (const char* name : {tensors, metadata, config}) regular_destination(folder + name);
}

void write_projector(const std::string& path, const std::string& folder) {
  check_projector(folder);
  EmbeddingIndex index(path);
  // First the file that says whose folder it is: after a failure the same command writes the rest.
  write_atomically(folder + config,
                   join("embeddings {\n  tensor_name: \"", index.layer(), "\"\n  tensor_shape: ", index.rows(),
                        "\n  tensor_shape: ", index.dim(), own_mark, "\n  metadata_path: \"metadata.tsv\"\n}\n"));
  write_tensors(index, folder + tensors);
  write_metadata(index, folder + metadata);
}

}  // namespace vergence
