#include "kernels/cuda/libraries/cudnn_library.h"

#include "kernels/cuda/loaded_library.h"

namespace vergence::cuda::cudnn {
namespace {

constexpr std::size_t oldest = 90800;

std::string name_of_version(std::size_t version) { return join("cuDNN ", version / 10000, ".", version / 100 % 100); }

std::string cudnn_fault(const LoadedLibrary& library) {
  Library found;
  library.find(found.version, "cudnnGetVersion");
  const std::size_t version = found.version();
  return version >= oldest ? "" : name_of_version(version) + " is too old: expected 9.8 or later";
}

Library load() {
  const LoadedLibrary library(join("libcudnn.so.", CUDNN_MAJOR), VERGENCE_CUDNN_FOLDER, cudnn_fault);
  Library found;
  library.find(found.version, "cudnnGetVersion");
  library.find(found.status_text, "cudnnGetErrorString");
  library.find(found.last_error, "cudnnGetLastErrorString");
  library.find(found.create, "cudnnCreate");
  library.find(found.destroy, "cudnnDestroy");
  library.find(found.set_stream, "cudnnSetStream");
  library.find(found.create_descriptor, "cudnnBackendCreateDescriptor");
  library.find(found.destroy_descriptor, "cudnnBackendDestroyDescriptor");
  library.find(found.set_attribute, "cudnnBackendSetAttribute");
  library.find(found.get_attribute, "cudnnBackendGetAttribute");
  library.find(found.finalize, "cudnnBackendFinalize");
  library.find(found.execute, "cudnnBackendExecute");
  return found;
}

}  // namespace

const Library& library() {
  static const Library loaded = load();
  return loaded;
}

std::string library_name() { return name_of_version(library().version()); }

}  // namespace vergence::cuda::cudnn
