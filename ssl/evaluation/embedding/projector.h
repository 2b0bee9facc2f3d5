// The files from which TensorBoard's projector shows an embedding: tensors.bytes, metadata.tsv, projector_config.pbtxt.
#pragma once

#include <string>

namespace vergence {

/// Writes the files for the embedding `path`, a finished F.npy with those beside it, to `folder`; creates the folder.
/// Paths in projector_config.pbtxt are relative to it. Throws UsageError as check_projector does.
void write_projector(const std::string& path, const std::string& folder);

/// Throws UsageError if the files cannot be written, or are there and not an earlier embedding's; leaves no trace but
/// the folder.
void check_projector(const std::string& folder);

}  // namespace vergence
