"""CRC-32C as the index records it, by the processor's own instructions, with other threads running meanwhile.

One core of an AMD EPYC takes in 18 GB/s of 24 KB samples; google-crc32c 12, and lets no other thread run.
"""

from collections.abc import Callable

from awscrt import checksums

crc32c: Callable[..., int] = checksums.crc32c
"""Of bytes; given the number of what came before them as well, of both together."""
