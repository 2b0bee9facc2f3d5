"""Whole training steps of objectives in PyTorch, written from their definitions, for oracle.py."""
import torch
import torch.nn as nn

import reference


def head(name, sizes):
    """Linear, batch norm, ReLU ...; a batch norm behind the last layer. Parameters by the engine's names."""
    layers = []
    for i, (a, b) in enumerate(zip(sizes, sizes[1:])):
        layers += [nn.Linear(a, b), nn.BatchNorm1d(b)] + ([nn.ReLU()] if i < len(sizes) - 2 else [])
    return name, nn.Sequential(*layers)


class MetaMask:
    """The published iteration with the exact meta-gradient: a regular step, a virtual step with momentum at the new
    weights, and the contrastive loss there differentiated through it."""

    def __init__(self, width, hidden, outputs, dtype):
        dim = 8 * width
        self.encoder = reference.ResNet18(width)
        self.heads = dict([head("contrastive_head", [dim, hidden, outputs[0]]),
                           head("redundancy_head", [dim, hidden, hidden, outputs[1]])])
        self.logits = torch.zeros(dim, dtype=dtype, requires_grad=True)
        for module in [self.encoder, *self.heads.values()]:
            module.to(dtype).train()

    def named_parameters(self):
        named = {f"encoder.{k}": v for k, v in self.encoder.named_parameters()}
        for name, module in self.heads.items():
            named |= {f"{name}.{k}": v for k, v in module.named_parameters()}
        return named

    def apply(self, name, module, values, x):
        own = {k[len(name) + 1:]: v for k, v in values.items() if k.startswith(name + ".")}
        return torch.cat([torch.nn.utils.stateless.functional_call(module, own, (view,)) for view in x.chunk(2)])

    def masked(self, values, views):
        return self.apply("encoder", self.encoder, values, views) * torch.sigmoid(self.logits)

    def contrastive(self, values, features, temperature):
        return reference.nt_xent(self.apply("contrastive_head", self.heads["contrastive_head"], values, features),
                                 temperature)

    def train(self, steps, settings):
        """steps: views per step, both in one tensor. Returns the parameters and logits after all of them."""
        values = {k: v.detach() for k, v in self.named_parameters().items()}
        buffers = {k: torch.zeros_like(v) for k, v in values.items()}
        mask_buffer = torch.zeros_like(self.logits)
        rate, momentum, decay = settings["lr"], settings["momentum"], settings["weight_decay"]
        for views in steps:
            theta = {k: v.clone().requires_grad_() for k, v in values.items()}
            features = self.masked(theta, views).clone()
            u = self.apply("redundancy_head", self.heads["redundancy_head"], theta, features)
            loss = (reference.barlow_twins(u, settings["lambda"], 1.0, True)
                    + settings["weight"] * self.contrastive(theta, features, settings["temperature"]))
            for (k, v), g in zip(list(values.items()), torch.autograd.grad(loss, list(theta.values()))):
                buffers[k] = momentum * buffers[k] + g + decay * v
                values[k] = v - rate * buffers[k]

            used = {k: v.clone().requires_grad_() for k, v in values.items() if not k.startswith("redundancy")}
            inner = self.contrastive(used, self.masked(used, views), settings["temperature"])
            gradients = torch.autograd.grad(inner, list(used.values()), create_graph=True)
            moved = {k: v - rate * (momentum * buffers[k] + g + decay * v)
                     for (k, v), g in zip(used.items(), gradients)}
            outer = self.contrastive(moved, self.masked(moved, views), settings["temperature"])
            gradient, = torch.autograd.grad(outer, self.logits)
            with torch.no_grad():
                mask_buffer = momentum * mask_buffer + gradient + decay * self.logits
                self.logits -= settings["mask_lr"] * mask_buffer
        return values | {"mask.logits": self.logits.detach()}
