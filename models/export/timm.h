// Encoders as folders for timm (https://github.com/huggingface/pytorch-image-models) and the Hugging Face hub.
#pragma once

#include <string>

#include "models/export/exported.h"

namespace vergence {

/// Writes model.safetensors (the encoder's file), config.json (timm's name of the network, and how images are prepared)
/// and README.md (the hub's model card; another's stays) into `folder`, which may be missing, empty, or of an earlier
/// export. timm.create_model("local-dir:FOLDER", pretrained=True) then gives the features. Each file is replaced in one
/// step, config.json first, since it says whose folder it is. Throws UsageError (one line) for a network that timm does
/// not have, unknown mean and std, and any other folder; then nothing is written.
void write_timm_folder(const std::string& folder, const Exported& exported);

}  // namespace vergence
