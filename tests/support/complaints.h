// The messages of exceptions that code under test throws.
#pragma once

#include <gtest/gtest.h>
#include <string>
#include <vector>

#include "kernels/error.h"

namespace vergence {

/// The message of the exception of type `E` that `call` throws; `otherwise` if it throws nothing.
template <class E = UsageError, class F>
std::string error_or(const std::string& otherwise, F&& call) {
  try {
    call();
  } catch (const E& error) {
    return error.what();
  }
  return otherwise;
}

/// The message of the exception of type `E` that `call` must throw.
template <class E = UsageError, class F>
std::string message_of(F&& call) {
  return error_or<E>("", [&] {
    call();
    ADD_FAILURE() << "nothing was thrown";
  });
}

/// All of `parts` must be in `text`, which must be one line.
inline void expect_contains(const std::string& text, const std::vector<std::string>& parts) {
  for (const std::string& part : parts) EXPECT_NE(text.find(part), std::string::npos) << part << " not in: " << text;
  EXPECT_EQ(text.find('\n'), std::string::npos) << text;
}

}  // namespace vergence
