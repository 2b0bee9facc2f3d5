#include "engine/io/xxh.h"

#define XXH_INLINE_ALL
#ifdef __SSE2__
#define XXH_VECTOR XXH_SSE2  // fast enough, and gcc 12 warns about the header of the AVX-512 one
#endif
#include <xxhash.h>

namespace vergence {
namespace {

std::string digits_of(const XXH128_hash_t& hash) {
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, hash);
  constexpr std::string_view digits = "0123456789abcdef";
  std::string text;
  for (const unsigned char byte : canonical.digest) text += {digits[byte >> 4], digits[byte & 15]};
  return text;
}

}  // namespace

struct Xxh128::State {
  XXH3_state_t xxh;
};

std::uint64_t xxh3(const void* bytes, std::size_t count) { return XXH3_64bits(bytes, count); }

std::string xxh128(std::string_view bytes) { return digits_of(XXH3_128bits(bytes.data(), bytes.size())); }

Xxh128::Xxh128() : state_(std::make_unique<State>()) { XXH3_128bits_reset(&state_->xxh); }

Xxh128::~Xxh128() = default;

void Xxh128::add(const void* bytes, std::size_t count) { XXH3_128bits_update(&state_->xxh, bytes, count); }

void Xxh128::add_text(std::string_view text) {
  add_number(static_cast<std::int64_t>(text.size()));
  add(text.data(), text.size());
}

std::string Xxh128::digits() const { return digits_of(XXH3_128bits_digest(&state_->xxh)); }

}  // namespace vergence
