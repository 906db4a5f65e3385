"""The generator and the discriminator of the paper."""

from .patch_discriminator import PatchDiscriminator
from .resnet_generator import ResnetGenerator
