// The processors that a process may use, and a rank's share of those of its host.
#pragma once

#include <vector>

namespace vergence {

/// The processors of this host, whether or not this process may use them.
int processors_of_host();

/// The numbers of the processors that this process may use, ascending. Not empty.
std::vector<int> own_processors();

/// What a rank may use of its host.
struct ProcessorShare {
  int processors = 1;
  bool bound = false;  // the launcher gave the ranks different processors
};

/// The share of the rank with the processors `own`, where `all` has those of every rank of the host: an equal part of
/// them, at most its own.
ProcessorShare processor_share(const std::vector<int>& own, const std::vector<std::vector<int>>& all);

}  // namespace vergence
