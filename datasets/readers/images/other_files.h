// Counts the unread files in image folders by kind, for a one-line notice.
#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace vergence {

/// Counts files by their names' endings. Ignores usual companions of images: tables and texts (.txt, .csv, .json, .xml,
/// .md, ...), README, LICENSE, Thumbs.db and desktop.ini.
class OtherFiles {
 public:
  void add(const std::string& name);
  void add(const OtherFiles& more);
  /// "3 .tif, 1 .heic", most frequent first, or nothing.
  std::string listed() const;
  /// "4 files of other kinds are not read (3 .tif, 1 .heic)", or nothing.
  std::string notice() const;

 private:
  std::map<std::string, std::int64_t> counts_;  // by ending, in lower case
};

}  // namespace vergence
