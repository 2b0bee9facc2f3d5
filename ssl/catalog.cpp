// From the name of an objective or base method to the object.
#include "ssl/method_objective.h"
#include "ssl/objective_list.h"

namespace vergence {
namespace {

/// A base method by itself.
class PlainObjective final : public MethodObjective {
 public:
  explicit PlainObjective(const ObjectiveSetup& setup)
      : MethodObjective(setup, setup.options.objective, "--objective") {
    train_with_base();
  }
  Step run(const Views& views) override {
    Parts parts;
    const Tensor loss = base_loss(views, &parts);
    return update(loss, parts);
  }
};

}  // namespace

const std::vector<std::string>& objective_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> list;
    for (const ObjectiveEntry& entry : objective_entries()) list.emplace_back(entry.name);
    return list;
  }();
  return names;
}

std::unique_ptr<Objective> make_objective(const ObjectiveSetup& setup) {
  std::string known;
  for (const ObjectiveEntry& entry : objective_entries()) {
    if (setup.options.objective == entry.name) {
      if (entry.make) return entry.make(setup);
      return std::make_unique<PlainObjective>(setup);
    }
    known += (known.empty() ? "" : ", ") + std::string(entry.name);
  }
  throw UsageError(join("--objective: there is no '", setup.options.objective, "'; expected one of ", known));
}

const std::vector<std::string>& method_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> list;
    for (const ObjectiveEntry& entry : objective_entries())
      if (entry.make_base) list.emplace_back(entry.name);
    return list;
  }();
  return names;
}

std::unique_ptr<Method> make_method(const std::string& name, const char* option, const ObjectiveSetup& setup,
                                    const Encoder& encoder) {
  std::string known;
  for (const ObjectiveEntry& entry : objective_entries()) {
    if (!entry.make_base) continue;
    if (name == entry.name) return entry.make_base(setup, encoder);
    known += (known.empty() ? "" : ", ") + std::string(entry.name);
  }
  throw UsageError(join(option, ": there is no base method '", name, "'; expected one of ", known));
}

}  // namespace vergence
