// Data sets as users have them on disk: pickles, CIFAR in both versions, STL-10; whole, in part and damaged.
#include <fstream>
#include <gtest/gtest.h>

#include "datasets/readers/cifar.h"
#include "datasets/readers/pickled_array.h"
#include "datasets/readers/stl10.h"
#include "datasets/registry.h"
#include "datasets/verify.h"
#include "engine/io/files.h"
#include "tests/support/complaints.h"
#include "tests/support/real_data.h"
#include "tests/support/temporary_folder.h"

namespace vergence {
namespace {

namespace fs = std::filesystem;

void write(const fs::path& file, const std::string& bytes) {
  fs::create_directories(file.parent_path());
  std::ofstream(file, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

// ---- pickles

/// A literal with zeros in it.
template <std::size_t size>
std::string literal(const char (&text)[size]) {
  return {text, size - 1};
}

/// What CPython 3.11 with NumPy 1.24 makes of {'data': array([[1, 2, 200], [10, 39, 92]], uint8), 'labels': [3, -1,
/// 300, 70000], 'flag': True, 'r': 0.5, 'big': 1 << 40}, by protocols 2 to 5.
std::vector<std::string> pickles_of_python3() {
  const std::string rest = literal(
      "K\x03J\xff\xff\xff\xffM,\x01Jp\x11\x01\x00"
      "e");
  const std::string flag_old = literal(
      "X\x04\x00\x00\x00"
      "flag\x88X\x01\x00\x00\x00rG?\xe0\x00\x00\x00\x00\x00\x00");
  const std::string big = literal("\x8a\x06\x00\x00\x00\x00\x00\x01u.");
  const std::string type = literal("J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00t");
  return {
      literal("\x80\x02}q\x00(X\x04\x00\x00\x00"
              "dataq\x01"
              "cnumpy.core.multiarray\n_reconstruct\nq\x02"
              "cnumpy\n"
              "ndarray\nq\x03K\x00\x85q\x04"
              "c_codecs\nencode\nq\x05X\x01\x00\x00\x00"
              "bq\x06X\x06\x00\x00\x00latin1"
              "q\x07\x86q\x08Rq\t\x87q\nRq\x0b(K\x01K\x02K\x03\x86q\x0c"
              "cnumpy\ndtype\nq\rX\x02\x00\x00\x00u1q\x0e"
              "\x89\x88\x87q\x0fRq\x10(K\x03X\x01\x00\x00\x00|q\x11NNN") +
          type +
          literal("q\x12"
                  "b\x89h\x05X\x07\x00\x00\x00\x01\x02\xc3\x88\n'\\q\x13h\x07\x86q\x14Rq\x15tq\x16"
                  "bX\x06\x00"
                  "\x00\x00labelsq\x17]q\x18(") +
          rest + flag_old +
          literal("X\x03\x00\x00\x00"
                  "big") +
          big,
      literal("\x80\x03}q\x00(X\x04\x00\x00\x00"
              "dataq\x01"
              "cnumpy.core.multiarray\n_reconstruct\nq\x02"
              "cnumpy\n"
              "ndarray\nq\x03K\x00\x85q\x04"
              "C\x01"
              "bq\x05\x87q\x06Rq\x07(K\x01K\x02K\x03\x86q\x08"
              "cnumpy\ndtype\n"
              "q\tX\x02\x00\x00\x00u1q\n\x89\x88\x87q\x0bRq\x0c(K\x03X\x01\x00\x00\x00|q\rNNN") +
          type +
          literal("q\x0e"
                  "b\x89"
                  "C\x06\x01\x02\xc8\n'\\q\x0ftq\x10"
                  "bX\x06\x00\x00\x00labelsq\x11]q\x12(") +
          rest + flag_old +
          literal("X\x03\x00\x00\x00"
                  "big") +
          big,
      literal("\x80\x04\x95\xec\x00\x00\x00\x00\x00\x00\x00}\x94(\x8c\x04"
              "data\x94\x8c\x15numpy.core.multiarray\x94"
              "\x8c\x0c_reconstruct\x94\x93\x94\x8c\x05numpy\x94\x8c\x07ndarray\x94\x93\x94K\x00\x85\x94"
              "C\x01"
              "b\x94"
              "\x87\x94R\x94(K\x01K\x02K\x03\x86\x94h\x05\x8c\x05"
              "dtype\x94\x93\x94\x8c\x02u1\x94\x89\x88\x87\x94R"
              "\x94(K\x03\x8c\x01|\x94NNN") +
          type +
          literal("\x94"
                  "b\x89"
                  "C\x06\x01\x02\xc8\n'\\\x94t\x94"
                  "b\x8c\x06labels\x94]\x94(") +
          rest +
          literal("\x8c\x04"
                  "flag\x94\x88\x8c\x01r\x94G?\xe0\x00\x00\x00\x00\x00\x00\x8c\x03"
                  "big\x94") +
          big,
      literal("\x80\x05\x95\xd7\x00\x00\x00\x00\x00\x00\x00}\x94(\x8c\x04"
              "data\x94\x8c\x12numpy.core.numeric\x94\x8c"
              "\x0b_frombuffer\x94\x93\x94(\x96\x06\x00\x00\x00\x00\x00\x00\x00\x01\x02\xc8\n'\\\x94\x8c\x05numpy\x94"
              "\x8c\x05"
              "dtype\x94\x93\x94\x8c\x02u1\x94\x89\x88\x87\x94R\x94(K\x03\x8c\x01|\x94NNN") +
          type +
          literal("\x94"
                  "bK\x02K\x03\x86\x94\x8c\x01"
                  "C\x94t\x94R\x94\x8c\x06labels\x94]\x94(") +
          rest +
          literal("\x8c\x04"
                  "flag\x94\x88\x8c\x01r\x94G?\xe0\x00\x00\x00\x00\x00\x00\x8c\x03"
                  "big\x94") +
          big,
  };
}

TEST(Pickle, ReadsWhatPython3Writes) {
  int protocol = 2;
  for (const std::string& bytes : pickles_of_python3()) {
    SCOPED_TRACE(protocol++);
    const Pickle pickle(bytes, "here");
    const PickledArray array = pickled_array(pickle, pickle.root().at("data"));
    EXPECT_EQ(array.shape, (std::vector<std::int64_t>{2, 3}));
    EXPECT_EQ(array.bytes, "\x01\x02\xc8\n'\\");
    std::vector<std::int64_t> labels;
    for (const PickleValue* label : pickle.root().at("labels")->children) labels.push_back(label->integer);
    EXPECT_EQ(labels, (std::vector<std::int64_t>{3, -1, 300, 70000}));
    EXPECT_EQ(pickle.root().at("flag")->integer, 1);
    EXPECT_EQ(pickle.root().at("r")->real, 0.5);
    EXPECT_EQ(pickle.root().at("big")->integer, std::int64_t{1} << 40);
    EXPECT_EQ(pickle.root().at("nothing"), nullptr);
  }
}

TEST(Pickle, ReadsTextAndNumbersOfTheFirstProtocol) {
  const Pickle pickle("(dp0\nS'a\\x01\\n\\'b'\np1\n(lp2\nI3\naI-1\naI01\naL12345678901L\naF2.5\naNasg1\n0(I1\nt0.",
                      "here");
  const PickleValue* list = pickle.root().at("a\x01\n'b");
  ASSERT_NE(list, nullptr);
  ASSERT_EQ(list->children.size(), 6u);
  EXPECT_EQ(list->children[1]->integer, -1);
  EXPECT_EQ(list->children[2]->kind, PickleValue::Kind::boolean);
  EXPECT_EQ(list->children[3]->integer, 12345678901);
  EXPECT_EQ(list->children[4]->real, 2.5);
  EXPECT_EQ(list->children[5]->kind, PickleValue::Kind::none);
}

TEST(Pickle, RunsNothing) {
  const Pickle pickle("cos\nsystem\n(S'echo ran'\ntR.", "here");
  EXPECT_EQ(pickle.root().kind, PickleValue::Kind::object);
  EXPECT_EQ(pickle.root().children[0]->bytes, "os.system");
  expect_contains(message_of([&] { pickled_array(pickle, &pickle.root()); }),
                  {"here: not a pickle", "expected a NumPy array"});
}

TEST(Pickle, TextOfTheFirstProtocolIsLatin1WithEscapes) {
  const auto text = [](const std::string& raw) { return std::string(Pickle("V" + raw + "\n.", "here").root().bytes); };
  // What Python 3 reads: pickle.loads(b"V" + raw + b"\n.").encode("utf-8", "surrogatepass")
  EXPECT_EQ(text("caf\xe9"), "caf\xc3\xa9");
  EXPECT_EQ(text("\\u00e9\\u4e2d\\U0001f600"), "\xc3\xa9\xe4\xb8\xad\xf0\x9f\x98\x80");
  EXPECT_EQ(text("\\u005cu0041"), "\\u0041");
  EXPECT_EQ(text("\\\\u0041"), "\\\\u0041");
  EXPECT_EQ(text("\\x41\\"), "\\x41\\");
  EXPECT_EQ(text("\\u000a\\ud83d"), "\n\xed\xa0\xbd");
  EXPECT_EQ(text("\\u0000"), std::string(1, '\0'));
  for (const char* raw : {"\\u12", "\\u12g4", "\\u-123", "\\U00110000", "\\U0001f60"})
    expect_contains(message_of([&] { text(raw); }), {"here: not a pickle of plain data: a text has a bad escape"});
}

TEST(Pickle, EveryCutIsRefusedInOneLine) {
  for (const std::string& whole : pickles_of_python3())
    for (std::size_t size = 0; size < whole.size(); ++size)
      expect_contains(message_of([&] { Pickle(std::string_view(whole).substr(0, size), "here"); }),
                      {"here: not a pickle of plain data: ", " before byte "});
}

TEST(Pickle, DamageIsRefused) {
  const auto complaint = [](const std::string& bytes) { return message_of([&] { Pickle(bytes, "here"); }); };
  EXPECT_NE(complaint("\xff").find("unknown opcode 255"), std::string::npos);
  EXPECT_NE(complaint("0.").find("the stack is empty"), std::string::npos);
  EXPECT_NE(complaint("(0.").find("the stack is empty"), std::string::npos);
  EXPECT_NE(complaint("K\1t.").find("there is no mark"), std::string::npos);
  EXPECT_NE(complaint("h\5.").find("a reference to nothing"), std::string::npos);
  EXPECT_NE(complaint("}(K\1u.").find("a key has no value"), std::string::npos);
  EXPECT_NE(complaint("K\1K\1a.").find("expected a list"), std::string::npos);
  EXPECT_NE(complaint("I12x\n.").find("a number cannot be read"), std::string::npos);
  EXPECT_NE(complaint("S'a\\q'\n.").find("unknown escape"), std::string::npos);
  EXPECT_NE(complaint("S'a\\x4").find("a line has no end"), std::string::npos);
  EXPECT_NE(complaint("S'a\\x4'\n.").find("bad escape"), std::string::npos);
}

TEST(Pickle, CopiesOfTextHaveALimit) {
  std::string bytes = "c_codecs\nencode\n\x94X" + literal("\x10\x27\0\0") + std::string(10000, 'a') +
                      literal("X\x06\0\0\0latin1\x86\x94");
  const std::string twice = bytes + "h" + literal("\0") + "h\1R.";
  EXPECT_EQ(Pickle(twice, "here").root().bytes, std::string(10000, 'a'));
  for (int i = 0; i < 1000; ++i) bytes += "h" + literal("\0") + "h\1R0";
  expect_contains(message_of([&] { Pickle(bytes, "here"); }),
                  {"here: not a pickle", "the same text is used too often"});
}

// ---- CIFAR

std::string number(std::size_t value, int bytes) {
  std::string text;
  for (int i = 0; i < bytes; ++i) text += static_cast<char>(value >> 8 * i & 255);
  return text;
}

/// Image i of a made-up set: byte p of its planes.
char pixel(std::size_t i, std::size_t p) { return static_cast<char>(i * 7 + p + p / 1024); }

std::string planes(std::size_t i, std::size_t bytes) {
  std::string all(bytes, 0);
  for (std::size_t p = 0; p < bytes; ++p) all[p] = pixel(i, p);
  return all;
}

/// A batch as Python 2 has pickled the archives': one dict, protocol 2.
std::string python_batch(const std::string& key, std::size_t images, std::size_t classes) {
  std::string labels, data;
  for (std::size_t i = 0; i < images; ++i) {
    labels.append("K").append(number(i % classes, 1));
    data += planes(i, 3072);
  }
  const std::string length = number(key.size(), 1);
  return literal(
             "\x80\x02}q\x01(U\x0b"
             "batch_labelq\x02U\x04pageq\x03U") +
         length + key + "q\x04]q\x05(" + labels +
         literal(
             "eU\x04"
             "dataq\x06"
             "cnumpy.core.multiarray\n_reconstruct\nq\x07"
             "cnumpy\nndarray\nq\x08K\x00\x85U\x01"
             "b\x87Rq\t(K\x01J") +
         number(images, 4) +
         literal(
             "M\x00\x0c\x86"
             "cnumpy\ndtype\nq\nU\x02u1K\x00K\x01\x87Rq\x0b(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff"
             "\xff\xffK\x00tb\x89T") +
         number(data.size(), 4) + data + "tbu.";
}

std::string binary_batch(std::size_t images, std::size_t classes, bool coarse) {
  std::string bytes;
  for (std::size_t i = 0; i < images; ++i)
    bytes.append(coarse ? 1 : 0, 19).append(number(i % classes, 1)).append(planes(i, 3072));
  return bytes;
}

void expect_images(const Dataset& data, std::size_t first, std::size_t classes) {
  for (std::int64_t i = 0; i < data.count; ++i) {
    const std::size_t image = first + static_cast<std::size_t>(i);
    ASSERT_EQ(data.label(i), static_cast<std::int32_t>(image % classes)) << i;
    for (std::size_t p : {0u, 5u, 1023u})
      for (std::size_t c = 0; c < 3; ++c)
        ASSERT_EQ(data.image(i)[3 * p + c], static_cast<std::uint8_t>(pixel(image, c * 1024 + p))) << i;
  }
}

TEST(Cifar100, BothVersionsGiveTheSameImages) {
  const TemporaryFolder binary, python;
  const std::string train = binary_batch(50, 100, true);
  write(binary / "cifar-100-binary/train.bin", train);
  write(python / "cifar-100-python/train", python_batch("fine_labels", 50, 100));
  for (const std::string& folder : {binary.path(), python.path()}) {
    const Dataset all = read_cifar100(folder, "train"), val = read_cifar100(folder, "val"),
                  rest = read_cifar100(folder, "probe_without_val");
    EXPECT_EQ(all.count, 50);
    EXPECT_EQ(all.classes, 100);
    EXPECT_EQ(all.mean, (ChannelValues{0.5071f, 0.4865f, 0.4409f})) << "as published";
    EXPECT_EQ(all.std, (ChannelValues{0.2673f, 0.2564f, 0.2762f}));
    expect_images(all, 0, 100);
    EXPECT_EQ(val.count, 5);
    expect_images(val, 45, 100);
    EXPECT_EQ(rest.count, 45);
    expect_images(rest, 0, 100);
    EXPECT_EQ(read_cifar100(folder, "probe", 7).count, 7);
  }
}

TEST(Cifar100, TheLastTenthOfFewImagesIsNone) {
  const TemporaryFolder folder;
  write(folder / "train.bin", binary_batch(9, 100, true));
  EXPECT_EQ(message_of([&] { read_cifar100(folder.path(), "val"); }),
            "cifar100: " + folder / "train.bin" +
                " has 9 training images, too few for --split val, which is the last tenth of them");
  EXPECT_EQ(read_cifar100(folder.path(), "probe_without_val").count, 9);
}

TEST(Cifar100, DamageIsRefused) {
  const TemporaryFolder folder;
  const auto complaint = [&](const std::string& split) {
    return message_of([&] { read_cifar100(folder.path(), split); });
  };
  expect_contains(complaint("train"), {"cifar100: train.bin not found in ", "cifar-100-binary", "cifar-100-python"});
  std::string bytes = binary_batch(3, 100, true);
  bytes.pop_back();
  write(folder / "train.bin", bytes);
  expect_contains(complaint("train"), {"train.bin has 9221 bytes, expected whole records of 3074"});
  bytes = binary_batch(3, 100, true);
  bytes[3074 + 1] = 100;
  write(folder / "train.bin", bytes);
  expect_contains(complaint("probe"), {"label 100 in record 1", "expected 0 to 99"});
  const std::string pickled = python_batch("labels", 3, 100);
  write(folder / "test", pickled);
  expect_contains(complaint("test"), {"test has no list or array 'fine_labels'"});
  std::string without = python_batch("fine_labels", 3, 100);
  const std::size_t label = without.find("(K") + 1;
  without.erase(label, 2).insert(label, 1, 'N');  // a label that is none
  write(folder / "test", without);
  expect_contains(complaint("test"), {"test has label None in record 0, expected a whole number from 0 to 99"});
  write(folder / "test", pickled.substr(0, 5000));
  expect_contains(complaint("test"), {"test: not a pickle of plain data: the file ends too early"});
}

TEST(Cifar10, ThePythonVersionIsReadWhereItLies) {
  const TemporaryFolder folder;
  write(folder / "cifar-10-batches-py/test_batch", python_batch("labels", 10000, 10));
  const Dataset test = read_cifar10(folder.path(), "test");
  ASSERT_EQ(test.count, 10000);
  EXPECT_EQ(test.mean, (ChannelValues{0.4914f, 0.4822f, 0.4465f})) << "as published";
  EXPECT_EQ(test.std, (ChannelValues{0.2470f, 0.2435f, 0.2616f}));
  expect_images(test, 0, 10);
  write(folder / "cifar-10-batches-py/test_batch", python_batch("labels", 9999, 10));
  expect_contains(message_of([&] { read_cifar10(folder.path(), "test"); }), {"9999 labels", "expected 10000 of both"});
}

// ---- STL-10

/// Image i: column by column, so that pixel (x, y) of channel c is 3 x + 5 y + 7 c + 11 i.
std::string stl_images(std::size_t first, std::size_t count) {
  std::string bytes;
  for (std::size_t i = first; i < first + count; ++i)
    for (std::size_t c = 0; c < 3; ++c)
      for (std::size_t x = 0; x < 96; ++x)
        for (std::size_t y = 0; y < 96; ++y) bytes += static_cast<char>(3 * x + 5 * y + 7 * c + 11 * i);
  return bytes;
}

class Stl10 : public ::testing::Test {
 protected:
  void SetUp() override {
    write(folder / "stl10_binary/train_X.bin", stl_images(0, 20));
    write(folder / "stl10_binary/unlabeled_X.bin", stl_images(20, 13));
    write(folder / "stl10_binary/test_X.bin", stl_images(33, 6));
    write(folder / "stl10_binary/train_y.bin", labels(20));
    write(folder / "stl10_binary/test_y.bin", labels(6));
  }
  static std::string labels(std::size_t count) {
    std::string text;
    for (std::size_t i = 0; i < count; ++i) text += static_cast<char>(1 + i % 10);
    return text;
  }
  static void expect_pixels(const Dataset& data, std::size_t first) {
    for (std::int64_t i = 0; i < data.count; ++i)
      for (const auto& [x, y] : {std::pair{0u, 0u}, {95u, 0u}, {0u, 95u}, {17u, 60u}})
        for (std::size_t c = 0; c < 3; ++c)
          ASSERT_EQ(data.image(i)[3 * (y * 96 + x) + c],
                    static_cast<std::uint8_t>(3 * x + 5 * y + 7 * c + 11 * (first + static_cast<std::size_t>(i))));
  }
  std::string complaint(const std::string& split) const {
    return message_of([&] { read_stl10(folder.path(), split); });
  }

  TemporaryFolder folder;
};

TEST_F(Stl10, ColumnsBecomeRows) {
  const Dataset test = read_stl10(folder.path(), "test"), again = read_stl10(folder / "stl10_binary", "test");
  ASSERT_EQ(test.count, 6);
  EXPECT_EQ(test.height, 96);
  EXPECT_EQ(test.classes, 10);
  EXPECT_EQ(test.labels, (std::vector<std::int32_t>{0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(test.pixels, again.pixels);
  EXPECT_EQ(test.mean, (ChannelValues{0.4467f, 0.4398f, 0.4066f})) << "as published";
  EXPECT_EQ(test.std, (ChannelValues{0.2603f, 0.2566f, 0.2713f}));
  expect_pixels(test, 33);
}

TEST_F(Stl10, PretrainingSeesLabeledAndUnlabeledImages) {
  const Dataset train = read_stl10(folder.path(), "train");
  ASSERT_EQ(train.count, 33);
  EXPECT_EQ(train.classes, 0);
  EXPECT_TRUE(train.labels.empty());
  expect_pixels(train, 0);
  EXPECT_EQ(read_stl10(folder.path(), "train", 25).count, 25);
  EXPECT_EQ(read_stl10(folder.path(), "train", 5).pixels.size(), 5u * 27648);
}

TEST_F(Stl10, ValidationIsTheLastTenth) {
  const Dataset val = read_stl10(folder.path(), "val"), rest = read_stl10(folder.path(), "probe_without_val");
  ASSERT_EQ(val.count, 2);
  EXPECT_EQ(val.labels, (std::vector<std::int32_t>{8, 9}));
  expect_pixels(val, 18);
  EXPECT_EQ(rest.count, 18);
  EXPECT_EQ(read_stl10(folder.path(), "probe").count, 20);
  EXPECT_EQ(read_stl10(folder.path(), "probe").height, entry_of("stl10").side);
}

TEST_F(Stl10, TheLastTenthOfFewImagesIsNone) {
  write(folder / "stl10_binary/train_X.bin", stl_images(0, 1));
  write(folder / "stl10_binary/train_y.bin", labels(1));
  EXPECT_EQ(complaint("val"), "stl10: " + folder / "stl10_binary/train_X.bin" +
                                  " has 1 training image, too few for --split val, which is the last tenth of them");
  EXPECT_EQ(read_stl10(folder.path(), "probe_without_val").count, 1);
}

TEST_F(Stl10, DamageIsRefused) {
  expect_contains(message_of([] { read_stl10("", "train"); }), {"stl10: no data folder given"});
  expect_contains(message_of([] { read_stl10("/nowhere", "train"); }), {"train_X.bin not found", "stl10_binary"});
  write(folder / "stl10_binary/train_X.bin", stl_images(0, 20).substr(1));
  expect_contains(complaint("probe"), {"train_X.bin has 552959 bytes, expected whole images of 27648"});
  write(folder / "stl10_binary/test_y.bin", labels(5));
  expect_contains(complaint("test"), {"test_y.bin has 5 labels, expected 6"});
  write(folder / "stl10_binary/test_y.bin", labels(5) + "\x0b");
  expect_contains(complaint("test"), {"label 11 at image 5", "expected 1 to 10"});
  SetUp();
  fs::remove(folder / "stl10_binary/unlabeled_X.bin");
  expect_contains(complaint("train"), {"unlabeled_X.bin: cannot be read"});
}

TEST_F(Stl10, FoldsAreLinesOfIndices) {
  const DatasetSettings settings{.name = "stl10", .directory = folder.path()};
  expect_contains(message_of([&] { published_fold(settings, 0); }), {"fold_indices.txt: cannot open"});
  write(folder / "stl10_binary/fold_indices.txt", "3 1 19\r\n0 2 \n5 20\n7 7\n1 x\n");
  EXPECT_EQ(published_fold(settings, 0), (std::vector<std::int64_t>{1, 3, 19}));
  EXPECT_EQ(published_fold(settings, 1), (std::vector<std::int64_t>{0, 2}));
  const auto complaint_of = [&](std::int64_t fold) { return message_of([&] { published_fold(settings, fold); }); };
  expect_contains(complaint_of(2), {"fold 2 has '20', expected images 0 to 19"});
  expect_contains(complaint_of(3), {"fold 3 has image 7 twice"});
  expect_contains(complaint_of(4), {"fold 4 has 'x'"});
  expect_contains(complaint_of(5), {"has 5 folds, there is no fold 5"});
  expect_contains(message_of([] { published_fold({.name = "cifar10"}, 0); }),
                  {"cifar10: there are no published folds, expected stl10"});
}

// ---- published sums

#ifndef VERGENCE_PLAIN_CPU  // there is no MD5
TEST(Verify, FilesThatDifferAndUnknownOnesAreRefused) {
  TemporaryFolder folder;
  const auto verify = [&](const char* name) {
    DatasetSettings settings;
    settings.name = name;
    settings.directory = folder.path();
    return message_of([&] { verify_dataset(settings, [](const std::string&) {}); });
  };
  expect_contains(verify("cifar100"), {"no published sums for what cifar100 has in"});
  expect_contains(verify("confounded_shapes"), {"no published sums"});
  write_atomically(folder / "train", "abc");
  expect_contains(verify("cifar100"), {folder / "train", "900150983cd24fb0d6963f7d28e17f72", "16019d7e3df5f242"});
  for (const char* binary : {"cifar-100-binary/test.bin", "train.bin"}) {  // which is read then
    write(folder / binary, "abc");
    expect_contains(verify("cifar100"), {folder / binary + " is read, of a version of cifar100 whose sums nobody has"});
  }
  write_atomically(folder / "data_batch_1.bin", "abc");  // composites have CIFAR-10's files
  expect_contains(verify("composites"), {folder / "data_batch_1.bin", "5dd7e06a14cb22eb9f671a540d1b7c25"});
}

TEST(Verify, RealCifar10HasItsSums) {
  const fs::path place = real_data("cifar10");
  if (place.empty()) GTEST_SKIP() << no_real_data("cifar10");
  DatasetSettings settings;
  settings.name = "cifar10";
  settings.directory = place.string();
  int lines = 0;
  verify_dataset(settings, [&](const std::string& line) {
    ++lines;
    expect_contains(line, {place.string(), "as published"});
  });
  EXPECT_EQ(lines, 6);
}
#endif

}  // namespace
}  // namespace vergence
