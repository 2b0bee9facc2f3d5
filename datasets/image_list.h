// The image files of a folder: classes from its subfolders, or none.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace vergence {

struct ImageList {
  std::string folder;                // what the files' names begin behind
  std::vector<std::string> classes;  // subfolders, sorted; empty where there are no labels
  std::vector<std::string> files;    // sorted, class by class
  std::vector<std::int32_t> labels;  // places in `classes`, or empty

  std::string path(std::size_t i) const { return folder + "/" + files[i]; }
};

/// Whether a name ends as those of JPEG, PNG and BMP files do, in small or capital letters.
bool is_image_name(const std::string& name);

/// The images in `folder` (at any depth below a class's folder). Where there are subfolders with images, each is a
/// class; a folder that has images alone has no classes. With `only`, the classes are these; others are left out. What
/// begins with a dot, and files of other names, are left out. Throws UsageError for a folder that is not there or has
/// no images, one with images beside class folders, a class without images, and a class of `only` that is not there.
ImageList list_images(const std::string& folder, const std::vector<std::string>& only = {});

/// Class names from a text: the first word of each line; '#' begins a comment. Throws UsageError, which names `where`,
/// when there are none or one stands twice.
std::vector<std::string> class_names(const std::string& text, const std::string& where);

/// The same from a file, or from what a process writes: a FIFO, or <(...) of a shell.
std::vector<std::string> read_class_names(const std::string& file);

}  // namespace vergence
