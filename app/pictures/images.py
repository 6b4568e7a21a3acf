"""What is done to the bytes of a picture. Knows nothing of Django's models."""

import io
import warnings

from PIL import Image, ImageOps, UnidentifiedImageError

FORMATS = ("JPEG", "PNG", "WEBP", "GIF")
SMALL, LARGE = 480, 1600  # pixels of the longer side
QUALITY = 80


class PictureRefused(ValueError):
    """Bytes that are no picture, or one that is too large; the text is for people."""


def picture_check(data, *, max_pixels):
    """Raise PictureRefused unless `data` begins as a picture of a known format with few enough pixels.

    Reads the header only: a small file can hold a picture that takes gigabytes to unpack.
    """
    with _opened(data) as image:
        width, height = image.size
    if width * height > max_pixels:
        raise PictureRefused(f"The picture has {width} × {height} pixels; {max_pixels // 1_000_000} million are allowed.")


def picture_shrink(data, side):
    """Return a picture as WebP with a longer side of at most `side` pixels, upright and without its metadata."""
    with _opened(data) as image:
        image.draft("RGB", (side, side))  # a JPEG is unpacked at a fraction of its size
        try:
            upright = ImageOps.exif_transpose(image)
        except (OSError, ValueError, SyntaxError, EOFError, MemoryError) as error:
            raise PictureRefused("The picture is damaged.") from error
        has_alpha = "A" in upright.getbands() or "transparency" in upright.info
        made = upright.convert("RGBA" if has_alpha else "RGB")
    made.thumbnail((side, side))
    out = io.BytesIO()
    # A new file: place, camera and comments of the old one are not taken over.
    made.save(out, "WEBP", quality=QUALITY, method=4, exif=b"", icc_profile=None)
    return out.getvalue()


def _opened(data):
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # picture_check has a lower limit
            return Image.open(io.BytesIO(data), formats=FORMATS)
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, ValueError, SyntaxError) as error:
        raise PictureRefused("This is no JPEG, PNG, WebP or GIF picture.") from error
