#include "ssl/options/jpeg_choice.h"

#include "datasets/registry.h"

namespace vergence {
namespace {

constexpr Word<JpegLibrary> jpeg_words[]{{"turbo", JpegLibrary::turbo}, {"stb", JpegLibrary::stb}};
/// The first word of a value is the one that is written.
constexpr Word<JpegLibrary> jpeg_words_of_stb[]{
    {"stb", JpegLibrary::stb}, {"stb", JpegLibrary::turbo}, {"turbo", JpegLibrary::turbo}};

}  // namespace

void add_jpeg_choice(OptionBuilder& options, bool has_turbo) {
  options.choice(
      "jpeg", [](Options & o) -> auto& { return o.jpeg; },
      has_turbo ? Words<JpegLibrary>(jpeg_words) : Words<JpegLibrary>(jpeg_words_of_stb),
      "JPEG decoder: libjpeg-turbo if the build has it, or stb_image");
  if (!has_turbo) options.entries.back().choices = {"stb"};
}

std::string missing_turbo(const std::vector<Layer>& files, const std::string& dataset, bool has_turbo) {
  if (has_turbo || !is_of_image_files(dataset)) return "";
  std::string line;
  for (const Layer& layer : files)
    for (const Setting& setting : layer.settings)
      if (setting.name == "jpeg")
        line = setting.value == "turbo"
                   ? join(setting.where, ": this build has no libjpeg-turbo, so stb_image decodes JPEG files")
                   : "";
  return line;
}

}  // namespace vergence
