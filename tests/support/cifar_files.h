// Generated CIFAR-10 files in the binary version's form.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>

#include "kernels/error.h"

namespace vergence {

inline constexpr std::size_t cifar_file_images = 10000, cifar_record = 3073;

/// File 1 to 5 of the training images, 6 of the test images.
inline std::string cifar_file(int number) {
  return number == 6 ? "test_batch.bin" : "data_batch_" + std::to_string(number) + ".bin";
}

/// The value of a pixel of image `index` of a file in one channel. The first three pixels identify file and index.
inline std::uint8_t cifar_byte(int file, std::size_t index, std::size_t channel, std::size_t pixel) {
  const std::size_t marks[] = {static_cast<std::size_t>(file), index >> 8, index & 255};
  return static_cast<std::uint8_t>(pixel < 3 ? marks[pixel]
                                             : 31 * index + 57 * channel + 5 * pixel + pixel * pixel / 9);
}

/// Writes a whole file; image i is of class i mod `classes`.
inline void write_cifar_file(const std::string& folder, int number, std::size_t classes = 10) {
  std::string bytes;
  bytes.reserve(cifar_file_images * cifar_record);
  for (std::size_t i = 0; i < cifar_file_images; ++i) {
    bytes.push_back(static_cast<char>(i % classes));
    for (std::size_t c = 0; c < 3; ++c)
      for (std::size_t p = 0; p < 1024; ++p) bytes.push_back(static_cast<char>(cifar_byte(number, i, c, p)));
  }
  std::filesystem::create_directories(folder);
  std::ofstream file(std::filesystem::path(folder) / cifar_file(number), std::ios::binary);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  file.close();
  require(file.good(), folder, ": cannot write ", cifar_file(number));
}

}  // namespace vergence
