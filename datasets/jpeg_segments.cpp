// Headers of JPEG files are segments: ff, a marker, the length of the rest (two bytes, itself included), the rest.
#include "datasets/jpeg_segments.h"

#include "kernels/error.h"

namespace vergence {
namespace {

constexpr int start_of_scan = 0xda, huffman_tables = 0xc4;

/// Walks through the segments before the first scan's data. Bytes between segments are passed over, as decoders do.
class Segments {
 public:
  explicit Segments(std::string_view bytes) : bytes_(bytes) {}

  /// Goes to the next segment; false: there is none that is whole in its first four bytes.
  bool next() {
    at_ = bytes_.find('\xff', end_);
    while (at_ != std::string_view::npos && at_ + 1 < bytes_.size() && bytes_[at_ + 1] == '\xff') ++at_;
    if (at_ == std::string_view::npos || at_ + 4 > bytes_.size()) return false;
    end_ = at_ + 2 + static_cast<std::size_t>(number(2));
    return true;
  }
  int marker() const { return byte(1); }
  /// Where its ff is in the file.
  std::size_t place() const { return at_; }
  /// A byte of it, counted from its ff; 0 behind the file's end.
  int byte(std::size_t i) const { return at_ + i < bytes_.size() ? static_cast<unsigned char>(bytes_[at_ + i]) : 0; }
  int number(std::size_t i) const { return byte(i) << 8 | byte(i + 1); }

 private:
  std::string_view bytes_;
  std::size_t at_ = 0, end_ = 2;  // of the segment; behind the two bytes that every JPEG begins with
};

bool is_frame(int marker) { return marker >= 0xc0 && marker <= 0xcf && marker != huffman_tables && marker != 0xc8; }

/// The format allows 256; encoders need 176 at most, and stb_image takes the number of the 256th for a sign.
constexpr int most_codes = 255;

/// Whether every table in a segment of tables, which begins with ff c4 at `at`, has at most so many codes.
bool are_tables_sound(std::string_view bytes, std::size_t at) {
  const auto byte = [&](std::size_t i) { return i < bytes.size() ? static_cast<unsigned char>(bytes[i]) : 0; };
  std::int64_t rest = (byte(at + 2) << 8 | byte(at + 3)) - 2;
  for (at += 4; rest > 0;) {
    int codes = 0;
    for (std::size_t i = 1; i <= 16; ++i) codes += byte(at + i);
    if (codes > most_codes) return false;
    at += 17 + static_cast<std::size_t>(codes);
    rest -= 17 + codes;
  }
  return true;
}

}  // namespace

ImageHeader jpeg_header(std::string_view bytes, const std::string& name) {
  Segments segment(bytes);
  while (segment.next() && segment.marker() != start_of_scan) {
    if (!is_frame(segment.marker())) continue;
    require_usage(segment.marker() <= 0xc2 && segment.byte(4) == 8, name,
                  ": a JPEG of a rare kind (lossless, arithmetic coding or not of 8 bits)");
    return {.format = ImageHeader::Format::jpeg, .height = segment.number(5), .width = segment.number(7)};
  }
  throw UsageError(join(name, ": damaged image header"));
}

void check_for_stb(std::string_view bytes, const std::string& name) {
  Segments segment(bytes);
  bool sound = true, found = segment.next();
  for (; found && segment.marker() != start_of_scan; found = segment.next())
    if (segment.marker() == huffman_tables) sound = sound && are_tables_sound(bytes, segment.place());
  const std::size_t scan = segment.place(), end = bytes.rfind("\xff\xd9");
  require_usage(found && end != std::string_view::npos && end > scan, name, ": damaged JPEG: the file ends too early");
  // A scan's data have no ff c4, so from here on each is a marker.
  for (std::size_t at = scan; (at = bytes.find("\xff\xc4", at)) != std::string_view::npos; ++at)
    sound = sound && are_tables_sound(bytes, at);
  require_usage(sound, name, ": damaged JPEG: a table has more than ", most_codes, " codes");
}

}  // namespace vergence
