"""encoder.safetensors in PyTorch: load_encoder builds the network that the file's metadata describe, with its weights.

Needs torch, torchvision and safetensors. Supports any ResNet, stem, width and number of channels, and conv4.
"""
import json

import torch
from safetensors import safe_open
from torchvision.models import resnet

RESNETS = {"resnet18": (resnet.BasicBlock, [2, 2, 2, 2]), "resnet34": (resnet.BasicBlock, [3, 4, 6, 3]),
           "resnet50": (resnet.Bottleneck, [3, 4, 6, 3])}
STEMS = {"cifar": (3, 1, 1), "stl": (3, 1, 1), "stl_stride2": (3, 2, 1), "imagenet": (7, 2, 3),
         "cifar_padding2": (3, 1, 2)}  # kernel, stride and padding


class Normalizing(torch.nn.Module):
    """What every encoder has beside its network."""

    def keep_normalization(self, about):
        for name in ("mean", "std"):  # of each channel
            values = json.loads("[" + about[name].strip("[]") + "]") if name in about else None
            self.register_buffer("image_" + name, values and torch.tensor(values).view(1, -1, 1, 1), persistent=False)

    def normalize(self, images):
        """Normalizes images with values in [0, 1] as in the encoder's training."""
        if self.image_mean is None or self.image_std is None:
            raise ValueError("the encoder's file does not say the mean and std of its images: normalize them yourself")
        return (images - self.image_mean) / self.image_std


class ResNet(resnet.ResNet, Normalizing):
    """A torchvision ResNet without `fc`: images [N, channels, H, W], as `normalize` makes them -> features [N, dim]."""

    def __init__(self, about):
        self.width, stem, channels = int(about["width"]), about["stem"], int(about.get("channels", 3))
        super().__init__(*RESNETS[about["encoder"]])
        self.conv1 = torch.nn.Conv2d(channels, self.width, *STEMS[stem], bias=False)
        self.bn1 = torch.nn.BatchNorm2d(self.width)
        self.fc = torch.nn.Identity()
        if stem in ("cifar", "stl_stride2", "cifar_padding2"):
            self.maxpool = torch.nn.Identity()
        if about.get("stem_relu") == "off":
            self.relu = torch.nn.Identity()  # the blocks have their own
        self.keep_normalization(about)

    def _make_layer(self, block, planes, *rest, **named):  # torchvision's first stage has 64 channels
        if planes == 64:
            self.inplanes = self.width
        return super()._make_layer(block, planes * self.width // 64, *rest, **named)


class Conv4(Normalizing):
    """Few-shot learning's four blocks: images [N, channels, H, W], as `normalize` makes them -> features [N, dim]."""

    def __init__(self, about):
        super().__init__()
        for i in range(4):
            layers = {"conv": torch.nn.Conv2d(64 if i else int(about.get("channels", 3)), 64, 3, padding=1, bias=False),
                      "bn": torch.nn.BatchNorm2d(64), "relu": torch.nn.ReLU(), "pool": torch.nn.MaxPool2d(2)}
            block = torch.nn.Sequential()
            for name, layer in layers.items():
                block.add_module(name, layer)
            self.add_module(f"layer{i + 1}", block)
        self.keep_normalization(about)

    def forward(self, images):
        x = self.layer4(self.layer3(self.layer2(self.layer1(images))))
        return x.permute(0, 2, 3, 1).flatten(1)  # pixel by pixel


NETWORKS = {**dict.fromkeys(RESNETS, ResNet), "conv4": Conv4}


def load_encoder(path):
    """Loads the file's encoder in eval mode. Raises ValueError for a network that is not in NETWORKS, and RuntimeError if
    a tensor does not fit the file's metadata."""
    with safe_open(path, framework="pt") as file:
        about = file.metadata()
        if about["encoder"] not in NETWORKS:
            raise ValueError(f"expected one of {', '.join(NETWORKS)}, got {about['encoder']}")
        encoder = NETWORKS[about["encoder"]](about)
        encoder.load_state_dict({name: file.get_tensor(name) for name in file.keys()}, strict=True)
    return encoder.eval()
