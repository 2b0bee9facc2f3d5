#include "ssl/base_method.h"

#include "engine/ops/ops.h"
#include "ssl/objective_list.h"

namespace vergence {

Tensor BaseMethod::stratified_loss(const std::vector<Embeddings>& strata) const {
  Tensor sum;
  for (const Embeddings& embeddings : strata) sum = sum ? sum + loss(embeddings) : loss(embeddings);
  return affine(sum, 1 / static_cast<double>(strata.size()));
}

const std::vector<std::string>& base_method_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> list;
    for (const ObjectiveEntry& entry : objective_entries())
      if (entry.make_base) list.emplace_back(entry.name);
    return list;
  }();
  return names;
}

std::unique_ptr<BaseMethod> make_base_method(const std::string& name, const char* option, const ObjectiveSetup& setup,
                                             const ResNet& encoder) {
  std::string known;
  for (const ObjectiveEntry& entry : objective_entries()) {
    if (!entry.make_base) continue;
    if (name == entry.name) return entry.make_base(setup, encoder);
    known += (known.empty() ? "" : ", ") + std::string(entry.name);
  }
  throw UsageError(join(option, ": there is no base method '", name, "'; expected one of ", known));
}

}  // namespace vergence
