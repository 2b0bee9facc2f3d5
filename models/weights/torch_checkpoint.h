// What torch.save writes since PyTorch 1.6: a zip archive with a pickle of all values, "data.pkl", and the bytes of
// each storage, "data/0", which several tensors may share. The pickle is read as data (engine/io/pickle.h): classes and
// functions that it names are never called, so a checkpoint cannot run anything.
#pragma once

#include <memory>
#include <string>

#include "models/weights/tensor_file.h"

namespace vergence {

/// Finds all tensors in dicts with text keys, however nested. Throws UsageError (one line, beginning with the path) for
/// damaged and compressed archives, other zip archives, and a whole model that was saved in place of its state_dict.
std::unique_ptr<TensorFile> open_torch_checkpoint(const std::string& path);

}  // namespace vergence
