// The bytes of an embedding's rows in a file: an array of NumPy's .npy format, or a table of comma-separated values.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "ssl/evaluation/embedding/description.h"
#include "ssl/evaluation/features/matrix.h"

namespace vergence {

/// The file before its rows. Of an array it takes the same number of bytes for any number of rows.
std::string file_header(const EmbeddingSettings& settings, std::int64_t rows, std::int64_t dim);

/// Rows as they are stored, scaled to unit length if the settings ask for it. `names`: one per row. Throws UsageError
/// naming the image for a value that is not finite, also as f16.
std::string row_bytes(const EmbeddingSettings& settings, const Features& rows, const std::vector<std::string>& names);

/// A file's name on a line of its own: as it is, unless it has line breaks, which become \x0a or \x0d.
std::string name_line(const std::string& name);

}  // namespace vergence
