// UTF-8 of characters, and many names of arbitrary bytes.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/random.h"

namespace vergence {

inline constexpr std::uint32_t last_character = 0x10ffff;

inline bool is_surrogate(std::uint32_t number) { return number >= 0xd800 && number <= 0xdfff; }

/// A code point encoded in `length` bytes, whatever length UTF-8 gives it.
inline std::string encoded(std::uint32_t number, int length) {
  if (length == 1) return {static_cast<char>(number)};
  std::string bytes;
  for (int i = 0; i < length - 1; ++i, number >>= 6)
    bytes.insert(bytes.begin(), static_cast<char>(0x80 | (number & 63)));
  return static_cast<char>((0xf00 >> length) | number) + bytes;
}

inline std::string utf8_of(std::uint32_t number) {
  return encoded(number, number < 0x80 ? 1 : number < 0x800 ? 2 : number < 0x10000 ? 3 : 4);
}

/// Calls `check` with every string of one and two bytes other than 0, and with `count` random ones. Half of those
/// consist of pieces with a meaning.
template <class Check>
void for_many_names(int count, Check&& check) {
  for (int a = 1; a < 256; ++a) {
    check(std::string{static_cast<char>(a)});
    for (int b = 1; b < 256; ++b) check(std::string{static_cast<char>(a), static_cast<char>(b)});
  }
  const std::vector<std::string> pieces{"bytes:",
                                        "%",
                                        "%E9",
                                        "25",
                                        "/",
                                        "\n",
                                        "\\",
                                        "\"",
                                        "\xc3\xa9",
                                        "\xe2\x82\xac",
                                        "\xf0\x9f\x98\x80",
                                        "\xef\xbb\xbf",
                                        "\xc2\x9b",
                                        "\x7f",
                                        "\xe9",
                                        "\xed\xa0\x80"};
  Random random(7, Purpose::test);
  for (int i = 0; i < count; ++i) {
    std::string name;
    for (std::uint64_t left = 1 + random.below(9); left > 0; --left) {
      if (i % 2 == 0)
        name += static_cast<char>(1 + random.below(255));
      else
        name += pieces[random.below(static_cast<std::uint32_t>(pieces.size()))];
    }
    check(name);
  }
}

}  // namespace vergence
