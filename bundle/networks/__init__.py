"""Generators and the discriminator: the paper's, and those to compare with."""

from .baselines import AutoencoderGenerator, UnetGenerator
from .of_card import generator_of_card
from .patch_discriminator import PatchDiscriminator
from .resnet_generator import ResnetGenerator
