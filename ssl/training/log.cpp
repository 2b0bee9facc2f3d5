#include "ssl/training/log.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

#include "engine/io/files.h"
#include "engine/text/printable.h"
#include "kernels/error.h"

namespace vergence {
namespace {

/// Each line passed through printable() and ended with '\n'.
std::string printable_lines(std::string_view lines) {
  std::string text;
  while (!lines.empty()) {
    const std::size_t end = std::min(lines.find('\n'), lines.size());
    text += printable(lines.substr(0, end)) + "\n";
    lines.remove_prefix(std::min(end + 1, lines.size()));
  }
  return text;
}

/// Whether the file's last line is cut off, as by a kill.
bool ends_within_a_line(int file) {
  struct stat status {};
  char last = '\n';
  return fstat(file, &status) == 0 && status.st_size > 0 && pread(file, &last, 1, status.st_size - 1) == 1 &&
         last != '\n';
}

}  // namespace

TrainLog::TrainLog(TrainLog* outer, std::FILE* out, std::FILE* errors)
    : outer_(outer), out_(outer ? outer->out_ : out), errors_(outer ? outer->errors_ : errors), failed_(!out_) {}

TrainLog::~TrainLog() {
  if (file_ >= 0) close(file_);
}

void TrainLog::show(std::FILE* screen, std::string_view lines) {
  if (!screen) return;
  const std::string text = printable_lines(lines);
  std::fflush(out_);  // both may be the same terminal
  std::fputs(text.c_str(), screen);
  std::fflush(screen);
  for (TrainLog* log = this; log; log = log->outer_) log->write(text);
}

void TrainLog::say(std::string_view lines) { show(out_, lines); }

void TrainLog::warn(std::string_view lines) { show(errors_, lines); }

void TrainLog::keep(std::string_view lines) { write(printable_lines(lines)); }

void TrainLog::open(const std::string& path) {
  path_ = path;
  file_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (file_ < 0) return give_up(errno);
  const std::string kept = std::exchange(unwritten_, "");
  write((ends_within_a_line(file_) ? "\n" : "") + kept);
}

void TrainLog::write(std::string_view text) {
  if (failed_) return;
  if (path_.empty()) {
    unwritten_ += text;
    return;
  }
  if (!write_all(file_, text)) give_up(errno);
}

void TrainLog::give_up(int error) {
  failed_ = true;
  const std::string warning = join("warning: ", path_, ": cannot write: ", std::strerror(error),
                                   "; training continues, but this log is no longer written");
  std::fprintf(errors_, "%s\n", printable(warning).c_str());
}

}  // namespace vergence
