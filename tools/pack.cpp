// pack: writes a folder of image files as one file of decoded images, which pretrain reads without decoding.
#include "datasets/readers/images/pack.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <utility>

#include "engine/text/printable.h"
#include "ssl/options/tool_options.h"
#include "tools/common.h"

namespace vergence {
namespace {

const char* const description =
    "Packs a folder of image files into one file: decoded, shrunk, checksummed. Give that file to\n"
    "pretrain, linear_probe and evaluate as --data in the folder's place. Stopped and started again, it\n"
    "goes on where it was.\n"
    "Example: pack imagenet imagenet_256.packed --dataset imagenet100 --short-side 256";

struct PackOptions {
  GivenOptions images;  // of pretrain's options
  std::string directory, file;
  std::int64_t short_side = 256;
  bool verify = false;
};

void add_options(CLI::App& app, PackOptions& options) {
  app.add_option("DIR", options.directory, "folder of the images")->required();
  app.add_option("FILE", options.file, "file to make")->required();
  app.add_option("--short-side", options.short_side, "short side to which larger images are shrunk; 0: keep all sizes")
      ->check(CLI::Range(0, 32768))
      ->capture_default_str();
  options.images.values.dataset = "image_folder";
  options.images.values.decode = DecodeRule::exact;
  add_table_option(app, {.name = "dataset", .only = image_file_datasets(), .help = "layout of the folder"},
                   options.images);
  for (const char* name : {"classes", "jpeg", "decode", "bad-images"}) add_table_option(app, {name}, options.images);
  app.add_flag("--verify", options.verify, "check every image of the finished file against its checksum");
}

int run(PackOptions& options) {
  DatasetSettings data = dataset_settings(options.images.values);
  data.directory = options.directory;
  bool in_line = false;  // after progress output
  const PackResult result = pack_images(
      data, options.file, options.short_side,
      [&](std::int64_t done, std::int64_t all) {
        in_line = true;
        std::printf("\r%lld of %lld images", static_cast<long long>(done), static_cast<long long>(all));
        std::fflush(stdout);
      },
      [&](const std::string& line) {
        std::printf("%s%s\n", std::exchange(in_line, false) ? "\n" : "", printable(line).c_str());
      });
  std::printf("\n%s: %lld images, %lld MiB", printable(options.file).c_str(), static_cast<long long>(result.images),
              static_cast<long long>(result.bytes >> 20));
  if (result.done_before > 0) std::printf(", %lld of them from before", static_cast<long long>(result.done_before));
  if (result.bad > 0) std::printf("; %lld files could not be read", static_cast<long long>(result.bad));
  std::printf("\n");
  if (!options.verify) return 0;
  std::printf("verified: %s\n", verify_packed_images(options.file).c_str());
  return 0;
}

}  // namespace
}  // namespace vergence

int main(int argc, char** argv) {
  CLI::App app(vergence::description, "pack");
  vergence::PackOptions options;
  vergence::add_options(app, options);
  return vergence::run_tool(app, argc, argv, [&] { return vergence::run(options); });
}
