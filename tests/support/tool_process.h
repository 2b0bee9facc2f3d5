// Runs a tool of the build as a separate process, to test signals and its end.
#pragma once

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <string>
#include <sys/mman.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

#include "kernels/error.h"

namespace vergence {

inline std::string tool_path(const std::string& tool) {
  const char* build = std::getenv("VERGENCE_BUILD");
  require(build != nullptr, "VERGENCE_BUILD is not set, expected the build folder");
  return join(build, "/", tool);
}

/// The text as one word of a shell's command; without apostrophes.
inline std::string shell_word(const std::string& text) { return "'" + text + "'"; }

/// Waits up to `seconds` for `holds()`; returns whether it came true.
template <class F>
bool comes_true(F&& holds, double seconds = 60) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  while (!holds()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

/// The constructor starts it, the destructor kills it. SIGINT and SIGTERM have their default effects there.
class ToolProcess {
 public:
  /// `command`: a program's path and arguments. `output`: a descriptor for stdout; -1: kept together with stderr.
  explicit ToolProcess(const std::vector<std::string>& command, int output = -1)
      : output_(::memfd_create("output", MFD_CLOEXEC)), command_(command.at(0)) {
    require(output_ >= 0, command_, ": no file for its output");
    std::vector<char*> arguments;
    for (const std::string& argument : command) arguments.push_back(const_cast<char*>(argument.c_str()));
    arguments.push_back(nullptr);
    process_ = ::fork();
    require(process_ >= 0, command_, ": cannot fork");
    if (process_ > 0) return;
    ::signal(SIGINT, SIG_DFL);
    ::signal(SIGTERM, SIG_DFL);
    ::dup2(output >= 0 ? output : output_, STDOUT_FILENO);
    ::dup2(output_, STDERR_FILENO);
    ::execv(arguments[0], arguments.data());
    ::_exit(127);
  }
  ~ToolProcess() {
    if (process_ > 0) {
      ::kill(process_, SIGKILL);
      ::waitpid(process_, nullptr, 0);
    }
    ::close(output_);
  }
  ToolProcess(const ToolProcess&) = delete;
  ToolProcess& operator=(const ToolProcess&) = delete;

  pid_t id() const { return process_; }
  void send(int signal) const {
    require(::kill(process_, signal) == 0, command_, ": is gone, so no signal reaches it");
  }

  /// How it ends: "exit 0", "signal 2", or "goes on" if it still runs after `seconds`.
  std::string end(double seconds = 60) {
    int status = 0;
    const auto gone = [&] { return ::waitpid(process_, &status, WNOHANG) == process_; };
    if (!comes_true(gone, seconds)) return "goes on";
    process_ = -1;
    return WIFSIGNALED(status) ? join("signal ", WTERMSIG(status)) : join("exit ", WEXITSTATUS(status));
  }

  /// Its output so far.
  std::string output() const {
    std::string text;
    std::array<char, 4096> part{};
    for (ssize_t got; (got = ::pread(output_, part.data(), part.size(), static_cast<off_t>(text.size()))) > 0;)
      text.append(part.data(), static_cast<std::size_t>(got));
    return text;
  }

 private:
  int output_;
  std::string command_;
  pid_t process_ = -1;
};

}  // namespace vergence
