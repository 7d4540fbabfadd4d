"""A process of its own that opens one fax, which may be a bomb: it has little memory and little time, and then ends.

    fax_worker.py count                  pages of the PDF on stdin, as text
    fax_worker.py render N MOST_PIXELS   page N (from 0) of the TIFF or PDF on stdin, as PNG

Exit code 3, or a signal: the fax cannot be read. It is run as a file, and imports nothing of recpipe.
"""

from __future__ import annotations

import io
import resource
import sys

MOST_MEMORY_BYTES = 1_500_000_000
MOST_SECONDS = 20  # of processor time
_WIDTH = 1_240  # pixels of a page that is shown: A4 at 150 dpi
_MOST_HEIGHT = 12_000
_UNREADABLE = 3


def main() -> int:
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY_BYTES, MOST_MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (MOST_SECONDS, MOST_SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    fax = sys.stdin.buffer.read()
    try:
        if sys.argv[1] == "count":
            sys.stdout.write(str(_pages(fax)))
        elif fax.startswith(b"%PDF"):
            sys.stdout.buffer.write(_page_of_pdf(fax, int(sys.argv[2])))
        else:
            sys.stdout.buffer.write(_page_of_tiff(fax, int(sys.argv[2]), int(sys.argv[3])))
    except ImportError:
        raise  # not the fax is at fault
    except Exception as error:  # whatever a hostile file does to a decoder ends here
        sys.stderr.write(type(error).__name__)
        return _UNREADABLE
    return 0


def _pages(fax: bytes) -> int:
    import pypdfium2

    return len(pypdfium2.PdfDocument(fax))


def _page_of_pdf(fax: bytes, number: int) -> bytes:
    import pypdfium2

    page = pypdfium2.PdfDocument(fax)[number]
    width, height = page.get_size()
    scale = min(_WIDTH / width, _MOST_HEIGHT / height)
    return _png(page.render(scale=scale, grayscale=True, may_draw_forms=False).to_pil())


def _page_of_tiff(fax: bytes, number: int, most_pixels: int) -> bytes:
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = most_pixels
    with Image.open(io.BytesIO(fax), formats=("TIFF",)) as image:
        image.seek(number)
        across, down = (float(dots) or 1.0 for dots in image.info.get("dpi", (1.0, 1.0)))
        # Faxes have twice the dots across that they have down, or the same number.
        ratio = min(max(across / down, 0.2), 5.0)
        width = min(_WIDTH, image.width)
        height = max(1, min(_MOST_HEIGHT, round(image.height * ratio * width / image.width)))
        return _png(image.convert("L").resize((width, height), Image.Resampling.BOX))


def _png(image: object) -> bytes:
    made = io.BytesIO()
    image.save(made, "PNG")  # type: ignore[attr-defined]
    return made.getvalue()


if __name__ == "__main__":
    sys.exit(main())
