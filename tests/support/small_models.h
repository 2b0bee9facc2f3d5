// Small models for tests.
#pragma once

#include <gtest/gtest.h>
#include <string>

#include "engine/graph.h"
#include "engine/parameters.h"
#include "kernels/random.h"
#include "models/encoders/resnet.h"

namespace vergence {

inline Tensor random_tensor(const Shape& shape, std::uint64_t stream, DType dtype = DType::f64) {
  Random random(5, Purpose::test, 0, stream);
  std::vector<double> values(static_cast<std::size_t>(shape.size()));
  for (double& value : values) value = random.uniform(-1, 1);
  return from_values(cpu_backend(), shape, values, dtype);
}

inline ResNetSettings small(const std::string& encoder = "resnet18", std::int64_t width = 2) {
  ResNetSettings settings;
  settings.encoder = encoder;
  settings.width = width;
  settings.image_size = 8;
  return settings;
}

/// The tensors of a model in the order of `each`.
template <class Model>
Tensors values_of(Model model) {
  Tensors values;
  for (const NamedTensor& parameter : parameters_of(model)) values.push_back(*parameter.tensor);
  return values;
}

/// Replaces them by as many other tensors.
template <class Model>
void set_values(const Tensors& values, Model& model) {
  std::size_t at = 0;
  for (const NamedTensor& parameter : parameters_of(model)) *parameter.tensor = values.at(at++);
  ASSERT_EQ(at, values.size());
}

/// Compares the derivative of value(model) by all of the model's parameters, along a random direction, with a
/// difference.
template <class Model, class Value>
void expect_gradient_along_a_direction(Model& model, const Value& value) {
  const ParameterSet set(parameters_of(model));
  const Tensors gradients = grad({value(model)}, set.tensors());
  double along = 0;
  Tensors directions;
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    directions.push_back(random_tensor(gradients[i].shape, 200 + i));
    along += dot(gradients[i], directions[i]).item();
  }
  const auto value_at = [&](double distance) {
    Model moved = model;
    Tensors values;
    for (std::size_t i = 0; i < directions.size(); ++i)
      values.push_back(set.tensors()[i].detached() + distance * directions[i]);
    set_values(values, moved);
    return value(moved).item();
  };
  const double before = value_at(0), h = 1e-6;
  EXPECT_NEAR((value_at(h) - value_at(-h)) / (2 * h) / along, 1, 1e-5);
  EXPECT_EQ(value(model).item(), before) << "a copy has handles of its own";
}

/// A ResNet with random scales and shifts, so that no batch norm is the initial identity.
inline ResNet perturbed(const ResNetSettings& settings, DType dtype = DType::f64) {
  ResNet model = make_resnet(settings, {cpu_backend(), 1, dtype});
  std::uint64_t stream = 1000;
  model.each([&](const std::string&, Tensor& tensor) {
    ++stream;
    if (tensor.shape.rank() == 1) tensor = tensor + 0.5 * random_tensor(tensor.shape, stream, dtype);
  });
  return model;
}

}  // namespace vergence
