// What stb_image does not check of a PNG file, and what it lacks; used by image_file.cpp alone.
#pragma once

#include <string>
#include <string_view>

namespace vergence {

/// Throws UsageError, beginning with `name`, for a chunk that ends behind the file (stb_image would ask for its memory
/// first, up to 2 GiB, and then miss its bytes), and for one, up to the last of the pixels', whose bytes do not fit its
/// checksum.
void check_chunks(std::string_view bytes, const std::string& name);

/// The file with black for the colors that its palette does not have, for which stb_image would take whatever lies in
/// memory, and with the chunk IEND that it must end with; or an empty text where it has all that.
std::string with_whole_chunks(std::string_view bytes);

}  // namespace vergence
