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

/// One line that compares the file's `mean` and `std` with those of a run's views, as options, if they differ. Empty if
/// they agree, or if the file has none for this number of channels.
std::string other_normalization(const Metadata& metadata, const ViewSettings& view);

}  // namespace vergence
