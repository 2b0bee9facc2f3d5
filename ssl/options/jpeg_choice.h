// The option jpeg in builds with and without libjpeg-turbo.
#pragma once

#include <string>
#include <vector>

#include "ssl/options/builder.h"
#include "ssl/options/config_file.h"

namespace vergence {

/// Declares it. Without libjpeg-turbo everything is decoded by stb_image: the option then reads as stb in any case, the
/// command line takes no other word, and files may still say turbo.
void add_jpeg_choice(OptionBuilder& options, bool has_turbo);

/// A line about a file that asks for a libjpeg-turbo that is not there; empty: none does, or `dataset` has no image
/// files.
std::string missing_turbo(const std::vector<Layer>& files, const std::string& dataset, bool has_turbo);

}  // namespace vergence
