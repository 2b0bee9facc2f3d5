// Tells a test what its program syncs to the disk, and when. For programs that link watched_syncs.
#pragma once

#include <functional>
#include <string>

namespace vergence {

/// As long as it lives, each fsync and fdatasync of this program first calls `watch` with the path of what is synced,
/// without links. One at a time.
class WatchedSyncs {
 public:
  explicit WatchedSyncs(std::function<void(const std::string& path)> watch);
  ~WatchedSyncs();
  WatchedSyncs(const WatchedSyncs&) = delete;
  WatchedSyncs& operator=(const WatchedSyncs&) = delete;
};

}  // namespace vergence
