#include "ssl/method.h"

#include "engine/ops/ops.h"

namespace vergence {

Tensor Method::stratified_loss(const std::vector<Embeddings>& strata) const {
  Tensor sum;
  for (const Embeddings& embeddings : strata) sum = sum ? sum + loss(embeddings) : loss(embeddings);
  return sum / static_cast<double>(strata.size());
}

}  // namespace vergence
