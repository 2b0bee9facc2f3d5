#include "ssl/evaluation/embedding/rows.h"

#include <bit>
#include <charconv>
#include <cmath>
#include <cstring>

#include "datasets/readers/npy_file.h"
#include "engine/io/half.h"
#include "engine/text/printable.h"
#include "engine/text/words.h"
#include "kernels/error.h"

namespace vergence {
namespace {

static_assert(std::endian::native == std::endian::little, "the arrays are written as they are in memory");

void add_number(std::string& text, float value) {
  char digits[32];
  text.append(digits, std::to_chars(digits, digits + sizeof digits, value).ptr);
}

std::string table_lines(const Features& rows, const std::vector<float>& values, const std::vector<std::string>& names) {
  std::string text;
  for (std::size_t i = 0; i < names.size(); ++i) {
    text += csv_field(names[i]) + ",";
    if (!rows.labels.empty()) text += std::to_string(rows.labels[i]);
    for (std::size_t j = 0; j < static_cast<std::size_t>(rows.dim); ++j) {
      text += ',';
      add_number(text, values[i * static_cast<std::size_t>(rows.dim) + j]);
    }
    text += '\n';
  }
  return text;
}

std::string half_bytes(const std::vector<float>& values) {
  std::string bytes(2 * values.size(), '\0');
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::uint16_t half = half_of(values[i]);
    std::memcpy(bytes.data() + 2 * i, &half, 2);
  }
  return bytes;
}

/// Throws UsageError for the first value that cannot be stored.
void check_values(const EmbeddingSettings& settings, const std::vector<float>& values, std::int64_t dim,
                  const std::vector<std::string>& names) {
  const bool half = settings.type == RowType::f16;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::string& name = names[i / static_cast<std::size_t>(dim)];
    require_usage(std::isfinite(values[i]), "embed: ", name, ": feature ", i % static_cast<std::size_t>(dim), " is ",
                  values[i], ", expected a finite number");
    require_usage(!half || std::isfinite(float_of_half(half_of(values[i]))), "embed: ", name, ": feature ",
                  i % static_cast<std::size_t>(dim), " is ", values[i],
                  ", expected at most 65504 in size: --type f32, or --normalize");
  }
}

}  // namespace

std::string file_header(const EmbeddingSettings& settings, std::int64_t rows, std::int64_t dim) {
  if (!settings.is_csv()) return npy_header_bytes(settings.type == RowType::f16 ? "<f2" : "<f4", {rows, dim});
  std::string head = "name,label";
  for (std::int64_t j = 0; j < dim; ++j) head += join(",f", j);
  return head + "\n";
}

std::string row_bytes(const EmbeddingSettings& settings, const Features& rows, const std::vector<std::string>& names) {
  require(rows.rows() == static_cast<std::int64_t>(names.size()), "embed: ", rows.rows(), " rows, ", names.size(),
          " names");
  std::vector<float> values = rows.values;
  if (settings.normalize) {
    const std::vector<double> unit = unit_rows(rows);
    values.assign(unit.begin(), unit.end());
  }
  check_values(settings, values, rows.dim, names);
  if (settings.is_csv()) return table_lines(rows, values, names);
  if (settings.type == RowType::f16) return half_bytes(values);
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)};
}

std::string name_line(const std::string& name) {
  return name.find_first_of("\r\n") == std::string::npos ? name : printable(name);
}

}  // namespace vergence
