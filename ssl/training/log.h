// What a run says: on the screen and, once its run folder is open, in train.log. The progress line is not part of it.
#pragma once

#include <cstdio>
#include <string>
#include <string_view>

namespace vergence {

class TrainLog {
 public:
  /// `outer`: the log of the run that this one is a part of. It gets every line as well and shows it; `out` and
  /// `errors` are where a log without one shows its lines.
  explicit TrainLog(TrainLog* outer = nullptr, std::FILE* out = stdout, std::FILE* errors = stderr);
  ~TrainLog();
  TrainLog(const TrainLog&) = delete;
  TrainLog& operator=(const TrainLog&) = delete;

  /// Shows lines on `out`, each as printable() makes it; the last one needs no '\n'.
  void say(std::string_view lines);
  /// The same on `errors`.
  void warn(std::string_view lines);
  /// Puts lines that are shown elsewhere into the file alone.
  void keep(std::string_view lines);
  /// Goes on at the end of this file, beginning with all that was said so far. Each line is handed to the system at
  /// once, so that a kill of this process cannot lose it. A file that cannot be written, now or later, is named once on
  /// `errors` and then left alone.
  void open(const std::string& path);

  /// Where its lines are shown.
  std::FILE* out() const { return out_; }

 private:
  void show(std::FILE* screen, std::string_view lines);
  void write(std::string_view text);
  void give_up(int error);

  TrainLog* outer_;
  std::FILE *out_, *errors_;
  std::string path_, unwritten_;
  int file_ = -1;
  bool failed_ = false;
};

}  // namespace vergence
