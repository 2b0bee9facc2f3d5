// A folder of generated image files for tests: every image has its own size and content.
#pragma once

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "kernels/random.h"
#include "tests/support/image_files.h"
#include "tests/support/temporary_folder.h"

namespace vergence {

/// A file's image.
struct TestPicture {
  int height = 0, width = 0;
  std::vector<std::uint8_t> pixels;  // noise
};

inline TestPicture test_picture(int number) {
  TestPicture picture{20 + number % 7, 18 + number % 5, {}};
  Random random(static_cast<std::uint64_t>(number), Purpose::test);
  for (int i = 0; i < picture.height * picture.width * 3; ++i)
    picture.pixels.push_back(static_cast<std::uint8_t>(random.below(256)));
  return picture;
}

class ImageTree {
 public:
  const TemporaryFolder& folder() const { return folder_; }
  const std::string& path() const { return folder_.path(); }
  std::string operator/(const std::string& name) const { return folder_ / name; }

  void write(const std::string& name, const std::string& bytes) const {
    std::filesystem::create_directories(std::filesystem::path(folder_ / name).parent_path());
    std::ofstream(folder_ / name, std::ios::binary) << bytes;
  }
  /// Writes test_picture(number) as a PNG file, whatever its name.
  void picture(const std::string& name, int number = 0) const {
    const TestPicture picture = test_picture(number);
    std::vector<std::string> rows;
    for (int y = 0; y < picture.height; ++y)
      rows.emplace_back(picture.pixels.begin() + y * picture.width * 3,
                        picture.pixels.begin() + (y + 1) * picture.width * 3);
    write(name, png_file(rows, picture.width, {}));
  }
  /// Writes `count` images into each of the classes "a" and "b" of a folder, with consecutive numbers.
  void classes(const std::string& where, int count) const {
    for (const char* name : {"a", "b"})
      for (int i = 0; i < count; ++i)
        picture(where + "/" + name + "/" + std::to_string(100 + i) + ".png", i + (*name == 'b' ? count : 0));
  }
  /// Keeps the header valid but cuts off pixels, so only reading the image finds the damage.
  void cut_in_half(const std::string& name) const {
    std::filesystem::resize_file(folder_ / name, std::filesystem::file_size(folder_ / name) / 2);
  }

 private:
  TemporaryFolder folder_;
};

}  // namespace vergence
