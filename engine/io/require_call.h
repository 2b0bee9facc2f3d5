// Errors of failed system calls, with the system's own reason.
#pragma once

#include <cerrno>
#include <cstring>
#include <string>

#include "kernels/error.h"

namespace vergence {

/// Throws Failure, "<path>: <what>: <the system's reason>", unless a system call succeeded. The call may be the first
/// argument itself: errno is read in here. Never pass std::strerror(errno) beside a call as an argument of `require`:
/// the compiler chooses which of the two is evaluated first.
template <class Failure = Error>
void require_call(bool succeeded, const std::string& path, const char* what) {
  const int error = errno;
  if (!succeeded) throw Failure(join(path, ": ", what, ": ", std::strerror(error)));
}

}  // namespace vergence
