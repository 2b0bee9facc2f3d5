// The objectives there are. Each file ssl/objectives/NAME.cpp is one, or ssl/objectives/NAME/NAME.cpp with what it
// needs beside it: it defines vergence::objectives::NAME(), and the build makes the list.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ssl/base_method.h"
#include "ssl/objective.h"
#include "ssl/options/builder.h"

namespace vergence {

struct ObjectiveEntry {
  const char* name;   // as --objective takes it, and of its options: "NAME.temperature"
  const char* title;  // of its options in --help
  /// Declares its switches.
  void (*options)(OptionBuilder& options);
  /// One of these two: an objective of its own, or a base method that others can be built on.
  std::unique_ptr<Objective> (*make)(const ObjectiveSetup& setup) = nullptr;
  std::unique_ptr<BaseMethod> (*make_base)(const ObjectiveSetup& setup, const Encoder& encoder) = nullptr;
  /// Both or none. The options of a run that must come first, with its own objective and epochs, nothing where none
  /// must; on the same images. Its folder and schedule are not settled here (ssl/training/stages.h).
  std::optional<Options> (*first_run)(const Options& options) = nullptr;
  /// Tells an objective's options where that run's encoder lies, in a setting that is no option, so that it is neither
  /// saved nor compared. No file: that run is still to come, and the objective will be made for a plan alone.
  void (*take_encoder)(Options& options, const std::string& file) = nullptr;
};

/// In the order of their names.
const std::vector<ObjectiveEntry>& objective_entries();

}  // namespace vergence
