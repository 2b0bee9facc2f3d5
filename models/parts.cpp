#include "models/parts.h"

namespace vergence {

Tensor part_of_rows(const Tensor& x, std::int64_t sections, std::int64_t part, std::int64_t parts) {
  const std::int64_t rows = x.shape[0] / sections;
  require(rows * sections == x.shape[0], "parts: ", x.shape, " in ", sections, " sections");
  const std::int64_t first = rows * part / parts, end = rows * (part + 1) / parts;
  Tensors shares;
  for (std::int64_t section = 0; section < sections; ++section)
    shares.push_back(slice(x, 0, section * rows + first, end - first));
  return sections == 1 ? shares[0] : concat(shares, 0);
}

Tensor joined_parts(const Tensors& parts, std::int64_t sections) {
  Tensors ordered;
  for (std::int64_t section = 0; section < sections; ++section)
    for (const Tensor& part : parts) {
      const std::int64_t rows = part.shape[0] / sections;
      ordered.push_back(sections == 1 ? part : slice(part, 0, section * rows, rows));
    }
  return concat(ordered, 0);
}

}  // namespace vergence
