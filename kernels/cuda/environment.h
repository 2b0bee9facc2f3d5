// Environment switches for debugging: each is on unless set to `off`.
#pragma once

namespace vergence {

/// Throws UsageError if the variable has a value other than `on` and `off`.
bool is_on(const char* variable);

}  // namespace vergence
