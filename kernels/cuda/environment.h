// Switches in the environment, for those who look for a mistake: each is on unless it is set to `off`.
#pragma once

namespace vergence {

/// Throws UsageError where the variable has another value than `on` and `off`.
bool is_on(const char* variable);

}  // namespace vergence
