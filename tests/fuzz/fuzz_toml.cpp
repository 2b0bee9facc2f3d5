// Configuration files and recipes of pretrain.
#include "ssl/options/options.h"
#include "tests/fuzz/fuzz_target.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace vergence;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  accepts("", [&] {
    const Options options = options_from_toml(text, "config.toml");
    const std::string written = options_to_toml(options);
    Options again;
    must(accepts("", [&] { again = options_from_toml(written, "written.toml"); }), "what is written is read");
    must(options_to_toml(again) == written, "what is written reads back as it is");
    must(differences(options, again).empty(), "options read back as they are");
  });
  return 0;
}
