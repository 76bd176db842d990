"""Networks that are more than a stack in a config; those that are not: ``conf/model``."""

from layers.nets.resnet import ResNet

__all__ = ["ResNet"]
