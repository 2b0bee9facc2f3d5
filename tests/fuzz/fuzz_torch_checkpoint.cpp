// PyTorch's checkpoints: the input is the archive, or with a last byte of 1 its data.pkl, beside a storage of 64 bytes.
#include "models/weights/torch_checkpoint.h"
#include "tests/fuzz/fuzz_target.h"

#ifdef VERGENCE_ZIP
#include <zip.h>
#endif

namespace {

using namespace vergence;

#ifdef VERGENCE_ZIP
void add(zip_t* archive, const char* name, std::string_view bytes) {
  zip_source_t* source = zip_source_buffer(archive, bytes.data(), bytes.size(), 0);
  const zip_int64_t place = zip_file_add(archive, name, source, ZIP_FL_OVERWRITE);
  must(place >= 0 && zip_set_file_compression(archive, static_cast<zip_uint64_t>(place), ZIP_CM_STORE, 0) == 0,
       "an archive takes an entry");
}
#endif

std::string archive_with(std::string_view pickle) {
  const std::string path = fuzz_folder() / "made.pth";
#ifndef VERGENCE_ZIP
  return write_input("made.pth", pickle);
#else
  static const std::string storage(64, '\x3f');
  zip_t* archive = zip_open(path.c_str(), ZIP_CREATE | ZIP_TRUNCATE, nullptr);
  must(archive != nullptr, "an archive can be made");
  add(archive, "archive/data.pkl", pickle);
  add(archive, "archive/data/0", storage);
  must(zip_close(archive) == 0, "an archive can be written");
  return path;
#endif
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const FuzzInput input(data, size, 1);
  const std::string path = input.setting(0) == 1 ? archive_with(input.file()) : write_input("in.pth", input.file());
  accepts(path, [&] {
    const auto read = open_torch_checkpoint(path);
    must(!read->tensors().empty(), "a checkpoint has tensors");
    for (std::size_t i = 0; i < std::min<std::size_t>(read->tensors().size(), 100); ++i)
      accepts(path, [&] {
        const std::vector<float> values = read->floats(i);
        __extension__ unsigned __int128 elements = 1;
        const std::vector<std::int64_t>& shape = read->tensors()[i].shape;
        const bool empty = std::find(shape.begin(), shape.end(), 0) != shape.end();
        for (const std::int64_t side : shape) elements = empty ? 0 : elements * static_cast<std::uint64_t>(side);
        must(elements == values.size(), "a tensor has the values of its shape");
      });
  });
  return 0;
}
