"""Sample sheets: labelled grids such as source | output | target, white, ready for a card or a README.

python -c "
from PIL import Image
from img2img_hub.evaluation.sheets import sample_sheet
row = [Image.new('RGB', (256, 256), colour) for colour in ('navy', 'teal', 'gold')]
sample_sheet([row, row], titles=['source', 'output', 'target']).save('sheet.png')"
"""

from PIL import Image, ImageDraw, ImageFont

MARGIN = 8  # pixels around the sheet and above the first row
GAP = 4  # pixels between cells
LARGEST = 480  # pixels of a cell a side, where images are not of one size
INK = (32, 32, 32)


def sample_sheet(rows: list[list[Image.Image]], *, titles: list[str]) -> Image.Image:
    """One row of images a sample, one title a column, on white.

    Args:
        rows: images of any size and mode; a smaller one stands in the middle of its cell.
        titles: one a column; shortened where the column is too narrow.

    Raises:
        ValueError: no rows, or a row whose length is not that of `titles`.
    """
    if not rows or not titles:
        raise ValueError("a sheet needs at least one row and one column")
    if wrong := [len(row) for row in rows if len(row) != len(titles)]:
        raise ValueError(f"every row needs {len(titles)} images, as many as there are titles; one has {wrong[0]}")
    widths = [max(row[column].width for row in rows) for column in range(len(titles))]
    heights = [max(image.height for image in row) for row in rows]
    font_size = _font_size(min(widths))
    header = 2 * font_size
    sheet = Image.new(
        "RGB",
        (
            2 * MARGIN + sum(widths) + GAP * (len(widths) - 1),
            MARGIN + header + sum(heights) + GAP * (len(heights) - 1) + MARGIN,
        ),
        "white",
    )
    draw = ImageDraw.Draw(sheet)
    left = MARGIN
    for column, (title, width) in enumerate(zip(titles, widths, strict=True)):
        text, font = _fitted(title, width=width - GAP, size=font_size)
        draw.text((left + width / 2, MARGIN + header / 2 - 2), text, fill=INK, font=font, anchor="mm")
        top = MARGIN + header
        for row, height in zip(rows, heights, strict=True):
            image = _on_white(row[column])
            sheet.paste(image, (left + (width - image.width) // 2, top + (height - image.height) // 2))
            top += height + GAP
        left += width + GAP
    return sheet


def alike(images: list[Image.Image], *, size: tuple[int, int]) -> list[Image.Image]:
    """Images of one place at one size, that of the largest, of which the middle is left where it is too large for a
    cell: what there is to see is seen pixel by pixel."""
    width, height = (min(side, LARGEST) for side in size)
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    box = (left, top, left + width, top + height)
    return [
        (image if image.size == size else image.resize(size, Image.Resampling.BICUBIC)).crop(box) for image in images
    ]


def first_pair(sheet: Image.Image, *, size: int, paired: bool) -> tuple[Image.Image, Image.Image] | None:
    """Source, the first of several, and output in the first row of a sheet of square images, `size` pixels a side.

    Args:
        paired: whether the last column is the target and the output before it; else the output is the second.

    None where the sheet is laid out in another way.
    """
    columns, rest = divmod(sheet.width - 2 * MARGIN + GAP, size + GAP)
    top = MARGIN + 2 * _font_size(size)
    if rest or columns < 2 + paired or sheet.height < top + size + MARGIN:
        return None
    lefts = (MARGIN, MARGIN + (columns - 2 if paired else 1) * (size + GAP))
    first, second = (sheet.crop((left, top, left + size, top + size)) for left in lefts)
    return first, second


def _font_size(width: int) -> int:
    """Of the titles, over columns of that width."""
    return max(10, min(20, width // 12))


def _fitted(title: str, *, width: int, size: int) -> tuple[str, ImageFont.FreeTypeFont | ImageFont.ImageFont]:
    """The title and font that fit into `width` pixels: first a smaller font, then fewer letters."""
    for smaller in range(size, 7, -1):
        font = ImageFont.load_default(size=smaller)
        if font.getlength(title) <= width:
            return title, font
    while title and font.getlength(title + "…") > width:
        title = title[:-1]
    return (title.rstrip() + "…" if title else ""), font


def _on_white(image: Image.Image) -> Image.Image:
    if image.has_transparency_data:
        image = image.convert("RGBA")
        background = Image.new("RGBA", image.size, "white")
        background.alpha_composite(image)
        image = background
    return image.convert("RGB")
