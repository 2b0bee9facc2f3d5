// Small models for tests.
#pragma once

#include <string>

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

/// Random scales and shifts, so that no batch norm is the identity that it starts as.
inline ResNet stirred(const ResNetSettings& settings, DType dtype = DType::f64) {
  ResNet model = make_resnet(settings, {cpu_backend(), 1, dtype});
  std::uint64_t stream = 1000;
  model.each([&](const std::string&, Tensor& tensor) {
    ++stream;
    if (tensor.shape.rank() == 1) tensor = tensor + 0.5 * random_tensor(tensor.shape, stream, dtype);
  });
  return model;
}

}  // namespace vergence
