// The safetensors reader and writer: round trips, and one refusal per way a file can be wrong.
#include "engine/io/safetensors.h"

#include <cstring>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>

#include "engine/io/files.h"
#include "tests/support/complaints.h"
#include "tests/support/temporary_folder.h"

namespace vergence {
namespace {

namespace fs = std::filesystem;

class Safetensors : public testing::Test {
 protected:
  /// Writes a file of this header and so many zero bytes.
  void write_raw(const std::string& header, std::size_t data_bytes) {
    const std::uint64_t length = header.size();
    std::ofstream file(path_, std::ios::binary);
    file.write(reinterpret_cast<const char*>(&length), 8);
    file << header << std::string(data_bytes, '\0');
  }
  /// The reader's complaint about the file, without the path it must begin with.
  std::string complaint() {
    const std::string text = error_or("", [&] { SafetensorsFile file(path_); });
    if (text.empty()) return "accepted";
    EXPECT_EQ(text.rfind(path_ + ": ", 0), 0u) << text;
    EXPECT_EQ(text.find('\n'), std::string::npos) << text;
    return text.substr(std::min(text.size(), path_.size() + 2));
  }
  std::string complaint(const std::string& header, std::size_t data_bytes) {
    write_raw(header, data_bytes);
    return complaint();
  }

  TemporaryFolder folder_;
  const std::string path_ = folder_ / "file.safetensors";
};

TensorEntry entry(const std::string& name, const std::string& dtype, std::vector<std::int64_t> shape, const void* data,
                  std::int64_t bytes) {
  return {name, dtype, std::move(shape), data, bytes};
}

TEST_F(Safetensors, EveryTypeSurvivesARoundTripAligned) {
  const std::vector<std::uint8_t> bytes{1, 2, 3};
  const std::vector<float> floats{1.5f, -2.25f, 3e-30f, 0.f, 5.f, 6.f};
  const double real = 0.1;
  const std::vector<std::int64_t> longs{-1, 1LL << 60};
  const std::int32_t integer = -7;
  const std::vector<std::uint16_t> halves{0x3f80, 0xc000, 0x7fc0};
  write_safetensors(path_,
                    {entry("bytes", "U8", {3}, bytes.data(), 3), entry("floats", "F32", {2, 3}, floats.data(), 24),
                     entry("real", "F64", {}, &real, 8), entry("longs", "I64", {2}, longs.data(), 16),
                     entry("integer", "I32", {1, 1, 1, 1}, &integer, 4), entry("halves", "BF16", {3}, halves.data(), 6),
                     entry("none", "F32", {0, 5}, nullptr, 0)},
                    {{"format", "pt"}, {"quoted", "a \"b\"\n\xc3\xa4"}});
  const SafetensorsFile file(path_);
  EXPECT_EQ(file.tensors().size(), 7u);
  EXPECT_EQ(file.meta("format"), "pt");
  EXPECT_EQ(file.meta("quoted"), "a \"b\"\n\xc3\xa4");
  EXPECT_EQ(file.metadata().size(), 2u);
  EXPECT_EQ(std::memcmp(file.at("bytes", "U8", {3}).data, bytes.data(), 3), 0);
  EXPECT_EQ(std::memcmp(file.at("floats", "F32", {2, 3}).data, floats.data(), 24), 0);
  EXPECT_EQ(std::memcmp(file.at("real", "F64", {}).data, &real, 8), 0);
  EXPECT_EQ(std::memcmp(file.at("longs", "I64", {2}).data, longs.data(), 16), 0);
  EXPECT_EQ(std::memcmp(file.at("integer", "I32", {1, 1, 1, 1}).data, &integer, 4), 0);
  EXPECT_EQ(std::memcmp(file.at("halves", "BF16", {3}).data, halves.data(), 6), 0);
  EXPECT_EQ(file.at("none", "F32", {0, 5}).size(), 0);
  EXPECT_EQ(file.at("floats", "F32", {2, 3}).size(), 6);
  EXPECT_EQ(file.find("absent"), nullptr);

  const std::string raw = read_file(path_);
  std::uint64_t length;
  std::memcpy(&length, raw.data(), 8);
  EXPECT_EQ(length % 8, 0u);
  EXPECT_EQ(raw[8], '{');
  const char* start = static_cast<const char*>(file.tensors().front().data);
  for (const TensorEntry& tensor : file.tensors()) {
    EXPECT_EQ((static_cast<const char*>(tensor.data) - start) % safetensors_size_of(tensor.dtype), 0) << tensor.name;
  }
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_.path()), fs::directory_iterator()), 1)
      << "temporary file left";
}

TEST_F(Safetensors, AnEmptyFileOfNoTensorsIsFine) {
  write_safetensors(path_, {});
  EXPECT_TRUE(SafetensorsFile(path_).tensors().empty());
  EXPECT_EQ(complaint("{}", 0), "accepted");
}

TEST_F(Safetensors, TheWriterRefusesContradictionsAndKeepsTheOldFile) {
  const float value = 1;
  write_safetensors(path_, {entry("a", "F32", {}, &value, 4)});
  EXPECT_THROW(write_safetensors(path_, {entry("a", "F32", {2}, &value, 4)}), Error);
  EXPECT_THROW(write_safetensors(path_, {entry("a", "F31", {}, &value, 4)}), Error);
  EXPECT_THROW(write_safetensors(path_, {entry("a", "F32", {}, &value, 4), entry("a", "F32", {}, &value, 4)}), Error);
  EXPECT_THROW(write_safetensors(path_, {entry("__metadata__", "F32", {}, &value, 4)}), Error);
  EXPECT_THROW(write_safetensors(folder_ / "none/x", {}), Error);
  EXPECT_EQ(SafetensorsFile(path_).tensors().size(), 1u);
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_.path()), fs::directory_iterator()), 1)
      << "temporary file left";
}

TEST_F(Safetensors, LookupsNameWhatIsWrong) {
  const float value = 1;
  write_safetensors(path_, {entry("a", "F32", {1, 1}, &value, 4)});
  const SafetensorsFile file(path_);
  const auto lookup = [&](const char* name, const char* dtype, const std::vector<std::int64_t>& shape) {
    return message_of([&] { file.at(name, dtype, shape); });
  };
  EXPECT_EQ(lookup("b", "F32", {}), path_ + ": there is no tensor 'b'");
  EXPECT_EQ(lookup("a", "F32", {2}), path_ + ": tensor 'a' is F32 [1, 1], expected F32 [2]");
  EXPECT_EQ(lookup("a", "I32", {1, 1}), path_ + ": tensor 'a' is F32 [1, 1], expected I32 [1, 1]");
  EXPECT_EQ(message_of([&] { file.meta("epoch"); }), path_ + ": there is no metadata 'epoch'");
}

TEST_F(Safetensors, FilesThatAreNotThereOrTooShort) {
  EXPECT_EQ(complaint(), "cannot open: No such file or directory");
  std::ofstream(path_) << "1234567";
  EXPECT_EQ(complaint(), "cut off: 7 bytes, expected 8 or more");
  std::ofstream(path_) << std::string(8, '\xff');
  EXPECT_EQ(complaint(), "header of 18446744073709551615 bytes, at most 100 MB allowed (is this a safetensors file?)");
  std::ofstream(path_) << std::string("\x10\0\0\0\0\0\0\0{}", 10);
  EXPECT_EQ(complaint(), "cut off: header of 16 bytes in a file of 10");
}

TEST_F(Safetensors, HeadersOver100MegabytesAreRefusedBeforeTheyAreRead) {
  write_raw("{}", 0);
  const std::uint64_t length = 100'000'001;
  std::fstream(path_, std::ios::in | std::ios::out | std::ios::binary).write(reinterpret_cast<const char*>(&length), 8);
  fs::resize_file(path_, 8 + length);
  EXPECT_EQ(complaint(), "header of 100000001 bytes, at most 100 MB allowed (is this a safetensors file?)");
}

TEST_F(Safetensors, HeadersThatAreNotHeaders) {
  EXPECT_EQ(complaint("", 0), "not a safetensors file: its header does not begin with '{'");
  EXPECT_EQ(complaint(" {}", 0), "not a safetensors file: its header does not begin with '{'");
  EXPECT_EQ(complaint("{", 0).rfind("the header is not valid JSON", 0), 0u);
  EXPECT_EQ(complaint("{} x", 0).rfind("the header is not valid JSON", 0), 0u);
  EXPECT_EQ(complaint("{\"\xff\":1}", 0).rfind("the header is not valid JSON", 0), 0u);
  const std::string deep(100000, '[');
  EXPECT_EQ(complaint("{\"a\":" + deep, 0), "the header is not a safetensors header: nested too deeply");
  EXPECT_EQ(complaint("{\"a\":1}", 0), "tensor 'a': expected dtype, shape and two data_offsets");
  EXPECT_EQ(complaint(R"({"a":{"dtype":"F32","shape":[]}})", 0),
            "tensor 'a': expected dtype, shape and two data_offsets");
  EXPECT_EQ(complaint(R"({"a":{"dtype":"F32","shape":[],"data_offsets":[0,4],"x":1}})", 4),
            "tensor 'a': expected dtype, shape and two data_offsets");
}

TEST_F(Safetensors, DuplicateNames) {
  const std::string tensor = R"({"dtype":"U8","shape":[1],"data_offsets":[0,1]})";
  EXPECT_EQ(complaint(R"({"a":)" + tensor + R"(,"a":)" + tensor + "}", 1), "the header names 'a' twice");
  EXPECT_EQ(complaint(R"({"__metadata__":{"k":"1","k":"2"}})", 0), "the header names 'k' twice");
  EXPECT_EQ(complaint(R"({"a":{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 1),
            "the header names 'dtype' twice");
}

TEST_F(Safetensors, Metadata) {
  EXPECT_EQ(complaint(R"({"__metadata__":{"epoch":3}})", 0), "metadata 'epoch' is not a string");
  EXPECT_EQ(complaint(R"({"__metadata__":["x"]})", 0), "__metadata__ is not an object");
}

TEST_F(Safetensors, TypesAndSizes) {
  const auto one = [&](const std::string& dtype, const std::string& shape, const std::string& offsets,
                       std::size_t bytes) {
    return complaint(R"({"a":{"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}}",
                     bytes);
  };
  EXPECT_EQ(one("F32", "[2]", "[0,8]", 8), "accepted");
  EXPECT_EQ(one("F4", "[2]", "[0,1]", 1),
            "tensor 'a': unknown dtype 'F4', expected BOOL or a number of 1 to 8 bytes, such as F32");
  EXPECT_EQ(one("F32", "[2]", "[0,7]", 7), "tensor 'a': F32 [2] does not have 7 bytes");
  EXPECT_EQ(one("F32", "[-1]", "[0,4]", 4), "tensor 'a': shape holds -1, expected a whole number");
  EXPECT_EQ(one("F32", "[1.0]", "[0,4]", 4), "tensor 'a': shape holds 1.0, expected a whole number");
  EXPECT_EQ(one("F32", "[\"1\"]", "[0,4]", 4), "tensor 'a': shape holds \"1\", expected a whole number");
  EXPECT_EQ(one("F32", "[1]", "[4,0]", 4), "tensor 'a': data_offsets 4 to 0 run backwards");
  EXPECT_EQ(one("U8", "[1]", "[0,18446744073709551615]", 1),
            "tensor 'a': data_offsets holds 18446744073709551615, expected a whole number");
  // 2^62 elements of 4 bytes are 2^64: zero where the product wraps.
  EXPECT_EQ(one("F32", "[4611686018427387904]", "[0,0]", 0),
            "tensor 'a': F32 [4611686018427387904] does not have 0 bytes");
  EXPECT_EQ(one("U8", "[9223372036854775807]", "[0,9223372036854775807]", 1),
            "cut off: tensor 'a' ends at byte 9223372036854775807 of 1");
}

TEST_F(Safetensors, GapsOverlapsAndLeftovers) {
  const auto two = [&](const std::string& first, const std::string& second, std::size_t bytes) {
    const std::string head = R"({"dtype":"U8","shape":[2],"data_offsets":)";
    return complaint(R"({"a":)" + head + first + R"(},"b":)" + head + second + "}}", bytes);
  };
  EXPECT_EQ(two("[0,2]", "[2,4]", 4), "accepted");
  EXPECT_EQ(two("[2,4]", "[0,2]", 4), "accepted");
  EXPECT_EQ(two("[0,2]", "[3,5]", 5), "tensor 'b' begins at byte 3, expected 2: there is a gap before it");
  EXPECT_EQ(two("[1,3]", "[3,5]", 5), "tensor 'a' begins at byte 1, expected 0: there is a gap before it");
  EXPECT_EQ(two("[0,2]", "[1,3]", 3), "tensor 'b' begins at byte 1, expected 2: it overlaps another one");
  EXPECT_EQ(two("[0,2]", "[0,2]", 2).find("begins at byte 0, expected 2: it overlaps another one"), 11u);
  EXPECT_EQ(two("[0,2]", "[2,4]", 5), "1 bytes after the last tensor");
  EXPECT_EQ(two("[0,2]", "[2,4]", 3), "cut off: tensor 'b' ends at byte 4 of 3");
}

TEST_F(Safetensors, EveryTruncationOfAGoodFileIsRefused) {
  const std::vector<float> values{1, 2, 3};
  write_safetensors(path_, {entry("values", "F32", {3}, values.data(), 12)}, {{"format", "pt"}});
  const std::string whole = read_file(path_);
  for (std::size_t length = 0; length < whole.size(); ++length) {
    std::ofstream(path_, std::ios::binary) << whole.substr(0, length);
    EXPECT_NE(complaint(), "accepted") << length;
  }
}

TEST(Files, AnAbandonedFileLeavesTheOldOne) {
  const TemporaryFolder folder;
  const std::string path = folder / "file";
  write_atomically(path, "old");
  {
    AtomicFile file(path);
    file.write("new");
  }
  EXPECT_EQ(read_file(path), "old");
  write_atomically(path, "new");
  EXPECT_EQ(read_file(path), "new");
  fs::remove(path);
  EXPECT_THROW(read_file(path), UsageError);
  EXPECT_THROW(read_file("/tmp"), UsageError);
}

}  // namespace
}  // namespace vergence
