#include "kernels/cuda/libraries/nccl_library.h"

#include "kernels/cuda/loaded_library.h"

namespace vergence::cuda::nccl {
namespace {

constexpr int oldest = 21300;

std::string nccl_fault(const LoadedLibrary& library) {
  Library found;
  library.find(found.version, "ncclGetVersion");
  int version = 0;
  if (found.version(&version) == ncclSuccess && version >= oldest) return "";
  return join("NCCL ", version / 10000, ".", version / 100 % 100, " is too old: expected 2.13 or later");
}

Library load() {
  const LoadedLibrary library(join("libnccl.so.", NCCL_MAJOR), VERGENCE_NCCL_FOLDER, nccl_fault);
  Library found;
  library.find(found.version, "ncclGetVersion");
  library.find(found.status_text, "ncclGetErrorString");
  library.find(found.last_error, "ncclGetLastError");
  library.find(found.unique_id, "ncclGetUniqueId");
  library.find(found.create, "ncclCommInitRank");
  library.find(found.destroy, "ncclCommDestroy");
  library.find(found.abort, "ncclCommAbort");
  library.find(found.all_gather, "ncclAllGather");
  library.find(found.all_reduce, "ncclAllReduce");
  library.find(found.broadcast, "ncclBroadcast");
  return found;
}

}  // namespace

const Library& library() {
  static const Library loaded = load();
  return loaded;
}

}  // namespace vergence::cuda::nccl
