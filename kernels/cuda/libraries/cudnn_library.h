// cuDNN, loaded when the first bf16 convolution needs it. Building needs only its headers.
#pragma once

#include <cudnn_graph.h>
#include <string>

namespace vergence::cuda::cudnn {

/// Functions of libcudnn.so, which loads its other parts from its own folder.
struct Library {
  decltype(&cudnnGetVersion) version;
  decltype(&cudnnGetErrorString) status_text;
  decltype(&cudnnGetLastErrorString) last_error;
  decltype(&cudnnCreate) create;
  decltype(&cudnnDestroy) destroy;
  decltype(&cudnnSetStream) set_stream;
  decltype(&cudnnBackendCreateDescriptor) create_descriptor;
  decltype(&cudnnBackendDestroyDescriptor) destroy_descriptor;
  decltype(&cudnnBackendSetAttribute) set_attribute;
  decltype(&cudnnBackendGetAttribute) get_attribute;
  decltype(&cudnnBackendFinalize) finalize;
  decltype(&cudnnBackendExecute) execute;
};

/// Throws Error if it cannot be loaded or is older than 9.8.
const Library& library();

/// "cuDNN 9.19"
std::string library_name();

}  // namespace vergence::cuda::cudnn
