#include "ssl/training/tensorboard/event_file.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cctype>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <ctime>
#include <fcntl.h>
#include <filesystem>
#include <system_error>
#include <unistd.h>
#include <vector>

#include "engine/io/files.h"
#include "engine/io/require_call.h"

namespace vergence {
namespace {

constexpr std::string_view event_prefix = "events.out.tfevents.";

constexpr std::array<std::uint32_t, 256> crc32c_table = [] {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t sum = byte;
    for (int bit = 0; bit < 8; ++bit) sum = sum >> 1 ^ (sum & 1 ? 0x82f63b78u : 0u);
    table[byte] = sum;
  }
  return table;
}();

template <class Integer>
void append_little_endian(std::string& to, Integer value) {
  for (std::size_t byte = 0; byte < sizeof value; ++byte) to.push_back(static_cast<char>(value >> 8 * byte & 255));
}

/// The seconds in an event file's name; 0 for any other name.
std::int64_t seconds_in(const std::string& name) {
  std::int64_t seconds = 0;
  if (name.starts_with(event_prefix))
    std::from_chars(name.data() + event_prefix.size(), name.data() + name.size(), seconds);
  return seconds;
}

std::int64_t latest_seconds(const std::string& folder) {
  std::int64_t latest = 0;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error))
    latest = std::max(latest, seconds_in(entry->path().filename().string()));
  return latest;
}

std::string host_in_name() {
  std::array<char, 256> name{};
  std::string host = gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "";
  for (char& c : host)
    if (!std::isalnum(static_cast<unsigned char>(c)) && c != '-') c = '_';
  return host.empty() ? "unknown" : host;
}

/// Two files of one second must have their order too, so the later one's name has a later second.
std::string new_name(const std::string& folder) {
  const std::int64_t seconds = std::max<std::int64_t>(std::time(nullptr), latest_seconds(folder) + 1);
  std::array<char, 32> digits{};
  std::snprintf(digits.data(), digits.size(), "%010lld", static_cast<long long>(seconds));
  return join(event_prefix, digits.data(), ".", host_in_name(), ".", getpid(), ".vergence");
}

}  // namespace

std::uint32_t masked_crc32c(std::string_view bytes) {
  std::uint32_t sum = ~0u;
  for (const char byte : bytes) sum = sum >> 8 ^ crc32c_table[(sum ^ static_cast<unsigned char>(byte)) & 255];
  return std::rotr(~sum, 15) + 0xa282ead8u;
}

std::string event_record(std::string_view event) {
  std::string record;
  record.reserve(event.size() + 16);
  append_little_endian(record, static_cast<std::uint64_t>(event.size()));
  append_little_endian(record, masked_crc32c(record));
  record += event;
  append_little_endian(record, masked_crc32c(event));
  return record;
}

void remove_event_files(const std::string& folder) {
  std::vector<std::filesystem::path> files;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error))
    if (entry->path().filename().string().starts_with(event_prefix)) files.push_back(entry->path());
  for (const std::filesystem::path& file : files) std::filesystem::remove(file, error);
}

EventFile::EventFile(const std::string& folder) : path_(folder + "/" + new_name(folder)) {
  file_ = open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0666);
  require_call(file_ >= 0, path_, "cannot create");
}

EventFile::~EventFile() { close(file_); }

void EventFile::append(std::string_view event) {
  require_call(write_all(file_, event_record(event)), path_, "cannot write");
}

}  // namespace vergence
