// Errors of failed system calls, with the system's own reason.
#pragma once

#include <cerrno>
#include <cstring>
#include <string>

#include "kernels/error.h"

namespace vergence {

/// Throws Failure, "<path>: <what>: <the system's reason>", unless `succeeded`, the outcome of a system call. Reads
/// errno itself: an argument std::strerror(errno) beside the call might be evaluated before the call.
template <class Failure = Error>
void require_call(bool succeeded, const std::string& path, const char* what) {
  const int error = errno;
  if (!succeeded) throw Failure(join(path, ": ", what, ": ", std::strerror(error)));
}

}  // namespace vergence
