// Names that are bytes, as configuration files hold them.
#include <gtest/gtest.h>

#include "engine/text/printable.h"
#include "engine/text/stored_text.h"
#include "ssl/options/toml.h"
#include "tests/support/many_names.h"

namespace vergence {
namespace {

TEST(ConfigurationFiles, HoldStoredText) {
  const auto read = [](const std::string& text) {
    return read_toml("data = " + toml_quote(text) + "\n", "saved").at(0).value;
  };
  std::string all;  // many characters to a file
  for (std::uint32_t number = 0; number <= last_character; ++number) {
    if (!is_surrogate(number)) all += utf8_of(number);
    if (number % 4096 != 4095) continue;
    ASSERT_EQ(read(all), all) << number;
    all.clear();
  }
  for_many_names(2000, [&](const std::string& name) {
    ASSERT_EQ(read_stored_text(read(stored_text(name)), ""), name) << shortened(name);
  });
}

}  // namespace
}  // namespace vergence
