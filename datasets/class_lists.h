// The lists of classes shipped with the program.
#pragma once

#include <string>
#include <vector>

namespace vergence {

/// The classes of the shipped list `name` ("imagenet100": the 100 WordNet ids that CMC and solo-learn use,
/// datasets/imagenet100.txt), or none.
std::vector<std::string> shipped_classes(const std::string& name);

}  // namespace vergence
