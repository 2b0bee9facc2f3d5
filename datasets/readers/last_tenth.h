// The split val of data sets whose training images are in no order: their last tenth.
#pragma once

#include <cstdint>
#include <string>

#include "engine/text/words.h"
#include "kernels/error.h"

namespace vergence {

/// How many of `count` training images are held back for "val". Throws UsageError, which begins with `where`, if
/// `split` is "val" and that is none.
inline std::int64_t last_tenth(std::int64_t count, const std::string& split, const std::string& where) {
  require_usage(split != "val" || count >= 10, where, " has ", counted(count, "training image"),
                ", too few for --split val, which is the last tenth of them");
  return count / 10;
}

}  // namespace vergence
