"""encoder.safetensors in PyTorch: load_encoder builds the network that the file's metadata describe, with its weights.

Needs torch, torchvision and safetensors. Supports any ResNet, stem, width and number of channels.
"""
import json

import torch
from safetensors import safe_open
from torchvision.models import resnet

NETWORKS = {"resnet18": (resnet.BasicBlock, [2, 2, 2, 2]), "resnet34": (resnet.BasicBlock, [3, 4, 6, 3]),
            "resnet50": (resnet.Bottleneck, [3, 4, 6, 3])}
STEMS = {"cifar": (3, 1), "stl": (3, 1), "stl_stride2": (3, 2), "imagenet": (7, 2)}  # kernel and stride


class Encoder(resnet.ResNet):
    """A torchvision ResNet without `fc`: images [N, channels, H, W], as `normalize` makes them -> features [N, dim]."""

    def __init__(self, about):
        if about["encoder"] not in NETWORKS:
            raise ValueError(f"expected one of {', '.join(NETWORKS)}, got {about['encoder']}")
        self.width, stem, channels = int(about["width"]), about["stem"], int(about.get("channels", 3))
        super().__init__(*NETWORKS[about["encoder"]])
        size, stride = STEMS[stem]
        self.conv1 = torch.nn.Conv2d(channels, self.width, size, stride, size // 2, bias=False)
        self.bn1 = torch.nn.BatchNorm2d(self.width)
        self.fc = torch.nn.Identity()
        if stem in ("cifar", "stl_stride2"):
            self.maxpool = torch.nn.Identity()
        if about.get("stem_relu") == "off":
            self.relu = torch.nn.Identity()  # the blocks have their own
        for name in ("mean", "std"):  # of each channel
            values = json.loads("[" + about.get(name, "0" if name == "mean" else "1").strip("[]") + "]")
            self.register_buffer("image_" + name, torch.tensor(values).view(1, -1, 1, 1), persistent=False)

    def _make_layer(self, block, planes, *rest, **named):  # torchvision's first stage has 64 channels
        if planes == 64:
            self.inplanes = self.width
        return super()._make_layer(block, planes * self.width // 64, *rest, **named)

    def normalize(self, images):
        """Normalizes images with values in [0, 1] as in the encoder's training."""
        return (images - self.image_mean) / self.image_std


def load_encoder(path):
    """Loads the file's encoder in eval mode. Raises ValueError if it is not a ResNet, and RuntimeError if a tensor does
    not fit the file's metadata."""
    with safe_open(path, framework="pt") as file:
        encoder = Encoder(file.metadata())
        encoder.load_state_dict({name: file.get_tensor(name) for name in file.keys()}, strict=True)
    return encoder.eval()
