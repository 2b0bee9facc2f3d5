// A file that grows line by line, even from several processes at once.
#pragma once

#include <string>
#include <string_view>

namespace vergence {

class LineFile {
 public:
  /// Checks that lines can be added, and leaves no trace. Throws UsageError naming the path if it is a folder, a FIFO
  /// or a device, or if it cannot be written.
  explicit LineFile(std::string path);

  const std::string& path() const { return path_; }

  /// Appends and syncs `line`, given without a newline, under a lock that LineFiles respect; creates a missing file and
  /// first ends a line that a killed process left unfinished. Throws Error naming the path; removes a partial line.
  void append(std::string_view line);

 private:
  std::string path_, target_;  // as given, after following links
};

}  // namespace vergence
