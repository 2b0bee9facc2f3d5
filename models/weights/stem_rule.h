// What to do with the first convolution of an encoder from another file.
#pragma once

#include "engine/text/enum_words.h"

namespace vergence {

enum class StemRule {
  exact,  // it must fit
  adapt,  // fit other image channels: one gets the file's sum; several repeat the file's, scaled by file / network
  renew,  // keep the network's initial values
};

inline constexpr Word<StemRule> stem_rule_words[]{
    {"exact", StemRule::exact}, {"adapt", StemRule::adapt}, {"new", StemRule::renew}};

}  // namespace vergence
