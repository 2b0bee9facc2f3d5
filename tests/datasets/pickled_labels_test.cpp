// What Python and NumPy make of images and labels: every protocol, lists and arrays, numbers and what is none.
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>

#include "datasets/readers/cifar.h"
#include "datasets/readers/npy_file.h"
#include "datasets/readers/pickled_array.h"
#include "engine/io/files.h"
#include "tests/support/complaints.h"
#include "tests/support/temporary_folder.h"

namespace vergence {
namespace {

namespace fs = std::filesystem;

/// Pickles in the fuzzers' corpus that NumPy 1 and 2 have made of the dict `numbers` in tests/fuzz/make_corpus.py.
TEST(Pickle, ReadsArraysAndScalarsOfBothNumPys) {
  int files = 0;
  for (const auto& entry :
       fs::directory_iterator(std::string(std::getenv("VERGENCE_SOURCE")) + "/tests/fuzz/corpus/pickle")) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with("numpy")) continue;
    SCOPED_TRACE(name);
    ++files;
    const std::string bytes = read_file(entry.path().string());
    EXPECT_EQ(bytes.find("numpy._core") != std::string::npos, name.starts_with("numpy2"));
    const Pickle pickle(bytes, "here");
    const PickleValue& root = pickle.root();
    const PickledArray labels = pickled_array(pickle, root.at("labels")), big = pickled_array(pickle, root.at("big"));
    EXPECT_EQ(labels.type, "<i8");
    EXPECT_EQ(labels.shape, (std::vector<std::int64_t>{3}));
    EXPECT_EQ(integers_of(labels.bytes, labels.type), (std::vector<std::int64_t>{3, 255, 300}));
    EXPECT_EQ(big.type, ">i2");
    EXPECT_EQ(integers_of(big.bytes, big.type), (std::vector<std::int64_t>{1, 2}));
    EXPECT_EQ(pickled_array(pickle, root.at("data")).bytes, "\x01\x02\xc8\n'\\");
    EXPECT_EQ(pickled_array(pickle, root.at("shape")).shape, (std::vector<std::int64_t>{0, 3}));
    const PickleValue::Children& scalars = root.at("scalars")->children;
    ASSERT_EQ(scalars.size(), 4u);
    EXPECT_EQ(pickled_integer(pickle, *scalars[0]), -7);
    EXPECT_EQ(pickled_integer(pickle, *scalars[1]), 200);
    EXPECT_FALSE(pickled_integer(pickle, *scalars[2]).has_value());
    EXPECT_EQ(described(pickle, *scalars[2]), "a NumPy scalar of type '|b1'");
    EXPECT_EQ(described(pickle, *scalars[3]), "a NumPy scalar of type '<f4'");
    EXPECT_EQ(root.at("text")->bytes, "\xc3\xa9\xe4\xb8\xad\xf0\x9f\x98\x80\\u0041\r");
    ASSERT_NE(root.at("empty"), nullptr);
    EXPECT_EQ(root.at("empty")->kind, PickleValue::Kind::bytes);
    EXPECT_EQ(root.at("empty")->bytes, "");
  }
  EXPECT_EQ(files, 12);
}

/// A Python that has NumPy; empty: there is none.
std::string python_with_numpy() {
  for (const char* python : {"/usr/bin/python3", "python3"})
    if (std::system(join(python, " -c 'import numpy' 2>/dev/null").c_str()) == 0) return python;
  return {};
}

constexpr std::int64_t images = 20;

/// Writes FOLDER/KIND_PROTOCOL/train for each expression of `labels` and each protocol: CIFAR-100's dict of n images,
/// of which byte p is (7 i + p + p // 1024) % 256.
void write_by_python(const std::string& python, const std::string& folder, const std::vector<std::string>& labels) {
  std::string script = join("import numpy as np, os, pickle\nn = ", images,
                            "\np = np.arange(3072)\n"
                            "data = ((7 * np.arange(n)[:, None] + p + p // 1024) % 256).astype(np.uint8)\nkinds = [\n");
  for (const std::string& expression : labels) script += expression + ",\n";
  script +=
      "]\nfor k, labels in enumerate(kinds):\n  for protocol in range(6):\n    name = f'{k}_{protocol}'\n"
      "    os.mkdir(name)\n    with open(name + '/train', 'wb') as file:\n"
      "      pickle.dump({'fine_labels': labels, 'data': data}, file, protocol)\n";
  std::ofstream(folder + "/write.py") << script;
  const std::string command = join("cd '", folder, "' && ", python, " write.py");
  require(std::system(command.c_str()) == 0, command, " has failed");
}

TEST(Cifar100, LabelsOfPython3AreReadHoweverTheyAreKept) {
  const std::string python = python_with_numpy();
  if (python.empty()) GTEST_SKIP() << "no Python with NumPy";
  const TemporaryFolder folder;
  const std::vector<std::string> kinds{
      "list(range(n))",     "tuple(range(n))",           "np.arange(n)",
      "list(np.arange(n))", "np.arange(n, dtype='>u2')", "[np.uint8(i) for i in range(n)]"};
  write_by_python(python, folder.path(), kinds);
  for (std::size_t kind = 0; kind < kinds.size(); ++kind)
    for (int protocol = 0; protocol <= 5; ++protocol) {
      SCOPED_TRACE(join(kinds[kind], ", protocol ", protocol));
      const Dataset data = read_cifar100(folder / join(kind, "_", protocol), "train");
      ASSERT_EQ(data.count, images);
      for (std::int64_t i = 0; i < data.count; ++i) {
        ASSERT_EQ(data.label(i), i);
        for (std::int64_t p = 0; p < 1024; ++p)
          for (std::int64_t c = 0; c < 3; ++c)
            ASSERT_EQ(data.image(i)[3 * p + c], (7 * i + 1024 * c + p + c) % 256) << i;
      }
    }
}

TEST(Cifar100, LabelsThatAreNoneAreNamed) {
  const std::string python = python_with_numpy();
  if (python.empty()) GTEST_SKIP() << "no Python with NumPy";
  const TemporaryFolder folder;
  const std::pair<const char*, const char*> wrong[] = {
      {"[1, 100] + [0] * 18", "train has label 100 in record 1, expected 0 to 99"},
      {"[np.int64(-1)] * n", "has label -1 in record 0, expected 0 to 99"},
      {"[3, True] + [0] * 18", "has label True in record 1, expected a whole number from 0 to 99"},
      {"[np.bool_(0)] * n", "has label a NumPy scalar of type '|b1' in record 0, expected a whole number"},
      {"[3.0] * n", "has label 3 (a float) in record 0, expected a whole number"},
      {"['cat'] * n", "has label 'cat' in record 0, expected a whole number"},
      {"[[0, 1]] * n", "has label a list or tuple in record 0, expected a whole number"},
      {"np.arange(n) + 90", "has label 100 in record 10, expected 0 to 99"},
      {"np.arange(n)[:, None]", "has labels of shape (20, 1) and type '<i8', expected whole numbers of shape (N,)"},
      {"np.arange(n) > 3", "has labels of shape (20,) and type '|b1', expected whole numbers"},
      {"np.arange(n) / 2", "has labels of shape (20,) and type '<f8', expected whole numbers"},
      {"'cat'", "has no list or array 'fine_labels', but 'cat'"},
      {"np.array(['a'] * n, object)", "expected a NumPy array of numbers"},
      {"np.arange(n - 1)", "has 19 labels and an array of 20 rows"}};
  std::vector<std::string> kinds;
  for (const auto& [labels, message] : wrong) kinds.emplace_back(labels);
  write_by_python(python, folder.path(), kinds);
  for (std::size_t kind = 0; kind < kinds.size(); ++kind)
    for (int protocol = 0; protocol <= 5; ++protocol) {
      SCOPED_TRACE(join(kinds[kind], ", protocol ", protocol));
      expect_contains(message_of([&] { read_cifar100(folder / join(kind, "_", protocol), "train"); }),
                      {"cifar100: ", wrong[kind].second});
    }
}

}  // namespace
}  // namespace vergence
