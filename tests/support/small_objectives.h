// Small objectives for tests: their options, batches, parameters and reports.
#pragma once

#include <cmath>
#include <gtest/gtest.h>
#include <initializer_list>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "ssl/objective.h"
#include "ssl/options/table.h"
#include "tests/support/small_models.h"

namespace vergence {

/// Values of options by name.
using Switches = std::vector<std::pair<std::string, std::string>>;

inline void set_options(Options& options, const Switches& switches) {
  for (const auto& [name, value] : switches) set_option(options, name, value);
}

/// Sets each of these options to the same value.
inline void set_all(Options& options, std::initializer_list<const char*> names, const std::string& value) {
  for (const char* name : names) set_option(options, name, value);
}

/// The usual batch of small objectives, and height and width of its images.
inline constexpr std::int64_t small_batch = 6, small_image = 8;

/// A base method or an objective built on one, with small heads.
inline Options small_options(const std::string& objective, std::int64_t width = 2, std::int64_t batch = small_batch,
                             const std::string& hidden = "12", const std::string& output = "6") {
  Options options;
  options.objective = objective;
  options.components.get<ResNetSettings>().width = width;
  options.batch = batch;
  set_all(options, {"simclr.hidden", "barlow_twins.hidden", "byol.hidden", "byol.predictor_hidden", "vicreg.hidden"},
          hidden);
  set_all(options, {"simclr.output", "barlow_twins.output", "byol.output", "vicreg.output"}, output);
  return options;
}

/// On the CPU, with one type for everything. `options` must outlive it.
inline ObjectiveSetup small_setup(const Options& options, DType dtype = DType::f64, std::int64_t image = small_image) {
  return {options, encoder_settings(options, image), cpu_backend(), dtype, dtype};
}

inline std::unique_ptr<Objective> small_objective(const Options& options, DType dtype = DType::f64,
                                                  std::int64_t image = small_image) {
  return make_objective(small_setup(options, dtype, image));
}

/// Such as it is in a run that goes on from its checkpoint.
inline std::unique_ptr<Objective> begun_objective(const Options& options, DType dtype = DType::f64,
                                                  std::int64_t image = small_image) {
  ObjectiveSetup setup = small_setup(options, dtype, image);
  setup.begun = true;
  return make_objective(setup);
}

/// Views and un-augmented images.
inline Views random_batch(std::uint64_t stream, DType dtype = DType::f64) {
  return {random_tensor({2 * small_batch, small_image, small_image, 3}, stream, dtype),
          random_tensor({small_batch, small_image, small_image, 3}, stream + 1, dtype)};
}

/// The same numbers in f64.
inline Views doubled(const Views& views) {
  const auto wide = [](const Tensor& x) { return x ? from_values(cpu_backend(), x.shape, x.values()) : Tensor{}; };
  return {wide(views.both), wide(views.plain)};
}

/// The context of a step on a `random_batch`.
inline StepContext step_context(std::int64_t step, double lr = 0) {
  return {.lr = lr, .step = step, .steps = 10, .images = small_batch};
}

inline ParameterSet set_of(Objective& objective, const std::string& name) {
  for (const auto& [set, parameters] : objective.state().parameters)
    if (set == name) return parameters;
  throw Error("no such set of parameters: " + name);
}

inline double part(const Step& step, const std::string& name) {
  for (const auto& [known, value] : step.parts)
    if (known == name) return value.item();
  ADD_FAILURE() << "there is no part " << name;
  return NAN;
}

}  // namespace vergence
