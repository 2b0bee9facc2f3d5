// The data set `npy`: files of NumPy, whole, in parts, damaged, and not fitting one another.
#include "datasets/readers/npy.h"

#include <cmath>
#include <fstream>
#include <gtest/gtest.h>

#include "datasets/dataset.h"
#include "datasets/readers/npy_file.h"
#include "tests/support/complaints.h"
#include "tests/support/npy_files.h"
#include "tests/support/temporary_folder.h"

namespace vergence {
namespace {

constexpr const char* usual = "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 3, 4, 5), }\n";

std::string header_complaint(const std::string& text) {
  return message_of([&] { parse_npy_header(text, "here"); });
}

TEST(NpyHeader, IsWrittenAsNumPyDoes) {
  const std::vector<std::vector<std::int64_t>> shapes{{5}, {50000, 512}, {INT64_MAX, INT64_MAX}};
  for (const std::vector<std::int64_t>& shape : shapes) {
    const std::string beginning = npy_header_bytes("<f4", shape);
    EXPECT_EQ(beginning.size(), 128u);
    EXPECT_EQ(beginning.substr(0, 10), npy_array("<f4", shape, "").substr(0, 10));
    const NpyHeader header = parse_npy_header(beginning.substr(10), "here");
    EXPECT_EQ(header.type, "<f4");
    EXPECT_FALSE(header.fortran_order);
    EXPECT_EQ(header.shape, shape);
  }
  EXPECT_EQ(npy_header_bytes("<f2", {3, 4}), npy_array("<f2", {3, 4}, ""));
}

TEST(NpyHeader, IsWhatNumPyWrites) {
  const NpyHeader header = parse_npy_header(usual, "here");
  EXPECT_EQ(header.type, "|u1");
  EXPECT_FALSE(header.fortran_order);
  EXPECT_EQ(header.shape, (std::vector<std::int64_t>{2, 3, 4, 5}));
  EXPECT_EQ(header.shape_text(), "(2, 3, 4, 5)");
  // Other writers: another order of keys, other quotes, no last comma, no spaces.
  const NpyHeader other = parse_npy_header("{\"shape\":(7,),\"descr\":\">i8\",\"fortran_order\":True}   \n", "here");
  EXPECT_EQ(other.type, ">i8");
  EXPECT_TRUE(other.fortran_order);
  EXPECT_EQ(other.shape_text(), "(7,)");
  EXPECT_EQ(other.value_bytes(), 8);
  EXPECT_TRUE(parse_npy_header("{'descr': '<f4', 'fortran_order': False, 'shape': ()}\n", "here").shape.empty());
  // Python 2 on systems where its int is too short, as NumPy reads it.
  for (const char* shape : {"(20L, 8L)", "(20L, 8L, )", "(20, 8L)"})
    EXPECT_EQ(
        parse_npy_header(join("{'descr': '|u1', 'fortran_order': False, 'shape': ", shape, ", }\n"), "here").shape,
        (std::vector<std::int64_t>{20, 8}));
  EXPECT_EQ(parse_npy_header("{'descr': '|u1', 'fortran_order': False, 'shape': (6L,), }\n", "here").shape_text(),
            "(6,)");
}

TEST(NpyHeader, NothingElseIsTaken) {
  expect_contains(header_complaint("__import__('os').system('echo')\n"), {"here: not a header of NumPy: no '{'"});
  const auto with = [](const std::string& type, const std::string& order, const std::string& shape) {
    return header_complaint("{'descr': " + type + ", 'fortran_order': " + order + ", 'shape': " + shape + ", }\n");
  };
  expect_contains(with("[('a', '<i4')]", "False", "(1,)"), {"here: not a header of NumPy"});
  for (const char* type : {"'|O8'x", "'u1'", "'|u'", "'|u0'", "'|u1000'", "'|\\x751'", "'|1u'", "u1", "'|u1"})
    expect_contains(with(type, "False", "(1,)"), {"here: not a header of NumPy"});
  for (const char* order : {"0", "false", "'False'", "not True", "None"})
    expect_contains(with("'|u1'", order, "(1,)"), {"neither True nor False"});
  for (const char* shape : {"(1)", "1", "[1, 2]", "(-1,)", "(1.0,)", "(01,)", "(1LL,)", "(L,)", "(1 2)", "(,)", "(1,,)",
                            "(1e3,)", "(99999999999999999999,)", "(+1,)", "(2*3,)"})
    expect_contains(with("'|u1'", "False", shape), {"here: not a header of NumPy"});
  expect_contains(with("'|u1'", "False", "(6)"), {"a tuple of one number has no comma"});
  expect_contains(with("'|u1'", "False", "(6L)"), {"a tuple of one number has no comma"});
  expect_contains(with("'|u1'", "False", "(6x, 2)"), {"no ')'"});
  std::string sides;
  for (int i = 0; i < 33; ++i) sides += "1,";
  expect_contains(with("'|u1'", "False", "(" + sides + ")"), {"too many dimensions"});
  expect_contains(header_complaint("{'descr': '|u1', 'shape': (1,), }\n"), {"a key is missing"});
  expect_contains(header_complaint("{'descr': '|u1', 'descr': '|u1', }\n"), {"unexpected key 'descr'"});
  expect_contains(header_complaint("{'a\nb': 1}\n"), {"unexpected key 'a\\x0ab'"});
  expect_contains(header_complaint(std::string(usual) + "\n"), {"it does not end with a line"});
  expect_contains(header_complaint(std::string(usual).substr(0, 64)), {"here: not a header of NumPy"});
}

/// Byte p of image i.
char pixel(std::int64_t i, std::int64_t p) { return static_cast<char>(31 * i + 7 * p + p / 5); }

std::string images(std::int64_t first, std::int64_t count, std::int64_t bytes) {
  std::string all;
  for (std::int64_t i = first; i < first + count; ++i)
    for (std::int64_t p = 0; p < bytes; ++p) all += pixel(i, p);
  return all;
}

class Npy : public ::testing::Test {
 protected:
  void write(const std::string& name, const std::string& bytes) const {
    std::ofstream(folder / name, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  }
  /// Images first ... first + count - 1 of 3 x 4 pixels.
  void write_images(const std::string& name, std::int64_t first, std::int64_t count, std::int64_t channels) const {
    write(name, npy_array("|u1", {count, 3, 4, channels}, images(first, count, 12 * channels)));
  }
  /// Label i % classes for image i.
  void write_labels(const std::string& name, std::int64_t first, std::int64_t count, std::int64_t classes,
                    const std::string& type = "<i8", int bytes = 8) const {
    std::string values;
    for (std::int64_t i = first; i < first + count; ++i) {
      std::string value = little_endian(static_cast<std::uint64_t>(i % classes), bytes);
      if (type[0] == '>') value = std::string(value.rbegin(), value.rend());
      values += value;
    }
    write(name, npy_array(type, {count}, values));
  }
  Dataset read(const std::string& split, std::int64_t limit = 0) const {
    DatasetSettings settings;
    settings.name = "npy";
    settings.directory = folder.path();
    settings.limit = limit;
    return open_dataset(settings, split);
  }
  void expect_images(const Dataset& data, std::int64_t first, std::int64_t count, std::int64_t classes) const {
    ASSERT_EQ(data.count, count);
    ASSERT_EQ(data.classes, classes);
    for (std::int64_t i = 0; i < count; ++i) {
      if (classes > 0) {
        ASSERT_EQ(data.label(i), (first + i) % classes) << i;
      }
      for (std::int64_t p = 0; p < data.image_bytes(); ++p)
        ASSERT_EQ(data.image(i)[p], static_cast<std::uint8_t>(pixel(first + i, p))) << i;
    }
  }
  std::string complaint(const std::string& split = "train") const {
    std::string message = message_of([&] { read(split); });
    EXPECT_EQ(message.substr(0, 5), "npy: ") << message;
    return message;
  }

  TemporaryFolder folder;
};

TEST_F(Npy, SplitsAreThoseOfTheFiles) {
  write_images("train.npy", 0, 23, 5);
  write_labels("train_labels.npy", 0, 23, 4);
  write_images("test.npy", 23, 6, 5);
  write_labels("test_labels.npy", 23, 6, 4);
  for (const char* split : {"train", "probe"}) expect_images(read(split), 0, 23, 4);
  expect_images(read("val"), 21, 2, 4);
  expect_images(read("probe_without_val"), 0, 21, 4);
  expect_images(read("test"), 23, 6, 4);
  expect_images(read("train", 7), 0, 7, 4);
  expect_images(read("val", 1), 21, 1, 4);
  const Dataset data = read("test");
  EXPECT_EQ(data.name, "npy");
  EXPECT_EQ(data.channels, 5);
  EXPECT_EQ(data.height, 3);
  EXPECT_EQ(data.width, 4);
}

TEST_F(Npy, TheLastTenthOfFewImagesIsNone) {
  write_images("train.npy", 0, 9, 1);
  write_labels("train_labels.npy", 0, 9, 3);
  write_images("test.npy", 9, 2, 1);
  EXPECT_EQ(complaint("val"), "npy: " + folder.path() +
                                  " has 9 training images, too few for --split val, which is the last tenth of them");
  EXPECT_EQ(read("probe_without_val").count, 9);
  EXPECT_EQ(read("test").count, 2);
}

TEST_F(Npy, PartsFollowOneAnotherByNumber) {
  std::int64_t first = 0;
  for (const int part : {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}) {
    write_images("train_" + std::to_string(part) + ".npy", first, part, 2);
    write_labels("train_labels_" + std::to_string(part) + ".npy", first, part, 3, ">u2", 2);
    first += part;
  }
  expect_images(read("train"), 0, 66, 3);
  expect_images(read("val"), 60, 6, 3);
  expect_images(read("probe_without_val", 50), 0, 50, 3);
}

TEST_F(Npy, LabelsAreOfAnyIntegerType) {
  write_images("train.npy", 0, 7, 1);
  const std::pair<const char*, int> types[] = {{"|i1", 1}, {"|u1", 1}, {"<u1", 1}, {"<i2", 2}, {">i2", 2},
                                               {"<u4", 4}, {">i4", 4}, {"<u8", 8}, {">i8", 8}};
  for (const auto& [type, bytes] : types) {
    SCOPED_TRACE(type);
    write_labels("train_labels.npy", 0, 7, 5, type, bytes);
    expect_images(read("train"), 0, 7, 5);
  }
}

TEST_F(Npy, ImagesWithoutAChannelAxisOrLabelsAreTaken) {
  write("train.npy", npy_array("|u1", {10, 3, 4}, images(0, 10, 12), 2));
  write("test.npy", npy_array("<u1", {2, 5, 5, 1}, images(0, 2, 25), 3));
  const Dataset train = read("train"), test = read("test");
  EXPECT_EQ(train.channels, 1);
  EXPECT_TRUE(train.labels.empty());
  expect_images(train, 0, 10, 0);
  EXPECT_EQ(test.height, 5);
  expect_images(test, 0, 2, 0);
  write_labels("test_labels.npy", 0, 2, 2);
  expect_images(read("test"), 0, 2, 2);  // the test images alone have labels
}

TEST_F(Npy, MeanAndDeviationAreThoseOfTheTrainingImages) {
  const std::int64_t counts[] = {9, 12};
  write_images("train_0.npy", 0, counts[0], 3);
  write_images("train_1.npy", 9, counts[1], 3);
  write_images("test.npy", 40, 3, 3);
  for (const char* split : {"train", "val", "test"}) {
    const Dataset data = read(split, 1);
    for (std::int64_t c = 0; c < 3; ++c) {
      double sum = 0, squares = 0, count = 0;
      for (std::int64_t i = 0; i < 21; ++i)
        for (std::int64_t p = c; p < 36; p += 3) {
          const double x = static_cast<std::uint8_t>(pixel(i, p)) / 255.0;
          sum += x, squares += x * x, ++count;
        }
      const double mean = sum / count;
      EXPECT_NEAR(data.mean[static_cast<std::size_t>(c)], mean, 1e-7);
      EXPECT_NEAR(data.std[static_cast<std::size_t>(c)], std::sqrt(squares / count - mean * mean), 1e-7);
    }
  }
  // A channel that is the same everywhere is moved to 0 and not stretched.
  write("train_0.npy", npy_array("|u1", {1, 1, 2, 2}, std::string("\x33\x00\x33\xff", 4)));
  std::filesystem::remove(folder / "train_1.npy");
  const Dataset data = read("train");
  EXPECT_EQ(data.mean[0], 0.2f);
  EXPECT_EQ(data.std[0], 1.0f);
  EXPECT_EQ(data.mean[1], 0.5f);
  EXPECT_EQ(data.std[1], 0.5f);
}

TEST_F(Npy, EveryCutIsRefusedInOneLine) {
  write_labels("train_labels.npy", 0, 2, 2);
  for (const int major : {1, 2, 3}) {
    const std::string whole = npy_array("|u1", {2, 3, 4, 1}, images(0, 2, 12), major);
    for (std::size_t size = 0; size < whole.size(); ++size) {
      write("train.npy", whole.substr(0, size));
      expect_contains(complaint(), {"train.npy"});
    }
    write("train.npy", whole + "x");
    expect_contains(complaint(), {"train.npy has 25 bytes of values, expected 24 of shape (2, 3, 4, 1)"});
    write("train.npy", whole);
    expect_images(read("train"), 0, 2, 2);
  }
  const std::string labels = npy_array("|u1", {2}, std::string("\0\1", 2));
  for (std::size_t size = 0; size < labels.size(); ++size) {
    write("train_labels.npy", labels.substr(0, size));
    expect_contains(complaint(), {"train_labels.npy"});
  }
}

TEST_F(Npy, OtherFilesAndShapesAreRefused) {
  const auto refused = [&](const std::string& bytes, const std::vector<std::string>& parts) {
    write("train.npy", bytes);
    expect_contains(complaint(), parts);
  };
  refused("GIF89a and more", {"train.npy: not a .npy file, it begins with 'GIF89a', expected '\\x93NUMPY'"});
  refused(npy_file(usual, "", 4), {"version 4.0 of the format, expected 1.0, 2.0 or 3.0"});
  refused("\x93NUMPY" + std::string("\2\0\xff\xff\xff\xff{}", 8), {"a header of 4294967295 bytes, expected at most"});
  // Sizes that overflow, or that no file has, before anything is allocated.
  refused(npy_array("|u1", {4294967296, 4294967296, 1, 1}, ""), {"more bytes than any file has"});
  refused(npy_array("|u1", {1099511627776, 1024, 1, 1}, "xx"), {"has 2 bytes of values, expected 1125899906842624"});
  refused(npy_array("|u1", {0, 9223372036854775807, 9223372036854775807, 3}, ""), {"expected images"});
  refused(npy_array("<f4", {1, 1, 1, 1}, "abcd"), {"type '<f4': expected uint8 of shape (N, H, W, C) or (N, H, W)"});
  refused(npy_array("|i1", {1, 1, 1, 1}, "a"), {"type '|i1': expected uint8"});
  refused(npy_array("|u1", {4, 4}, images(0, 1, 16)), {"shape (4, 4)", "expected uint8 of shape"});
  refused(npy_array("|u1", {1, 1, 1, 17}, images(0, 1, 17)), {"expected (N, H, W, C) of 1 to 16 channels"});
  refused(npy_array("|u1", {1, 1, 1, 0}, ""), {"expected 1 to 16 channels"});
  refused(npy_array("|u1", {1, 1, 32769, 1}, images(0, 1, 32769)), {"expected a height and a width of 1 to 32768"});
  refused(npy_array("|u1", {1, 0, 1, 1}, ""), {"expected a height and a width"});
  refused(npy_file("{'descr': '|u1', 'fortran_order': True, 'shape': (1, 1, 1, 1), }", "a"), {"expected C order"});
  std::filesystem::remove(folder / "train.npy");
  std::filesystem::create_directory(folder / "train.npy");
  expect_contains(complaint(), {"train.npy"});
}

TEST_F(Npy, OtherOrdersOfTheAxesAreRefusedWithTheRemedy) {
  const auto refused = [&](const std::vector<std::int64_t>& shape, const std::string& remedy) {
    std::int64_t bytes = 1;
    for (const std::int64_t side : shape) bytes *= side;
    write("train.npy", npy_array("|u1", shape, std::string(static_cast<std::size_t>(bytes), '\1')));
    expect_contains(complaint(), {"expected (N, H, W, C)", remedy});
  };
  const std::string first = "this looks like (N, C, H, W): numpy.transpose(x, (0, 2, 3, 1))";
  const std::vector<std::vector<std::int64_t>> channels_first{{2, 3, 32, 32}, {2, 1, 28, 28}, {2, 16, 20, 17},
                                                              {2, 3, 16, 16}, {2, 3, 8, 8},   {2, 1, 5, 5}};
  for (const auto& shape : channels_first) refused(shape, first);
  refused({32, 32, 3, 50}, "this looks like (H, W, C, N): numpy.transpose(x, (3, 0, 1, 2))");
  const std::vector<std::vector<std::int64_t>> usual{{2, 16, 16, 16}, {2, 32, 32, 3}, {2, 5, 8, 8},
                                                     {2, 3, 32, 5},   {2, 3, 4, 4},   {2, 1, 64, 16}};
  for (const auto& shape : usual) {
    std::int64_t bytes = 1;
    for (const std::int64_t side : shape) bytes *= side;
    write("train.npy", npy_array("|u1", shape, std::string(static_cast<std::size_t>(bytes), '\1')));
    EXPECT_EQ(read("train").channels, shape[3]);
  }
}

TEST_F(Npy, FilesThatDoNotFitAreRefused) {
  expect_contains(message_of([] { read_npy("", "train"); }), {"npy: no data folder given, expected train.npy"});
  expect_contains(complaint(), {" has no training images, expected train.npy or train_0.npy"});
  write_images("train_0.npy", 0, 4, 2);
  write_images("train_2.npy", 0, 4, 2);
  expect_contains(complaint(), {"train_1.npy is missing, expected parts numbered from 0 or 1 on without gaps"});
  write_images("train_1.npy", 0, 4, 3);
  expect_contains(complaint(), {"train_1.npy has shape (4, 3, 4, 3)", "expected images of 3 x 4 x 2 as in the first"});
  write_images("train_1.npy", 0, 4, 2);
  write_images("train_01.npy", 0, 4, 2);
  expect_contains(complaint(), {"has the number of train_"});
  std::filesystem::remove(folder / "train_01.npy");
  write_images("train.npy", 0, 4, 2);
  expect_contains(complaint(), {"train.npy is there, and so is train_0.npy"});
  std::filesystem::remove(folder / "train.npy");
  write_labels("train_labels_0.npy", 0, 4, 3);
  expect_contains(complaint(), {" has 1 file of train labels, expected 3"});
  write_labels("train_labels_1.npy", 0, 4, 3);
  write_labels("train_labels_2.npy", 0, 5, 3);
  expect_contains(complaint(), {"train_labels_2.npy has shape (5,)", "expected 4, one per image"});
  write("train_labels_2.npy", npy_array("<f4", {4}, images(0, 1, 16)));
  expect_contains(complaint(), {"train_labels_2.npy has shape (4,) and type '<f4': expected integers of shape (N,)"});
  write("train_labels_2.npy", npy_array("|i1", {4}, std::string("\0\0\0\xff", 4)));
  expect_contains(complaint(), {"train_labels_2.npy has label -1 in place 11, expected 0 to 65535"});
  write("train_labels_2.npy", npy_array("<u8", {4}, std::string(32, '\xff')));
  expect_contains(complaint(), {"has label 9223372036854775807 in place 8"});
  write_labels("train_labels_2.npy", 0, 4, 3);
  EXPECT_EQ(read("train").count, 12);
  expect_contains(complaint("test"), {"test.npy is missing"});
  write_images("test.npy", 0, 4, 1);
  expect_contains(complaint("test"), {"test images of 3 x 4 x 1 and training images of 3 x 4 x 2"});
  write_images("test.npy", 0, 4, 2);
  write_labels("test_labels.npy", 0, 4, 4);
  expect_contains(complaint("test"), {"has test label 3, but no training label above 2"});
}

}  // namespace
}  // namespace vergence
