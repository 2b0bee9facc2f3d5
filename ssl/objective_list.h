// The objectives there are. Each file ssl/objectives/NAME.cpp is one: it defines vergence::objectives::NAME(), and the
// build makes the list.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "ssl/base_method.h"
#include "ssl/objective.h"
#include "ssl/option_builder.h"

namespace vergence {

struct ObjectiveEntry {
  const char* name;   // as --objective takes it, and of its options: "NAME.temperature"
  const char* title;  // of its options in --help
  /// Declares its switches.
  void (*options)(OptionBuilder& options);
  /// One of these two: an objective of its own, or a base method that others can be built on.
  std::unique_ptr<Objective> (*make)(const ObjectiveSetup& setup) = nullptr;
  std::unique_ptr<BaseMethod> (*make_base)(const ObjectiveSetup& setup, const ResNet& encoder) = nullptr;
};

/// In the order of their names.
const std::vector<ObjectiveEntry>& objective_entries();

}  // namespace vergence
