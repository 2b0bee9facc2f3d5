// How the images of an encoder were normalized, as its file says (normalization_of in models/encoder_file.h).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "engine/io/safetensors.h"
#include "kernels/views.h"

namespace vergence {

/// The values of an entry, one per channel: a JSON list, or numbers with commas or spaces between them. None: it is
/// anything but that many finite numbers.
std::optional<ChannelValues> channel_values(std::string_view entry, std::int64_t channels);

/// What the file's `mean` and `std` are if the views of a run have others, and theirs, as options: one line. Empty:
/// they have the same, or the file does not say, or not for as many channels.
std::string other_normalization(const Metadata& metadata, const ViewSettings& view);

}  // namespace vergence
