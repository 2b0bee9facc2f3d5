// A JPEG segment is the byte ff, a marker, the length of the rest (two bytes, counting themselves), and the rest.
#include "datasets/decoders/jpeg_segments.h"

#include "kernels/error.h"

namespace vergence {
namespace {

constexpr int start_of_scan = 0xda, huffman_tables = 0xc4, end_of_image = 0xd9, app14 = 0xee;

/// Walks through the segments up to the image's end. Like decoders, skips what lies between them: stray bytes, and scan
/// data, where only 0 or a restart marker follows an ff.
class Segments {
 public:
  explicit Segments(std::string_view bytes) : bytes_(bytes) {}

  /// Moves to the next segment; false: at the image's end, or if the file ends before another segment's first four
  /// bytes.
  bool next() {
    for (;;) {
      at_ = bytes_.find('\xff', end_);
      while (at_ != std::string_view::npos && at_ + 1 < bytes_.size() && bytes_[at_ + 1] == '\xff') ++at_;
      if (at_ == std::string_view::npos) return false;
      complete_ = marker() == end_of_image;
      if (complete_ || at_ + 4 > bytes_.size()) return false;
      end_ = at_ + 2;
      if (!has_length()) continue;
      end_ += static_cast<std::size_t>(number(2));
      return true;
    }
  }
  /// Whether the walk has reached the image's end.
  bool complete() const { return complete_; }
  int marker() const { return byte(1); }
  /// The position of the segment's ff in the file.
  std::size_t place() const { return at_; }
  /// Byte `i` of the segment, counted from its ff; 0 past the file's end.
  int byte(std::size_t i) const { return at_ + i < bytes_.size() ? static_cast<unsigned char>(bytes_[at_ + i]) : 0; }
  int number(std::size_t i) const { return byte(i) << 8 | byte(i + 1); }

 private:
  /// False for restarts, a second start of the image, and bytes that are no marker.
  bool has_length() const { return marker() >= 0xc0 && (marker() < 0xd0 || marker() > 0xd8); }

  std::string_view bytes_;
  std::size_t at_ = 0, end_ = 2;  // of the segment; at first, after the start of the image
  bool complete_ = false;
};

bool is_frame(int marker) { return marker >= 0xc0 && marker <= 0xcf && marker != huffman_tables && marker != 0xc8; }

/// The format allows 256. Encoders need at most 176, and stb_image uses the index of the 256th, 255, as a flag.
constexpr int max_codes = 255;

/// Whether each Huffman table of the segment at `at` (its ff c4) has at most max_codes codes.
bool are_tables_sound(std::string_view bytes, std::size_t at) {
  const auto byte = [&](std::size_t i) { return i < bytes.size() ? static_cast<unsigned char>(bytes[i]) : 0; };
  std::int64_t rest = (byte(at + 2) << 8 | byte(at + 3)) - 2;
  for (at += 4; rest > 0;) {
    int codes = 0;
    for (std::size_t i = 1; i <= 16; ++i) codes += byte(at + i);
    if (codes > max_codes) return false;
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

std::int64_t jpeg_scans(std::string_view bytes) {
  std::int64_t scans = 0;
  for (Segments segment(bytes); segment.next();) scans += segment.marker() == start_of_scan;
  return scans;
}

void check_for_stb(std::string_view bytes, const std::string& name) {
  Segments segment(bytes);
  bool sound = true, found = false;
  while (segment.next()) {
    found = found || segment.marker() == start_of_scan;
    if (segment.marker() == huffman_tables) sound = sound && are_tables_sound(bytes, segment.place());
  }
  require_usage(found && segment.complete(), name, ": damaged JPEG: the file ends too early");
  require_usage(sound, name, ": damaged JPEG: a table has more than ", max_codes, " codes");
}

std::string with_adobe_marker(std::string_view bytes) {
  constexpr char adobe[] = "Adobe";
  int components = 0, transform = 0;
  Segments segment(bytes);
  while (segment.next() && segment.marker() != start_of_scan) {
    if (is_frame(segment.marker())) components = segment.byte(9);
    if (segment.marker() == app14 && segment.number(2) >= 14 && bytes.substr(segment.place() + 4, 5) == adobe)
      transform = segment.byte(15);
  }
  if (components != 4 || segment.marker() != start_of_scan) return "";
  std::string marked(bytes.substr(0, segment.place()));  // at the end: the last Adobe marker counts
  marked += std::string("\xff\xee\0\x0e", 4) + adobe + std::string("\0\x64\0\0\0\0", 6);
  marked += transform == 0 ? '\0' : '\2';  // CMYK, or YCCK, which libjpeg assumes for other values
  return marked.append(bytes.substr(segment.place()));
}

}  // namespace vergence
