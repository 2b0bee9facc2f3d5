// XXH3 (xxhash.h): checksums of stored data and names derived from contents. Fast; gives no protection against
// deliberate forgery.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace vergence {

/// XXH3 with 64 bits.
std::uint64_t xxh3(const void* bytes, std::size_t count);

/// XXH128 in its canonical form: 32 lower-case hexadecimal digits, as `xxh128sum` prints.
std::string xxh128(std::string_view bytes);

/// XXH128 of bytes that arrive in pieces.
class Xxh128 {
 public:
  Xxh128();
  ~Xxh128();
  Xxh128(const Xxh128&) = delete;
  Xxh128& operator=(const Xxh128&) = delete;

  void add(const void* bytes, std::size_t count);
  /// Adds a text preceded by its length, so that "ab", "c" and "a", "bc" have different digests.
  void add_text(std::string_view text);
  void add_number(std::int64_t number) { add(&number, sizeof number); }
  /// The digits of all bytes so far.
  std::string digits() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace vergence
