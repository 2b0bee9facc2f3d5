// Lists a folder's image files, with classes from its subfolders, or none.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace vergence {

struct ImageList {
  std::string folder;                // the folder that the files' names are relative to
  std::vector<std::string> classes;  // subfolders, sorted; empty: no labels
  std::vector<std::string> files;    // sorted, class by class
  std::vector<std::int32_t> labels;  // indices in `classes`, or empty
  std::vector<std::string> notices;  // messages about skipped files

  std::string path(std::size_t i) const { return folder + "/" + files[i]; }
};

/// Whether a name has an ending of JPEG (.jpg, .jpeg, .jpe, .jfif, .jif, .jfi, .pjpeg, .pjp), PNG or BMP, in any case.
bool is_image_name(const std::string& name);

/// Whether to ignore this name: it begins with a dot, or macOS adds it to archives.
bool is_hidden_name(const std::string& name);

/// Lists `folder`: each subfolder with images, at any depth below it, is a class (`only` limits the classes); a folder
/// of only images has no classes. Skips hidden files, and other files with a notice (OtherFiles). Throws UsageError for
/// a folder that is missing, has no images or has them beside class folders, and for a class that is missing or empty.
ImageList list_images(const std::string& folder, const std::vector<std::string>& only = {});

/// A notice about images in `folder` that belong to none of these sorted classes, in other folders or in no folder;
/// empty if there are none. It calls the classes those of `others`.
std::string left_out_notice(const std::string& folder, const std::vector<std::string>& classes,
                            const std::string& others);

/// The subfolder of each class name, sorted: called like the name (blanks around it may be missing) or like its first
/// word, which a notice counts. Throws UsageError for a name without a folder and for two names of one folder.
std::vector<std::string> class_folders(const std::string& folder, std::vector<std::string> names,
                                       std::vector<std::string>& notices);

/// The same among the classes of the packed file at `path`.
std::vector<std::string> packed_classes(const std::string& path, const std::vector<std::string>& classes,
                                        std::vector<std::string> names, std::vector<std::string>& notices);

/// Class names from a text: its lines, with their blanks, except blank ones and those that begin with '#'. Throws
/// UsageError, which names `where`, if there are none, one is repeated, or the text is UTF-16 or has a byte 0.
std::vector<std::string> class_names(const std::string& text, const std::string& where);

/// The same from a file or a process's output: a FIFO, or <(...) of a shell.
std::vector<std::string> read_class_names(const std::string& file);

}  // namespace vergence
