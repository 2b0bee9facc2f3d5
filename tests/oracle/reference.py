"""What the oracles compare with: a ResNet of torchvision's shape and names, the losses and LARS, each written from its
definition in PyTorch."""
import torch
import torch.nn as nn
import torch.nn.functional as F


class BasicBlock(nn.Module):
    def __init__(self, channels_in, channels, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample = None
        if stride != 1 or channels_in != channels:
            self.downsample = nn.Sequential(nn.Conv2d(channels_in, channels, 1, stride, bias=False),
                                            nn.BatchNorm2d(channels))

    def forward(self, x):
        shortcut = x if self.downsample is None else self.downsample(x)
        return F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))) + shortcut)


class ResNet18(nn.Module):
    """Without the classifier. Stems: cifar (3x3, no pooling) and imagenet (7x7, stride 2, max-pooling)."""

    def __init__(self, width=64, stem="cifar"):
        super().__init__()
        self.pool = nn.MaxPool2d(3, 2, 1) if stem == "imagenet" else nn.Identity()
        kernel, stride, padding = (7, 2, 3) if stem == "imagenet" else (3, 1, 1)
        self.conv1 = nn.Conv2d(3, width, kernel, stride, padding, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        channels_in = width
        for stage in range(4):
            channels = width << stage
            blocks = [BasicBlock(channels_in, channels, 2 if stage else 1), BasicBlock(channels, channels, 1)]
            setattr(self, f"layer{stage + 1}", nn.Sequential(*blocks))
            channels_in = channels

    def forward(self, x):
        x = self.pool(F.relu(self.bn1(self.conv1(x))))
        return self.layer4(self.layer3(self.layer2(self.layer1(x)))).mean((2, 3))


def nt_xent(z, temperature):
    """Rows 0..N-1 are the first views, N..2N-1 the second ones."""
    n = z.shape[0] // 2
    u = z / z.norm(dim=1, keepdim=True)
    similarity = u @ u.t() / temperature
    similarity = similarity.masked_fill(torch.eye(2 * n, dtype=torch.bool), float("-inf"))
    partner = torch.cat([torch.arange(n, 2 * n), torch.arange(n)])
    return -(similarity[torch.arange(2 * n), partner] - similarity.logsumexp(1)).mean()


def barlow_twins(z, weight, scale, unbiased):
    """unbiased: deviation with N - 1 and no epsilon; otherwise batch norm without affine part."""
    first, second = z.chunk(2)
    n, d = first.shape

    def standardize(view):
        if unbiased:
            return (view - view.mean(0)) / view.std(0)
        return F.batch_norm(view, None, None, training=True, eps=1e-5)

    c = standardize(first).t() @ standardize(second) / n
    eye = torch.eye(d, dtype=z.dtype)
    return scale * ((c - eye) ** 2 * (eye + weight * (1 - eye))).sum()


def byol(prediction, target):
    first, second = prediction.chunk(2)
    target_first, target_second = target.chunk(2)

    def side(p, t):
        return (2 - 2 * F.cosine_similarity(p, t.detach(), dim=1)).mean()

    return side(first, target_second) + side(second, target_first)


class Lars:
    """Layer-wise adaptive rates (You, Gitman, Ginsburg 2017) over SGD with momentum. Vectors (rank 1) are neither decayed
    nor adapted. `joint`: the denominator is |g + wd p| instead of |g| + wd |p| + eps. `clip`: never above the rate."""

    def __init__(self, parameters, momentum, weight_decay, eta, clip, joint, eps=1e-8):
        self.parameters, self.momentum, self.decay, self.eta = parameters, momentum, weight_decay, eta
        self.clip, self.joint, self.eps, self.buffers = clip, joint, eps, [None] * len(parameters)

    def step(self, rate, gradients):
        for i, (p, g) in enumerate(zip(self.parameters, gradients)):
            update = g.clone()
            if p.dim() > 1:
                p_norm, g_norm = p.norm(), g.norm()
                decayed = g + self.decay * p
                bottom = decayed.norm() if self.joint else g_norm + self.decay * p_norm + self.eps
                if p_norm > 0 and g_norm > 0:
                    trust = self.eta * p_norm / bottom
                    if self.clip:
                        trust = min(trust / rate, torch.ones_like(trust))
                    update = decayed * trust
            buffer = self.buffers[i]
            self.buffers[i] = update if buffer is None else self.momentum * buffer + update
            p -= rate * self.buffers[i]
