// A file that grows line by line, also from several processes at once.
#pragma once

#include <string>
#include <string_view>

namespace vergence {

class LineFile {
 public:
  /// Finds out whether lines can be added, and leaves no trace. Throws UsageError naming the path where a folder, a
  /// FIFO or a device lies, or nothing can be written.
  explicit LineFile(std::string path);

  const std::string& path() const { return path_; }

  /// Adds `line`, which has no line's end, behind what is there, and syncs it: in one write, while no other process of
  /// this kind writes. An unfinished line, of a process that was killed, is ended first. Makes the file where there is
  /// none. Throws Error naming the path; a line that could not be written whole is taken back.
  void append(std::string_view line);

 private:
  std::string path_, target_;  // as given, behind links
};

}  // namespace vergence
