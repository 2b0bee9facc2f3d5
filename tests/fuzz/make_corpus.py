#!/usr/bin/env python3
"""make_corpus.py FOLDER: writes the fuzzers' first inputs, all of them generated, to FOLDER/<reader>/.

Needs NumPy and Pillow. What tests/fuzz/corpus holds was made by this, or was found by a fuzzer since.
"""
import collections
import io
import json
import pathlib
import pickle
import struct
import sys
import zipfile

import numpy
from PIL import Image

folder = pathlib.Path(sys.argv[1])


def write(reader, name, *parts):
    path = folder / reader / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(parts))


def bytes_of(count, step=7):
    return bytes(step * i % 256 for i in range(count))


# ---- CIFAR-100: the last bytes are split, limit, flags
splits = {"train": 0, "probe": 1, "probe_without_val": 2, "val": 3, "test": 4}


def cifar_record(label):
    return bytes([3, label]) + bytes_of(3072, label + 1)


for name, index in splits.items():
    write("cifar", f"filled_{name}", bytes([0, 42]), bytes([index, 0, 1]))
write("cifar", "two_of_them", cifar_record(1), cifar_record(99), bytes([0, 1, 0]))
write("cifar", "label_100", cifar_record(100), bytes([0, 0, 0]))
write("cifar", "cut_off", cifar_record(5)[:-1], bytes([0, 0, 0]))
write("cifar", "empty", bytes([0, 0, 0]))
write("cifar", "of_cifar10", cifar_record(5), bytes([4, 0, 2]))

# ---- pickles
small = {"data": numpy.array([[1, 2, 200], [10, 39, 92]], "u1"), "labels": [3, -1, 300, 70000], "yes": True,
         "half": 0.5, "big": 1 << 40, "none": None, "text": "a\n'\u00e9", "bytes": b"\x00\xff", "pair": (1, (2, 3))}
for protocol in range(6):
    write("pickle", f"protocol_{protocol}", pickle.dumps(small, protocol))
# NumPy's scalars and arrays of labels; NumPy 1 and 2 call their modules numpy.core and numpy._core
numbers = {"data": numpy.array([[1, 2, 200], [10, 39, 92]], "u1"), "labels": numpy.array([3, 255, 300], "i8"),
           "big": numpy.array([1, 2], ">i2"), "scalars": [numpy.int64(-7), numpy.uint8(200), numpy.bool_(True), numpy.float32(0.5)],
           "text": "\u00e9\u4e2d\U0001f600\\u0041\r", "empty": b"", "shape": numpy.zeros((0, 3), "f8")}
for protocol in range(6):
    write("pickle", f"numpy{numpy.__version__[0]}_protocol_{protocol}", pickle.dumps(numbers, protocol))
write("pickle", "raw_text", b"(V\\u00e9\xe9\\\\u0041\\U0001f600\\x\\\nV\\u12\nt.")
write("pickle", "python2", b"(dp0\nS'a\\x01\\n\\'b'\np1\n(lp2\nI3\naI01\naL12345678901L\naF2.5\naNasg1\n0(I1\nt0.")
write("pickle", "calls", b"cos\nsystem\n(S'echo ran'\ntR.")
write("pickle", "holds_itself", b"]\x94h\x00a.")
write("pickle", "long_names_again_and_again", b"X\xff\x07\x00\x00", b"n" * 2047, b"\x94", b"h\x00h\x00\x930" * 300, b"N.")
write("pickle", "text_again_and_again", b"c_codecs\nencode\n\x94X\xff\x07\x00\x00", b"n" * 2047, b"N\x86\x94",
      b"h\x00h\x01R0" * 300, b"N.")
write("pickle", "cut_off", pickle.dumps(small, 4)[:-20])


def image_dict(images, key="fine_labels"):
    rows = numpy.frombuffer(b"".join(bytes_of(3072, i + 3) for i in range(images)), "u1").reshape(images, 3072)
    return {"data": rows, key: [(41 * i + 7) % 100 for i in range(images)], "filenames": ["a.png"] * images}


for protocol in (0, 2, 4, 5):
    write("python_cifar", f"protocol_{protocol}", pickle.dumps(image_dict(1), protocol), bytes([protocol % 5, 0]))
of_numpy = image_dict(2)
of_numpy["fine_labels"] = numpy.array(of_numpy["fine_labels"], "i8")
write("python_cifar", "array_of_labels_0", pickle.dumps(of_numpy, 0), bytes([0, 0]))
write("python_cifar", "array_of_labels_5", pickle.dumps(of_numpy, 5), bytes([1, 0]))
of_numpy["fine_labels"] = list(of_numpy["fine_labels"])
write("python_cifar", "scalars", pickle.dumps(of_numpy, 4), bytes([2, 0]))
of_numpy["fine_labels"] = numpy.array([[1], [2]], "<u2")
write("python_cifar", "labels_in_a_column", pickle.dumps(of_numpy, 4), bytes([0, 0]))
of_numpy["fine_labels"] = [True, False]
write("python_cifar", "labels_of_truth", pickle.dumps(of_numpy, 2), bytes([0, 0]))
write("python_cifar", "two", pickle.dumps(image_dict(2), 4), bytes([0, 1]))
write("python_cifar", "other_key", pickle.dumps(image_dict(1, "labels"), 4), bytes([0, 0]))
wrong = image_dict(1)
wrong["fine_labels"] = [7, 8]
write("python_cifar", "too_many_labels", pickle.dumps(wrong, 4), bytes([0, 0]))
wrong["fine_labels"] = ["7"]
write("python_cifar", "label_of_text", pickle.dumps(wrong, 4), bytes([0, 0]))

# ---- STL-10: labels, then split, limit, images, odd bytes, unlabeled images, odd bytes
for name, index in splits.items():
    write("stl10", name, bytes([1, 2, 10]), bytes([index, 0, 3, 0, 2, 0]))
write("stl10", "val_of_11", bytes(range(1, 11)), b"\x01", bytes([3, 0, 11, 0, 0, 0]))
write("stl10", "limit", bytes([4] * 12), bytes([2, 5, 12, 0, 0, 0]))
write("stl10", "limit_in_unlabeled", bytes([4, 5]), bytes([0, 4, 2, 0, 3, 0]))
write("stl10", "label_0", bytes([0, 1]), bytes([4, 0, 2, 0, 0, 0]))
write("stl10", "label_11", bytes([11]), bytes([4, 0, 1, 0, 0, 0]))
write("stl10", "label_missing", bytes([1]), bytes([4, 0, 2, 0, 0, 0]))
write("stl10", "odd_bytes", bytes([1]), bytes([4, 0, 1, 1, 0, 0]))
write("stl10", "no_images", bytes([0, 0, 0, 0, 0, 0]))



# ---- .npy: images, then labels; split, limit, bytes of labels (two settings)
def npy(array, version=None):
    file = io.BytesIO()
    numpy.lib.format.write_array(file, array, version)
    return file.getvalue()


def npy_settings(split, limit, labels):
    return bytes([splits[split], limit, len(labels) >> 8, len(labels) & 255])


def npy_images(*shape):
    return (numpy.arange(numpy.prod(shape)) * 7 % 256).astype("u1").reshape(shape)


for split, (index, version) in zip(splits, enumerate(((1, 0), (2, 0), (3, 0), None, None))):
    labels = npy((numpy.arange(11) % 3).astype(("<i8", ">u2", "u1", "<i4", ">u8")[index]))
    write("npy", split, npy(npy_images(11, 3, 2, 1 + index), version), labels, npy_settings(split, index, labels))
for name, array in {"gray": npy_images(2, 3, 4), "floats": npy_images(1, 2, 2, 1).astype("<f4"),
                    "fortran": numpy.asfortranarray(npy_images(2, 2, 2, 3)), "flat": npy_images(4, 4),
                    "many_channels": npy_images(1, 1, 1, 17), "no_images": npy_images(0, 2, 2, 1),
                    "fields": numpy.zeros(2, [("a", "u1"), ("b", "<i4")])}.items():
    write("npy", name, npy(array), npy_settings("train", 0, b""))
write("npy", "cut_off", npy(npy_images(2, 3, 4, 1))[:-1], npy_settings("train", 0, b""))
labels = npy(numpy.array([0, -1]))
write("npy", "label_below_0", npy(npy_images(2, 1, 1, 1)), labels, npy_settings("train", 0, labels))
huge = b"{'descr': '|u1', 'fortran_order': False, 'shape': (4294967296, 4294967296, 1, 1), }\n"
write("npy", "overflow", b"\x93NUMPY\x01\x00", struct.pack("<H", len(huge)), huge, npy_settings("train", 0, b""))
for name, shape in {"python2": b"(2L, 3L, 1L, 1L)", "python2_one": b"(6L,)", "no_comma": b"(6L)"}.items():
    old = b"{'descr': '|u1', 'fortran_order': False, 'shape': " + shape + b", }\n"
    write("npy", name, b"\x93NUMPY\x01\x00", struct.pack("<H", len(old)), old, bytes_of(6), npy_settings("train", 0, b""))
write("npy", "channels_first", npy(npy_images(2, 3, 5, 5)), npy_settings("train", 0, b""))
write("npy", "calls", b"\x93NUMPY\x01\x00\x17\x00__import__('os').abort()", npy_settings("train", 0, b""))
write("npy", "long_header", b"\x93NUMPY\x02\x00\xff\xff\xff\xff{}", npy_settings("train", 0, b""))

# ---- images: the last nine bytes are a reduction's logarithm and a region's top, left, height, width; 4 more in the first
# mends a PNG's checksums
whole = bytes(9)
mended = bytes([4]) + bytes(8)
part = bytes([1, 0, 9, 0, 5, 0, 6, 0, 12])


def gradient(mode, height, width):
    channels = len(Image.new(mode, (1, 1)).getbands())
    y, x, c = numpy.mgrid[0:height, 0:width, 0:channels]
    values = (40 + 170 * numpy.where(c % 2, y / height, x / width)).astype("u1")
    return Image.fromarray(values[:, :, 0] if channels == 1 else values, mode)


def file_of(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


for mode in ("L", "RGB", "CMYK"):
    for progressive in (False, True):
        name = f"jpeg_{mode.lower()}{'_progressive' if progressive else ''}"
        write("image_file", name, file_of(gradient(mode, 24, 33), "JPEG", quality=60, progressive=progressive), part)
for sampling in (1, 2):
    jpeg = file_of(gradient("RGB", 40, 35), "JPEG", quality=70, subsampling=sampling)
    write("image_file", f"jpeg_sampling_{sampling}", jpeg, part)
    write("image_file", f"jpeg_cut_off_{sampling}", jpeg[:-60], whole)
jpeg = file_of(gradient("RGB", 40, 35), "JPEG", quality=70, restart_marker_blocks=2)
write("image_file", "jpeg_restarts", jpeg, part)
write("image_file", "jpeg_exif", file_of(gradient("RGB", 9, 9), "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0"), whole)
size = jpeg.index(b"\xff\xc0") + 5
write("image_file", "jpeg_of_65500", jpeg[:size], struct.pack(">HH", 65500, 65500), jpeg[size + 4:], whole)


def plain_blocks(height, width, sampling):
    """A JPEG of YCbCr or, with four components, CMYK or what a marker says: each block of one value."""
    across, down = (max(each[axis] for each in sampling) for axis in (0, 1))
    mcus = -(-height // (8 * down)) * -(-width // (8 * across))
    bits, last = "", [0] * len(sampling)
    for mcu in range(mcus):
        for part, (h, v) in enumerate(sampling):
            for block in range(h * v):
                value = (37 * mcu + 11 * block + 50 * part) % 100 - 50
                step, last[part] = value - last[part], value
                size = abs(step).bit_length()
                bits += f"{size:04b}" + (f"{step if step > 0 else step + (1 << size) - 1:0{size}b}" if size else "") + "0"
    bits += "1" * (-len(bits) % 8)
    data = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0")
    frame = b"".join(bytes([i + 1, 16 * h + v, 0]) for i, (h, v) in enumerate(sampling))
    scan = b"".join(bytes([i + 1, 0]) for i in range(len(sampling)))

    def segment(marker, content):
        return bytes([255, marker]) + struct.pack(">H", len(content) + 2) + content

    return (b"\xff\xd8" + segment(0xdb, bytes([0] + [16] * 64)) +
            segment(0xc0, struct.pack(">BHHB", 8, height, width, len(sampling)) + frame) +
            segment(0xc4, bytes([0, 0, 0, 0, 12] + [0] * 12 + list(range(12)))) +
            segment(0xc4, bytes([16, 1] + [0] * 15 + [0])) +
            segment(0xda, bytes([len(sampling)]) + scan + bytes([0, 63, 0])) + data + b"\xff\xd9")


def adobe(transform):
    return b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0" + bytes([transform])


for name, sampling in {"410": [(4, 2), (1, 1), (1, 1)], "2x4": [(2, 4), (1, 1), (1, 1)],
                       "411": [(4, 1), (1, 1), (1, 1)]}.items():
    write("image_file", f"jpeg_{name}", plain_blocks(70, 150, sampling), bytes([1, 0, 9, 0, 65, 0, 46, 0, 30]))
jpeg = plain_blocks(20, 33, [(1, 1)] * 4)
write("image_file", "jpeg_four_without_marker", jpeg, part)
for transform in (0, 1, 2):
    write("image_file", f"jpeg_four_transform_{transform}", jpeg[:2], adobe(transform), jpeg[2:], part)
jpeg = plain_blocks(20, 33, [(2, 2), (1, 1), (1, 1)])
write("image_file", "jpeg_then_video", jpeg, b"video" + b"\xff\xda\0\x0c" * 20, whole)
write("image_file", "jpeg_marker_in_its_data", jpeg[:-12], b"\xff\xc5", jpeg[-12:], whole)
write("image_file", "jpeg_end_in_its_data", jpeg[:-12], b"\xff\xd9", jpeg[-12:], whole)
write("image_file", "jpeg_stray_bytes", jpeg[:-2], b"stray", jpeg[-2:], whole)
for mode in ("L", "LA", "RGB", "RGBA", "P", "1"):
    image = gradient("RGB", 7, 9).convert(mode) if mode in "P1" else gradient(mode, 7, 9)
    write("image_file", f"png_{mode.lower()}", file_of(image, "PNG"), part)
png = file_of(gradient("L", 7, 9).convert("P"), "PNG")
at = png.index(b"PLTE")
write("image_file", "png_short_palette", png[:at - 4], struct.pack(">I", 6), png[at:at + 10],
      png[at + 4 + struct.unpack(">I", png[at - 4:at])[0]:], mended)
gray16 = Image.fromarray((numpy.arange(63).reshape(7, 9) * 1000).astype("u2"))
write("image_file", "png_16", file_of(gray16, "PNG"), whole)
png = file_of(gradient("RGB", 7, 9), "PNG")
write("image_file", "png_cut_off", png[:-30], whole)
write("image_file", "png_without_end", png[:-12], whole)
write("image_file", "png_cut_checksum", png[:-14], whole)
write("image_file", "png_then_no_chunk", png[:-12], b"\0\0\0\x01....", whole)
write("image_file", "png_wrong_checksum", png[:-20], bytes([png[-20] ^ 1]), png[-19:], whole)
write("image_file", "png_data_checksum", png[:-13], bytes([png[-13] ^ 1]), png[-12:], whole)
text = b"\0\0\0\4tEXta\0bc...."  # its checksum is wrong
write("image_file", "png_text_checksum", png[:33], text, png[33:], whole)
write("image_file", "png_last_text_checksum", png[:-12], text, png[-12:], whole)
write("image_file", "png_mended_checksum", png[:-20], bytes([png[-20] ^ 1]), png[-19:], mended)
at = png.index(b"IDAT")
write("image_file", "png_chunk_of_a_gibibyte", png[:at - 4], struct.pack(">I", 1 << 30), png[at:], mended)
for mode in ("1", "L", "P", "RGB", "RGBA"):
    image = gradient("RGB", 7, 9).convert(mode) if mode in "P1" else gradient(mode, 7, 9)
    write("image_file", f"bmp_{mode.lower()}", file_of(image, "BMP"), part)
bmp = file_of(gradient("RGB", 7, 9), "BMP")
write("image_file", "bmp_cut_off", bmp[:-30], whole)
write("image_file", "bmp_top_down", bmp[:22], struct.pack("<i", -7), bmp[26:], part)
write("image_file", "bmp_of_nothing", bmp[:18], struct.pack("<ii", 250, 250), bmp[26:60], whole)
palette = file_of(gradient("L", 7, 9), "BMP")
write("image_file", "bmp_short_palette", palette[:10], struct.pack("<I", 54 + 4 * 8), palette[14:], whole)
for bits, masks in ((16, (0xf800, 0x7e0, 0x1f)), (32, (0xff000000, 0xff0000, 0xff00))):
    header = struct.pack("<IiiHHIIiiII", 40, 5, 3, 1, bits, 3, 0, 0, 0, 0, 0) + struct.pack("<III", *masks)
    pixels = bytes_of(3 * ((5 * bits // 8 + 3) // 4 * 4))
    write("image_file", f"bmp_masks_{bits}", b"BM", struct.pack("<IHHI", 66 + len(pixels), 0, 0, 66), header, pixels, part)
for bits, colors in ((1, 2), (4, 16), (8, 256), (8, 200), (16, 0), (24, 0)):
    pixels = bytes_of(3 * ((5 * bits + 31) // 32 * 4), 11)
    header = struct.pack("<IHHI", 0, 0, 0, 26 + 3 * colors) + struct.pack("<IHHHH", 12, 5, 3, 1, bits)
    write("image_file", f"bmp_os2_{bits}_{colors}", b"BM", header, bytes_of(3 * colors, 13), pixels, part)
write("image_file", "text", b"not an image", whole)
write("image_file", "empty")

# ---- class lists
write("class_list", "list", b"# of ten\nn01440764 tench\nn01443537\r\n\n  n01484850\t# shark\nlast")
write("class_list", "byte_order_mark", b"\xef\xbb\xbf#1\r\n\xef\xbb\xbfgolden retriever\r\nC#\r\n \r\nend\r\r\n")
write("class_list", "utf16", "a\nb\n".encode("utf-16"))
write("class_list", "zero", b"a\0b\n")
write("class_list", "twice", b"one\ntwo\none\n")
write("class_list", "comments", b"# nothing\n\n   # but comments\n")
write("class_list", "bytes", b"\x01\xff\n\x00a\x00\n\x7f\n\xc3\xa9\n")
write("class_list", "twice_unprintable", b"\x01\x7f\n\x01\x7f\n")

# ---- configuration files
write("toml", "plain", b'objective = "byol"\ndataset = "cifar10"\nepochs = 200\nlr = 0.03\nnesterov = true\nlars.eta = 1e-3\n')
write("toml", "tables", b'batch = 512\nstep-epochs = [60, 80]\nschedule = "step"\nmean = [0.5, 0.5, 0.5]\n'
      b'[view]\ncrop_low = 0.2\n[view1]\nblur_p = 1.0\n[view2]\nsolarize_p = 0.2\n[simclr]\ntemperature = 0.5\n')
write("toml", "text", 'data = "a\\tb\\u0000\\"\\\\\u00e9"\nout = \'\'\'\nlines\nof it\'\'\'\n'.encode())
write("toml", "unknown", b"epoch = 3\n")
write("toml", "unknown_of_two_lines", b'"epo\\nch" = 3\n')
write("toml", "value_of_two_lines", b'objective = "sim\\nclr"\n')
write("toml", "range", b"epochs = 0\n")
write("toml", "infinite", b"lr = inf\nmomentum = nan\n")
write("toml", "large", b"seed = 9223372036854775807\n")
write("toml", "path_of_many_dots", b'data = "' + b"a." * 1990 + b'"\n')
write("toml", "dates", b"epochs = 1979-05-27T07:32:00Z\n")
write("toml", "tables_in_a_list", b"[[view]]\ncrop_low = 1\n[[view]]\n")
write("toml", "nested", b"lr = " + b"[" * 300 + b"]" * 300)
write("toml", "deep_key", b"a." * 2000 + b"a = 1\n")
write("toml", "deep_table", b"[" + b"a." * 2000 + b"a]\n")
write("toml", "utf8", b"data = \"\xff\"\n")
write("toml", "stored_paths", b'data = "bytes:d%E9j%25"\nout = "bytes:bytes:"\nclasses = "50%"\n')
write("toml", "stored_path_cut_off", b'data = "bytes:d%E"\n')


# ---- safetensors
def safetensors(header, data=b"", length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def tensor(kind, shape, begin, end):
    return {"dtype": kind, "shape": shape, "data_offsets": [begin, end]}


two = {"__metadata__": {"step": "3", "a\n": "\u00e9"}, "w": tensor("F32", [2, 1], 0, 8), "b": tensor("BF16", [], 8, 10),
       "none": tensor("U8", [0, 3], 10, 10)}
write("safetensors", "two", safetensors(two, bytes_of(10)))
write("safetensors", "empty", safetensors({}))
write("safetensors", "cut_off", safetensors(two, bytes_of(9)))
write("safetensors", "too_long", safetensors(two, bytes_of(11)))
write("safetensors", "no_header", safetensors(b"{}", length=1 << 60))
write("safetensors", "gap", safetensors({"w": tensor("U8", [1], 1, 2)}, b"ab"))
write("safetensors", "overlap", safetensors({"w": tensor("U8", [2], 0, 2), "v": tensor("U8", [1], 1, 2)}, b"ab"))
write("safetensors", "overflow", safetensors({"w": tensor("F64", [1 << 62, 4], 0, 0)}))
write("safetensors", "huge", safetensors({"w": tensor("U8", [(1 << 63) - 1], 0, (1 << 63) - 1)}))
write("safetensors", "negative", safetensors({"w": tensor("U8", [-1], 0, 0)}))
write("safetensors", "name_twice", safetensors(b'{"w":1,"w":2}'))
write("safetensors", "nested", safetensors(b'{"w":' + b"[" * 500 + b"]" * 500 + b"}"))
write("safetensors", "bad_name", safetensors({"a\n\x01" * 400: tensor("F16", [1], 0, 2)}, b"ab"))
write("safetensors", "long_number", safetensors(b'{"w":{"dtype":"U8","shape":[1e3],"data_offsets":[0,1]}}', b"a"))

# ---- PyTorch's checkpoints, without PyTorch: its classes and functions are only names in the pickle
class Storage:
    """A persistent id ("storage", class, key, device, elements)."""

    def __init__(self, kind, key, elements):
        self.kind, self.key, self.elements = kind, key, elements


class Tensor:
    def __init__(self, storage, offset, shape, strides, parameter=False):
        self.parts, self.parameter = (storage, offset, shape, strides, False, {}), parameter

    def __reduce__(self):
        if self.parameter:
            return torch_function("_rebuild_parameter"), (Tensor(*self.parts[:4]), True, {})
        return torch_function("_rebuild_tensor_v2"), self.parts


def torch_function(name):
    return getattr(sys.modules["torch._utils"], name)


for module, names in (("torch", ["FloatStorage", "HalfStorage", "LongStorage", "BoolStorage", "QUInt8Storage"]),
                      ("torch._utils", ["_rebuild_tensor_v2", "_rebuild_parameter"])):
    made = sys.modules[module] = type(sys)(module)
    for name in names:
        setattr(made, name, type(name, (), {"__module__": module, "__qualname__": name}))


class TorchPickler(pickle.Pickler):
    def persistent_id(self, value):
        if not isinstance(value, Storage):
            return None
        return ("storage", getattr(sys.modules["torch"], value.kind), value.key, "cpu", value.elements)


def torch_pickle(value, protocol=2):
    text = io.BytesIO()
    TorchPickler(text, protocol).dump(value)
    return text.getvalue()


def archive(compression=zipfile.ZIP_STORED, **entries):
    text = io.BytesIO()
    with zipfile.ZipFile(text, "w", compression) as file:
        for name, content in entries.items():
            file.writestr(zipfile.ZipInfo("archive/" + name.replace("__", "/").replace("pickle", "data.pkl")), content, compression)
    return text.getvalue()


floats = Storage("FloatStorage", "0", 16)
state = collections.OrderedDict()
state["conv.weight"] = Tensor(floats, 2, (2, 3), (3, 1))
state["turned"] = Tensor(floats, 0, (2, 2), (1, 2), parameter=True)
state["halves"] = Tensor(Storage("HalfStorage", "0", 32), 0, (32,), (1,))
state["count"] = Tensor(Storage("LongStorage", "0", 8), 1, (), ())
state["empty"] = Tensor(floats, 0, (0, 3), (3, 1))
nested = {"state_dict": state, "epoch": 3, 5: {"x": state["count"]}, "set": {1, 2}, "big": 1 << 70}
broken = {"beyond": Tensor(floats, 10, (4, 4), (4, 1)), "huge": Tensor(floats, 0, (1 << 62, 4), (0, 0)),
          "flags": Tensor(Storage("BoolStorage", "0", 4), 0, (4,), (1,)), "other": Tensor(Storage("QUInt8Storage", "0", 4), 0, (4,), (1,)),
          "lost": Tensor(Storage("FloatStorage", "7", 4), 0, (4,), (1,)), "negative": Tensor(floats, 0, (-4,), (1,)),
          "ranks": Tensor(floats, 0, (4, 4), (1,)), "text": Tensor("text", 0, (4,), (1,))}
for name, value in (("nested", nested), ("broken", broken), ("none", {"a": 1}), ("list", [state])):
    for protocol in (2, 4):
        write("torch_checkpoint", f"{name}_protocol_{protocol}", torch_pickle(value, protocol), b"\x01")
whole = archive(pickle=torch_pickle(nested), data__0=bytes_of(64), byteorder="little")
write("torch_checkpoint", "archive", whole, b"\x00")
write("torch_checkpoint", "compressed", archive(zipfile.ZIP_DEFLATED, pickle=torch_pickle(nested), data__0=bytes_of(64)), b"\x00")
write("torch_checkpoint", "big_endian", archive(pickle=torch_pickle(nested), data__0=bytes_of(64), byteorder="big"), b"\x00")
write("torch_checkpoint", "program", archive(pickle=torch_pickle(nested), **{"constants.pkl": b"N."}), b"\x00")
write("torch_checkpoint", "other_zip", archive(readme="text"), b"\x00")
write("torch_checkpoint", "cut_off", whole[:len(whole) // 2], b"\x00")
write("torch_checkpoint", "damaged", whole.replace(bytes_of(64), bytes_of(64, 5)), b"\x00")

# ---- packed images: a checksum of an image's bytes is only right where xxhash is there to make it
def packed(count=2, classes="a\nb\n", checksums=None, **changes):
    sizes = [(3 + i, 4) for i in range(count)]
    lengths = [3 * h * w for h, w in sizes]
    offsets = [sum(lengths[:i]) for i in range(count)]
    pixels = [bytes_of(length, 5 + i) for i, length in enumerate(lengths)]
    if checksums is None:
        try:
            import xxhash
            checksums = [struct.unpack("<q", struct.pack("<Q", xxhash.xxh3_64_intdigest(p)))[0] for p in pixels]
        except ImportError:
            checksums = [1] * count
    parts = {
        "offsets": ("I64", [count], struct.pack(f"<{count}q", *offsets)),
        "checksums": ("I64", [count], struct.pack(f"<{count}q", *checksums)),
        "sizes": ("I32", [count, 2], struct.pack(f"<{2 * count}i", *sum(sizes, ()))),
        "labels": ("I32", [count], struct.pack(f"<{count}i", *[i % 2 for i in range(count)])),
        "parts": ("U8", [count], bytes(i % 3 for i in range(count))),
        "names": ("U8", [2 * count], b"x\n" * count),
        "pixels": ("U8", [sum(lengths)], b"".join(pixels)),
    }
    parts.update(changes)
    header = {"__metadata__": {"format": "vergence packed images 1", "short_side": "8", "classes": classes, "source": "1"}}
    data = b""
    for name, (dtype, shape, content) in parts.items():
        header[name] = tensor(dtype, shape, len(data), len(data) + len(content))
        data += content
    return safetensors(header, data)


write("packed_images", "two", packed())
write("packed_images", "five", packed(5))
write("packed_images", "none", packed(0))
write("packed_images", "no_classes", packed(classes="", labels=("I32", [2], struct.pack("<2i", -1, -1))))
write("packed_images", "bad_image", packed(checksums=[0, 0]))
write("packed_images", "stored_classes", packed(classes="bytes:caf%E9\nbytes:bytes:%25\n"))
write("packed_images", "stored_class_of_0", packed(classes="bytes:%00\nb\n"))
write("packed_images", "wrong_checksum", packed(checksums=[1, 1]))
write("packed_images", "label_2", packed(labels=("I32", [2], struct.pack("<2i", 0, 2))))
write("packed_images", "part_3", packed(parts=("U8", [2], bytes([0, 3]))))
write("packed_images", "negative_size", packed(sizes=("I32", [2, 2], struct.pack("<4i", 3, -4, 4, 4))))
write("packed_images", "huge_size", packed(sizes=("I32", [2, 2], struct.pack("<4i", 3, 4, 2**31 - 1, 2**31 - 1))))
write("packed_images", "wrong_offset", packed(offsets=("I64", [2], struct.pack("<2q", 0, 35))))
write("packed_images", "one_name", packed(names=("U8", [2], b"x\n")))
write("packed_images", "pixels_of_another_type", packed(pixels=("I32", [21], bytes_of(84))))
