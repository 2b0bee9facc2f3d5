// NCCL, loaded when the first communicator needs it. Building needs only its header.
#pragma once

#include <nccl.h>

namespace vergence::cuda::nccl {

struct Library {
  decltype(&ncclGetVersion) version;
  decltype(&ncclGetErrorString) status_text;
  decltype(&ncclGetLastError) last_error;
  decltype(&ncclGetUniqueId) unique_id;
  decltype(&ncclCommInitRank) create;
  decltype(&ncclCommDestroy) destroy;
  decltype(&ncclCommAbort) abort;
  decltype(&ncclAllGather) all_gather;
  decltype(&ncclAllReduce) all_reduce;
  decltype(&ncclBroadcast) broadcast;
};

/// Throws Error if it cannot be loaded or is older than 2.13, the first with ncclGetLastError.
const Library& library();

}  // namespace vergence::cuda::nccl
