// Files are replaced whole, and what cannot be replaced is written to: devices, FIFOs, descriptors, mount points.
#include "engine/io/files.h"

#include <chrono>
#include <csignal>
#include <cstring>
#include <fstream>
#include <functional>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <thread>

#include "engine/io/partial_file.h"
#include "engine/io/require_call.h"
#include "tests/support/complaints.h"
#include "tests/support/special_files.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/watched_syncs.h"

namespace vergence {
namespace {

namespace fs = std::filesystem;

constexpr uid_t nobody = 65534;

struct stat status_of(const std::string& path) {
  struct stat status {};
  EXPECT_EQ(::stat(path.c_str(), &status), 0) << path;
  return status;
}

/// What a child process complains about, as nobody where `as_nobody`; it writes "no complaint" where there is none.
std::string complaint_of_child(bool as_nobody, const std::function<void()>& body) {
  int ends[2];
  EXPECT_EQ(::pipe(ends), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    std::string text = "cannot become nobody";
    if (!as_nobody || ::geteuid() != 0 || (::setgid(nobody) == 0 && ::setuid(nobody) == 0))
      text = error_or<std::exception>("no complaint", body);
    const bool written = ::write(ends[1], text.data(), text.size()) == static_cast<ssize_t>(text.size());
    ::_exit(written ? 0 : 1);
  }
  ::close(ends[1]);
  std::string text(4096, 0);
  text.resize(static_cast<std::size_t>(std::max<ssize_t>(::read(ends[0], text.data(), text.size()), 0)));
  ::close(ends[0]);
  int status = -1;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  return text;
}

/// All bytes until the end of the file that `descriptor` reads, read slowly at first.
std::string all_of(int descriptor) {
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  std::string all, part(1 << 16, 0);
  for (ssize_t got; (got = ::read(descriptor, part.data(), part.size())) > 0;)
    all.append(part, 0, static_cast<std::size_t>(got));
  return all;
}

std::string many_lines() {  // more than a pipe holds
  std::string text;
  for (int i = 0; i < 100000; ++i) text += std::to_string(i) + "\n";
  return text;
}

class Files : public testing::Test {
 protected:
  void write(const std::string& name, const std::string& text) { std::ofstream(folder_ / name) << text; }
  /// The complaint about writing to `path`; nothing may be left behind.
  template <class E = UsageError>
  std::string refusal(const std::string& path) {
    const auto before = names();
    std::string file = message_of<E>([&] { AtomicFile{path}; });
    EXPECT_EQ(message_of<E>([&] { ResultFile{path}; }), file);
    EXPECT_EQ(names(), before);
    return file;
  }
  std::vector<std::string> names() const {
    std::vector<std::string> all;
    for (const auto& entry : fs::recursive_directory_iterator(folder_.path())) all.push_back(entry.path().string());
    std::sort(all.begin(), all.end());
    return all;
  }

  TemporaryFolder folder_;
};

TEST_F(Files, ReplacedOnesKeepTheirPermissions) {
  const mode_t before = ::umask(022);
  for (const mode_t mode : {0600, 0640, 0664, 0666, 0755}) {
    write("file", "old");
    ASSERT_EQ(::chmod((folder_ / "file").c_str(), mode), 0);
    const ino_t old = status_of(folder_ / "file").st_ino;
    write_atomically(folder_ / "file", "new");
    EXPECT_EQ(status_of(folder_ / "file").st_mode & 07777, mode);
    EXPECT_NE(status_of(folder_ / "file").st_ino, old) << "another file took its place";
    EXPECT_EQ(folder_.bytes("file"), "new");
  }
  write_atomically(folder_ / "another", "new");
  EXPECT_EQ(status_of(folder_ / "another").st_mode & 07777, 0644u);
  ::umask(before);
}

TEST_F(Files, ReplacedOnesKeepTheirOwner) {
  write("file", "old");
  if (::chown((folder_ / "file").c_str(), nobody, nobody) != 0) GTEST_SKIP() << "files can be given away by root alone";
  write_atomically(folder_ / "file", "new");
  EXPECT_EQ(status_of(folder_ / "file").st_uid, nobody);
  EXPECT_EQ(status_of(folder_ / "file").st_gid, nobody);
}

/// A process in another container may have the same id.
TEST_F(Files, NoUnfinishedFileOfAnotherProcessIsTaken) {
  const std::string others = join("file.tmp", ::getpid());
  write(others, "half of it");
  write_atomically(folder_ / "file", "new");
  EXPECT_EQ(folder_.bytes("file"), "new");
  EXPECT_EQ(folder_.bytes(others), "half of it");
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_.path()), {}), 2) << "nothing else is left";
}

TEST_F(Files, AreOnTheDiskBeforeTheyReplaceAndTheFolderAfterwards) {
  const std::string folder = fs::canonical(folder_.path()).string();
  std::vector<std::string> synced;
  write("file", "old");
  const WatchedSyncs watch(
      [&](const std::string& path) { synced.push_back(path + " beside " + folder_.bytes("file")); });
  write_atomically(folder_ / "file", "new");
  EXPECT_EQ(synced,
            (std::vector<std::string>{join(folder, "/file.tmp", ::getpid(), " beside old"), folder + " beside new"}));
  synced.clear();
  const PartialFile partial(folder_ / "file");
  partial.write("newer", 5, 0);
  partial.sync();
  EXPECT_EQ(synced, std::vector<std::string>{folder + "/file beside newer"});
}

TEST_F(Files, DevicesAreWrittenTo) {
  if (!make_device(folder_ / "null", null_device) || !make_device(folder_ / "full", full_device))
    GTEST_SKIP() << no_devices;
  write_atomically(folder_ / "null", "new");
  ResultFile(folder_ / "null").write("new");
  EXPECT_EQ(kind_at(folder_ / "null"), static_cast<mode_t>(S_IFCHR));
  const std::string full = folder_ / "full: cannot write: No space left on device";
  EXPECT_EQ(message_of<Error>([&] { write_atomically(folder_ / "full", "new"); }), full);
  fs::create_symlink("full", folder_ / "link");
  EXPECT_EQ(message_of<Error>([&] { ResultFile(folder_ / "link").write("new"); }),
            folder_ / "link: cannot write: No space left on device");
  EXPECT_EQ(kind_at(folder_ / "full"), static_cast<mode_t>(S_IFCHR));
  EXPECT_EQ(names().size(), 3u);
}

TEST_F(Files, AFifosReaderGetsAllOfItAndNoEarlyEnd) {
  make_fifo(folder_ / "fifo");
  fs::create_symlink("fifo", folder_ / "link");
  const std::string text = many_lines();
  for (const char* name : {"fifo", "link"}) {
    const int reader = ::open((folder_ / "fifo").c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    ASSERT_GE(reader, 0);
    std::string got;
    {
      ResultFile file(folder_ / name);
      char byte;
      EXPECT_EQ(::read(reader, &byte, 1), -1) << "0 would be the end";
      EXPECT_EQ(errno, EAGAIN);
      ASSERT_EQ(::fcntl(reader, F_SETFL, 0), 0);
      std::thread reading([&] { got = all_of(reader); });
      file.write(text);
      reading.join();
    }
    EXPECT_TRUE(got == text) << got.size() << " of " << text.size() << " bytes";
    ::close(reader);
  }
  EXPECT_EQ(kind_at(folder_ / "fifo"), static_cast<mode_t>(S_IFIFO));
  EXPECT_EQ(kind_at(folder_ / "link"), static_cast<mode_t>(S_IFLNK));
}

TEST_F(Files, AFifoThatNobodyReadsIsRefused) {
  make_fifo(folder_ / "fifo");
  EXPECT_EQ(refusal(folder_ / "fifo"),
            folder_ / "fifo: is a FIFO that nobody reads, expected one whose reader has started");
}

TEST_F(Files, AFifosReaderThatGoesAwayIsAnError) {
  const auto before = std::signal(SIGPIPE, SIG_IGN);
  make_fifo(folder_ / "fifo");
  const int reader = ::open((folder_ / "fifo").c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  ResultFile file(folder_ / "fifo");
  ::close(reader);
  EXPECT_EQ(message_of<Error>([&] { file.write("new"); }), folder_ / "fifo: cannot write: Broken pipe");
  std::signal(SIGPIPE, before);
}

TEST_F(Files, WhatIsNoFileIsRefusedAtOnce) {
  fs::create_directory(folder_ / "folder");
  fs::create_directory_symlink("folder", folder_ / "link");
  for (const char* name : {"folder", "folder/", "link", "link/"})
    EXPECT_EQ(refusal(folder_ / name), folder_ / name + ": is a folder, expected a file");
  EXPECT_EQ(refusal(folder_ / "new/"), folder_ / "new/: names a folder, expected a file");
  EXPECT_EQ(refusal(""), "expected the name of a file, got ''");
  EXPECT_EQ(refusal(folder_ / "none/file"), folder_ / "none/file: there is no folder " + folder_ / "none");
  write("file", "old");
  EXPECT_EQ(refusal(folder_ / "file/file"), folder_ / "file/file: there is no folder " + folder_ / "file");
  expect_contains(refusal(folder_ / std::string(300, 'x')), {"File name too long"});

  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, (folder_ / "socket").c_str(), sizeof address.sun_path - 1);
  const int socket = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  ASSERT_EQ(::bind(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  EXPECT_EQ(refusal(folder_ / "socket"), folder_ / "socket: is a socket, expected a file");
  ::close(socket);
  if (::mknod((folder_ / "block").c_str(), S_IFBLK | 0666, makedev(7, 200)) == 0) {
    EXPECT_EQ(refusal(folder_ / "block"), folder_ / "block: is a block device, expected a file");
  }
}

TEST_F(Files, LinksStayAndTheirTargetsAreReplaced) {
  fs::create_directories(folder_ / "a/b");
  write("a/b/file", "old");
  fs::create_symlink("b/file", folder_ / "a/first");
  fs::create_symlink("a/first", folder_ / "second");
  fs::create_symlink(folder_ / "a/new", folder_ / "dangling");
  const ino_t old = status_of(folder_ / "a/b/file").st_ino;
  write_atomically(folder_ / "second", "new");
  ResultFile(folder_ / "dangling").write("made");
  EXPECT_EQ(folder_.bytes("a/b/file"), "new");
  EXPECT_NE(status_of(folder_ / "a/b/file").st_ino, old);
  EXPECT_EQ(folder_.bytes("a/new"), "made");
  for (const char* name : {"a/first", "second", "dangling"})
    EXPECT_EQ(kind_at(folder_ / name), static_cast<mode_t>(S_IFLNK)) << name;
  EXPECT_EQ(kind_at(folder_ / "a/new"), static_cast<mode_t>(S_IFREG));
  EXPECT_EQ(names().size(), 7u);
  fs::create_symlink("loop", folder_ / "loop");
  EXPECT_EQ(refusal(folder_ / "loop"), folder_ / "loop: cannot be written: Too many levels of symbolic links");
  fs::create_symlink("none/file", folder_ / "astray");
  EXPECT_EQ(refusal(folder_ / "astray"), folder_ / "astray: there is no folder " + folder_ / "none");
}

TEST_F(Files, FoldersAreCreatedBehindALink) {
  fs::create_directory_symlink("target", folder_ / "link");
  create_folders(folder_ / "link");
  EXPECT_EQ(kind_at(folder_ / "target"), static_cast<mode_t>(S_IFDIR));
  fs::create_directory_symlink("loop", folder_ / "loop");
  expect_contains(message_of([&] { create_folders(folder_ / "loop"); }),
                  {folder_ / "loop: cannot create the folder: "});
}

/// The path of a descriptor of this process.
std::string descriptor_path(int descriptor) { return "/dev/fd/" + std::to_string(descriptor); }

TEST_F(Files, DescriptorsGoOnFromWhereTheyStand) {
  const int file = ::open((folder_ / "file").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  ASSERT_EQ(::write(file, "before\n", 7), 7);
  const ino_t old = status_of(folder_ / "file").st_ino;
  fs::create_symlink(descriptor_path(file), folder_ / "link");
  write_atomically(descriptor_path(file), "one\n");
  write_atomically("/proc/self/fd/" + std::to_string(file), "two\n");
  ResultFile(folder_ / "link").write("three\n");
  ASSERT_EQ(::write(file, "after\n", 6), 6);
  EXPECT_EQ(folder_.bytes("file"), "before\none\ntwo\nthree\nafter\n");
  EXPECT_EQ(status_of(folder_ / "file").st_ino, old);
  ::close(file);
  EXPECT_EQ(refusal(descriptor_path(file)), descriptor_path(file) + ": is not open: Bad file descriptor");
  const int reading = ::open((folder_ / "file").c_str(), O_RDONLY | O_CLOEXEC);
  EXPECT_EQ(refusal(descriptor_path(reading)),
            descriptor_path(reading) + ": is open only for reading, expected one open for writing");
  ::close(reading);
}

TEST_F(Files, APipeThatDoesNotWaitGetsAllOfIt) {
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  ASSERT_EQ(::fcntl(ends[1], F_SETFL, O_NONBLOCK), 0);
  const std::string text = many_lines();
  std::string got;
  std::thread reading([&] { got = all_of(ends[0]); });
  write_atomically(descriptor_path(ends[1]), text);
  ::close(ends[1]);
  reading.join();
  ::close(ends[0]);
  EXPECT_TRUE(got == text) << got.size() << " of " << text.size() << " bytes";
}

TEST_F(Files, WhatIsPrintedBeforeComesFirst) {
  fs::create_symlink("/proc/self/fd/1", folder_ / "stdout");  // as /dev/stdout is, which no test should put at risk
  write("file", "");
  const int before = ::dup(1), file = ::open((folder_ / "file").c_str(), O_WRONLY | O_CLOEXEC);
  std::fflush(stdout);
  ::dup2(file, 1);
  std::printf("printed\n");
  write_atomically(folder_ / "stdout", "written\n");
  std::printf("printed again\n");
  std::fflush(stdout);
  ::dup2(before, 1);
  ::close(before);
  ::close(file);
  EXPECT_EQ(folder_.bytes("file"), "printed\nwritten\nprinted again\n");
}

TEST_F(Files, AResultFileLeavesNoTraceUntilItIsWritten) {
  write("file", "old");
  const auto before = names();
  ResultFile replacing(folder_ / "file"), making(folder_ / "new");
  EXPECT_EQ(names(), before);
  EXPECT_EQ(folder_.bytes("file"), "old");
  replacing.write("of the file");
  making.write("of the new one");
  EXPECT_EQ(folder_.bytes("file"), "of the file");
  EXPECT_EQ(folder_.bytes("new"), "of the new one");
}

TEST_F(Files, WhatMayNotBeWrittenIsRefused) {
  fs::create_directory(folder_ / "folder");
  write("folder/file", "old");
  write("own", "old");
  fs::permissions(folder_ / "own", fs::perms(0444));
  fs::permissions(folder_.path(), fs::perms(0777));
  fs::permissions(folder_ / "folder", fs::perms(0555));
  EXPECT_EQ(complaint_of_child(true, [&] { ResultFile(folder_ / "own"); }),
            folder_ / "own: cannot be written: Permission denied");
  EXPECT_EQ(complaint_of_child(true, [&] { ResultFile(folder_ / "folder/new"); }),
            folder_ / "folder/new: cannot create a file in " + folder_ / "folder: Permission denied");
  fs::permissions(folder_ / "folder", fs::perms(0755));
  EXPECT_EQ(folder_.bytes("own"), "old");
}

TEST_F(Files, AFolderThatMayNotBeReadTakesFiles) {
  fs::create_directory(folder_ / "box");
  fs::permissions(folder_.path(), fs::perms(0777));
  fs::permissions(folder_ / "box", fs::perms(0333));
  EXPECT_EQ(complaint_of_child(true, [&] { write_atomically(folder_ / "box/file", "new"); }), "no complaint");
  fs::permissions(folder_ / "box", fs::perms(0755));
  EXPECT_EQ(folder_.bytes("box/file"), "new");
}

TEST_F(Files, SomebodyElsesInASharedFolderGetsNewContents) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs a second user, so root";
  fs::create_directory(folder_ / "shared");
  write("shared/file", "old and longer");
  fs::permissions(folder_.path(), fs::perms(0755));
  fs::permissions(folder_ / "shared", fs::perms(01777));
  fs::permissions(folder_ / "shared/file", fs::perms(0666));
  const ino_t old = status_of(folder_ / "shared/file").st_ino;
  EXPECT_EQ(complaint_of_child(true, [&] { ResultFile(folder_ / "shared/file"); }), "no complaint");
  EXPECT_EQ(folder_.bytes("shared/file"), "old and longer");
  EXPECT_EQ(complaint_of_child(true, [&] { write_atomically(folder_ / "shared/file", "new"); }), "no complaint");
  EXPECT_EQ(folder_.bytes("shared/file"), "new");
  EXPECT_EQ(status_of(folder_ / "shared/file").st_ino, old);
  EXPECT_EQ(names().size(), 2u);
}

TEST_F(Files, AMountPointGetsNewContents) {
  write("outside", "old and longer");
  write("inside", "");
  const auto mounted = [&](const std::function<void()>& body) {
    return complaint_of_child(false, [&] {
      const std::string target = folder_ / "inside";
      require_call(::unshare(CLONE_NEWNS) == 0, target, "cannot mount");
      require_call(::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0, target, "cannot mount");
      require_call(::mount((folder_ / "outside").c_str(), target.c_str(), nullptr, MS_BIND, nullptr) == 0, target,
                   "cannot mount");
      body();
    });
  };
  const std::string possible = mounted([] {});
  if (possible != "no complaint") GTEST_SKIP() << possible;
  EXPECT_EQ(mounted([&] { ResultFile(folder_ / "inside"); }), "no complaint");
  EXPECT_EQ(folder_.bytes("outside"), "old and longer");
  EXPECT_EQ(mounted([&] { write_atomically(folder_ / "inside", "new"); }), "no complaint");
  EXPECT_EQ(folder_.bytes("outside"), "new");
  EXPECT_EQ(folder_.bytes("inside"), "");
}

TEST_F(Files, RegularOnesAreWhatCanBeReadAgain) {
  write("file", "old");
  fs::create_symlink("file", folder_ / "link");
  fs::create_symlink("new", folder_ / "dangling");
  make_fifo(folder_ / "fifo");
  const int reader = ::open((folder_ / "fifo").c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  const auto before = names();
  EXPECT_EQ(regular_destination(folder_ / "file"), folder_ / "file");
  EXPECT_EQ(regular_destination(folder_ / "link"), folder_ / "file");
  EXPECT_EQ(regular_destination(folder_ / "dangling"), folder_ / "new");
  for (const std::string& path : {folder_ / "fifo", descriptor_path(1)})
    EXPECT_EQ(message_of([&] { regular_destination(path); }),
              path + ": is not a regular file; expected one, or a new file name");
  expect_contains(message_of([&] { regular_destination(folder_ / "none/file"); }), {"there is no folder"});
  EXPECT_EQ(names(), before);
  EXPECT_EQ(folder_.bytes("file"), "old");
  ::close(reader);
}

TEST_F(Files, TheReasonIsThatOfTheCall) {
  const std::string path = folder_ / "file";
  AtomicFile file(path);
  file.write("new");
  fs::create_directory(path);  // meanwhile
  EXPECT_EQ(message_of<Error>([&] { file.commit(); }), path + ": cannot replace: Is a directory");
  errno = EEXIST;
  EXPECT_EQ(message_of<Error>([&] { require_call(::close(-1) == 0, path, "cannot close"); }),
            path + ": cannot close: Bad file descriptor");
  EXPECT_EQ(message_of<UsageError>([&] { require_call<UsageError>(::chdir("/nowhere") == 0, path, "cannot enter"); }),
            path + ": cannot enter: No such file or directory");
}

/// Touching a mapped page that is no longer there would end this process.
TEST_F(Files, AMappedFileThatIsCutOffWhileItIsReadIsNamed) {
  const std::string path = folder_ / "file";
  const std::size_t size = 8 << 20;
  for (int round = 0; round < 5; ++round) {
    write_atomically(path, std::string(size, 'x'));
    const MappedFile file(path);
    std::string read(size, ' ');
    file.read(0, read.data(), size);
    EXPECT_EQ(read, std::string(size, 'x'));
    EXPECT_EQ(message_of<UsageError>([&] { file.read(size - 1, read.data(), 2); }),
              join(path, ": ends at byte ", size, " of ", size));
    std::thread cuts([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(3));
      fs::resize_file(path, 10);
    });
    const std::string text = error_or("", [&] {
      for (;;) file.read(0, read.data(), size);
    });
    cuts.join();
    EXPECT_EQ(text, join(path, ": has changed since it was opened (", size, " bytes then, 10 now)"));
  }
}

}  // namespace
}  // namespace vergence
