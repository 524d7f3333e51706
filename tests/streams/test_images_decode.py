"""Decoding images: what producers really send, and what attackers do."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from operators.rejection import Reason
from streams.images import decode as decoding
from streams.images.decode import LONGEST_SIDE, decode, decode_now
from streams.images.rejection import ImageRejected

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def reason(content: bytes) -> Reason:
    with pytest.raises(ImageRejected) as caught:
        decode_now(content)
    return caught.value.reason


def close(pixel: np.ndarray, colour: tuple[int, int, int], by: int = 6) -> bool:
    return bool(np.abs(pixel.astype(int) - colour).max() <= by)


def halves(mode: str = "RGB") -> Image.Image:
    """40 × 20, left red, right blue."""
    image = Image.new("RGB", (40, 20), RED)
    image.paste(BLUE, (20, 0, 40, 20))
    return image.convert(mode)


KINDS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
HELD = [(kind, mode) for kind in KINDS for mode in ("RGB", "L", "P", "1") if (kind, mode) != ("JPEG", "P")]


@pytest.mark.parametrize(("kind", "mode"), [*HELD, ("JPEG", "CMYK")])
async def test_formats_and_modes(kind: str, mode: str) -> None:
    image = halves(mode)
    pixels = await decode(encoded(image, kind, **({"lossless": True} if kind == "WEBP" else {"quality": 95})))
    assert pixels.shape == (20, 40, 3) and pixels.dtype == np.uint8
    if mode in ("RGB", "P", "CMYK"):
        assert close(pixels[10, 5], RED) and close(pixels[10, 35], BLUE)


def test_cameras_turn_their_pictures() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90° clockwise
    pixels = decode_now(encoded(halves(), "JPEG", quality=95, exif=exif.tobytes()))
    assert pixels.shape == (40, 20, 3)
    assert close(pixels[5, 10], RED) and close(pixels[35, 10], BLUE)


def test_transparency_lies_over_white() -> None:
    image = Image.new("RGBA", (2, 1))
    image.putpixel((0, 0), (*RED, 255))
    image.putpixel((1, 0), (0, 0, 0, 0))
    pixels = decode_now(encoded(image, "PNG"))
    assert pixels[0].tolist() == [list(RED), list(WHITE)]
    assert decode_now(encoded(image.convert("LA"), "PNG"))[0, 1].tolist() == list(WHITE)
    palette = Image.new("P", (2, 1), 0)
    palette.putpalette([*GREEN, *BLUE])
    palette.putpixel((1, 0), 1)
    assert decode_now(encoded(palette, "PNG", transparency=1))[0].tolist() == [list(GREEN), list(WHITE)]


def test_sixteen_bits_become_eight() -> None:
    values = np.array([[0, 32768, 65535]], np.uint16)
    pixels = decode_now(encoded(Image.fromarray(values), "PNG"))
    assert pixels[0, :, 0].tolist() == [0, 127, 255]


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_the_first_frame_of_an_animation(kind: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in (GREEN, RED)]
    content = encoded(
        frames[0], kind, save_all=True, append_images=frames[1:], **({"lossless": True} if kind == "WEBP" else {})
    )
    assert close(decode_now(content)[4, 4], GREEN, by=2)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_large_pictures_shrink(kind: str) -> None:
    pixels = decode_now(encoded(halves().resize((3000, 1500)), kind))
    assert pixels.shape == (LONGEST_SIDE // 2, LONGEST_SIDE, 3)
    assert close(pixels[100, 100], RED, by=12) and close(pixels[100, -100], BLUE, by=12)


def test_slivers_keep_a_pixel() -> None:
    pixels = decode_now(encoded(Image.new("RGB", (20_000, 1), RED), "PNG"))
    assert pixels.shape == (1, LONGEST_SIDE, 3)


def png(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds next to nothing."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    )


def test_pixel_bombs_are_refused_before_they_are_decoded() -> None:
    assert reason(png(8_000, 8_000)) == Reason.IMAGE_TOO_LARGE
    assert reason(png(100_000, 100_000)) == Reason.IMAGE_TOO_LARGE


def test_a_text_bomb_inside_a_png() -> None:
    bomb = zlib.compress(bytes(20_000_000), 9)
    body = b"Comment\0\0" + bomb
    chunk = struct.pack(">I", len(body)) + b"zTXt" + body + struct.pack(">I", zlib.crc32(b"zTXt" + body))
    content = encoded(Image.new("RGB", (4, 4)), "PNG")
    assert reason(content[:33] + chunk + content[33:]) in (Reason.IMAGE_UNREADABLE, Reason.IMAGE_TRUNCATED)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP"])
def test_truncated_pictures_are_refused(kind: str) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8))
    content = encoded(noise, kind)
    assert reason(content[: len(content) // 2]) in (
        Reason.IMAGE_TRUNCATED, Reason.IMAGE_UNREADABLE, Reason.IMAGE_NOT_AN_IMAGE
    )  # fmt: skip
    if kind in ("JPEG", "PNG"):
        assert reason(content[: len(content) // 2]) == Reason.IMAGE_TRUNCATED


@pytest.mark.parametrize(
    "content",
    [b"", b"hello", b"<html><img></html>", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"%PDF-1.4", bytes(1000)],
)
def test_what_is_no_image(content: bytes) -> None:
    assert reason(content) == Reason.IMAGE_NOT_AN_IMAGE


@pytest.mark.parametrize("kind", ["TIFF", "PPM", "ICO", "TGA", "PCX", "EPS"])
def test_other_formats_are_refused_whatever_they_call_themselves(kind: str) -> None:
    assert reason(encoded(Image.new("RGB", (32, 32), RED), kind)) == Reason.IMAGE_NOT_AN_IMAGE


def test_errors_of_one_picture_are_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Image.Image) -> None:
        raise ZeroDivisionError("inside a decoder")

    monkeypatch.setattr(decoding, "_pixels", broken)
    assert reason(encoded(halves(), "PNG")) == Reason.IMAGE_UNREADABLE


SEEDS = [encoded(halves(), kind) for kind in ("JPEG", "PNG", "WEBP", "GIF", "BMP")]


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(SEEDS), st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=12), st.floats(0, 1))
def test_damaged_bytes_give_pixels_or_a_reason(content: bytes, edits: list[tuple[float, int]], kept: float) -> None:
    damaged = bytearray(content)
    for place, value in edits:
        damaged[int(place * (len(damaged) - 1))] = value
    try:
        pixels = decode_now(bytes(damaged[: int(len(damaged) * kept)]))
    except ImageRejected as rejected:
        assert rejected.reason.startswith("image_")
    else:
        assert pixels.ndim == 3 and pixels.shape[2] == 3 and pixels.size
