// A kernel's temporary memory, from the backend's pool: counted in its memory use, released at the end of the scope.
#pragma once

#include "kernels/backend.h"

namespace vergence {

class Workspace {
 public:
  Workspace(Backend& pool, std::int64_t bytes)
      : pool_(pool), bytes_(bytes), data_(bytes ? pool.allocate(bytes) : nullptr) {}
  ~Workspace() {
    if (data_) pool_.release(data_, bytes_);
  }
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;

  /// The memory, at least 64-byte aligned; null if the size is zero.
  void* data() const { return data_; }
  template <class T>
  T* as() const {
    return static_cast<T*>(data_);
  }

 private:
  Backend& pool_;
  std::int64_t bytes_;
  void* data_;
};

}  // namespace vergence
