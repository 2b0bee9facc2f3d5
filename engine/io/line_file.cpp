#include "engine/io/line_file.h"

#include <cerrno>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/io/destination.h"
#include "engine/io/files.h"
#include "engine/io/require_call.h"

namespace vergence {
namespace {

/// Closes its descriptor, and so releases the lock.
class Descriptor {
 public:
  explicit Descriptor(int number) : number_(number) {}
  ~Descriptor() {
    if (number_ >= 0) ::close(number_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  operator int() const { return number_; }

 private:
  int number_;
};

/// Waits until no other process holds the lock. Does nothing on a file system without locks.
void lock(int descriptor) {
  while (flock(descriptor, LOCK_EX) != 0 && errno == EINTR) {
  }
}

}  // namespace

LineFile::LineFile(std::string path) : path_(std::move(path)), target_(regular_destination(path_)) {
  if (!file_exists(target_)) return;
  const Descriptor file(open(target_.c_str(), O_RDWR | O_APPEND | O_NONBLOCK | O_CLOEXEC));
  require_call<UsageError>(file >= 0, path_, "cannot open");
}

void LineFile::append(std::string_view line) {
  const bool is_new = !file_exists(target_);
  const Descriptor file(open(target_.c_str(), O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0666));
  require_call(file >= 0, path_, "cannot open");
  lock(file);
  struct stat status {};
  require_call(fstat(file, &status) == 0, path_, "cannot read its size");
  char last = '\n';
  if (status.st_size > 0) require_call(pread(file, &last, 1, status.st_size - 1) == 1, path_, "cannot read");
  const std::string text = join(last == '\n' ? "" : "\n", line, '\n');
  ssize_t done = 0;
  do {
    errno = 0;
    done = write(file, text.data(), text.size());
  } while (done < 0 && errno == EINTR);
  if (done != static_cast<ssize_t>(text.size())) {
    const int error = done < 0 ? errno : ENOSPC;
    [[maybe_unused]] const int cut = ftruncate(file, status.st_size);
    errno = error;
    require_call(false, path_, "cannot write");
  }
  require_call(fsync(file) == 0, path_, "cannot sync");
  if (is_new) sync_folder(folder_of(target_));
}

}  // namespace vergence
