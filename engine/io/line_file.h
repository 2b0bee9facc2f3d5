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

  /// Appends `line`, given without a newline, and syncs it: one write, under a lock that other LineFiles respect. Ends
  /// an unfinished line left by a killed process first. Creates the file if there is none. Throws Error naming the
  /// path; a line that could not be written whole is removed again.
  void append(std::string_view line);

 private:
  std::string path_, target_;  // as given, after following links
};

}  // namespace vergence
