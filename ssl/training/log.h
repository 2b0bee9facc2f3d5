// A run's messages: on the screen and, once its run folder is open, in train.log. The progress line is not among them.
#pragma once

#include <cstdio>
#include <string>
#include <string_view>

namespace vergence {

class TrainLog {
 public:
  /// `outer`: the log of the enclosing run, which receives and shows every line. Without one, shows lines on `out` and
  /// `errors`; if those are null, the log is silent: it shows and keeps nothing.
  explicit TrainLog(TrainLog* outer = nullptr, std::FILE* out = stdout, std::FILE* errors = stderr);
  ~TrainLog();
  TrainLog(const TrainLog&) = delete;
  TrainLog& operator=(const TrainLog&) = delete;

  /// Shows lines on `out`, each passed through printable(); the last one needs no '\n'.
  void say(std::string_view lines);
  /// The same on `errors`.
  void warn(std::string_view lines);
  /// Writes lines that are shown elsewhere to the file only.
  void keep(std::string_view lines);
  /// Appends to this file, starting with all lines so far. Each line goes to the system at once, so a kill loses none.
  /// If the file cannot be written, now or later, warns once on `errors` and writes no more.
  void open(const std::string& path);

  /// The stream that shows its lines; null if it is silent.
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
