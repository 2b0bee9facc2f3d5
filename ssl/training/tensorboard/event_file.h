// Event files as TensorBoard reads them: a record for each event, with checksums. What an event holds is in events.h.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace vergence {

/// CRC-32C, masked as event files store it: rotated right by 15 bits, plus a constant.
std::uint32_t masked_crc32c(std::string_view bytes);

/// A record: the event's length (8 bytes), the length's checksum (4), the event, its checksum (4); little-endian.
std::string event_record(std::string_view event);

/// Removes the event files in `folder`, as far as that is possible.
void remove_event_files(const std::string& folder);

class EventFile {
 public:
  /// Creates a file in `folder` whose name comes after those of the event files there: TensorBoard reads them in the
  /// order of their names. Throws Error.
  explicit EventFile(const std::string& folder);
  ~EventFile();
  EventFile(const EventFile&) = delete;
  EventFile& operator=(const EventFile&) = delete;

  /// Appends one event and hands it to the system, so that a kill of this process cannot lose it. Throws Error.
  void append(std::string_view event);

 private:
  std::string path_;
  int file_;
};

}  // namespace vergence
