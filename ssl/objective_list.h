// The list of objectives. Each is a file ssl/objectives/NAME.cpp, or ssl/objectives/NAME/NAME.cpp with other files
// beside it, that defines vergence::objectives::NAME(); the build makes the list.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ssl/method.h"
#include "ssl/objective.h"
#include "ssl/options/builder.h"

namespace vergence {

struct ObjectiveEntry {
  const char* name;   // for --objective, and before its options: "NAME.temperature"
  const char* title;  // its heading in --help
  /// Declares its options; null: it has none.
  void (*options)(OptionBuilder& options) = nullptr;
  /// One of these two: an independent objective, or a base method for others to build on.
  std::unique_ptr<Objective> (*make)(const ObjectiveSetup& setup) = nullptr;
  std::unique_ptr<Method> (*make_base)(const ObjectiveSetup& setup, const Encoder& encoder) = nullptr;
  /// Set both or neither. Returns the options, including objective and epochs, of a run that must come first on the
  /// same images; none if no such run is needed. ssl/training/stages.h sets its folder and schedule.
  std::optional<Options> (*first_run)(const Options& options) = nullptr;
  /// Passes that run's encoder file to the objective's settings, where it is neither saved nor compared. Empty: that
  /// run is still to come, and the objective is made only for a plan.
  void (*take_encoder)(Options& options, const std::string& file) = nullptr;
  /// What a run of these options, whose images become such views, should be told before its first step: one line, or
  /// empty.
  std::string (*notice)(const Options& options, const ViewSettings& view) = nullptr;
};

/// Sorted by name.
const std::vector<ObjectiveEntry>& objective_entries();

}  // namespace vergence
