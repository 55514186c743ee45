"""Ranges of code points that decide where an invisible character is part of ordinary writing.

The joiners U+200C and U+200D shape letters in Arabic, Persian, Urdu, the Indic scripts, Khmer,
Mongolian and others; U+200D also ties emoji together; U+200B separates words in scripts that
write none (Thai, Lao, Khmer, Myanmar). Anywhere else the same characters only hide something.
"""

from __future__ import annotations

from bisect import bisect_right


class Ranges:
    """A set of code points as sorted ranges; ``ord in ranges`` takes a binary search."""

    def __init__(self, *pairs: tuple[int, int]) -> None:
        ordered = sorted(pairs)
        self._starts = [start for start, _ in ordered]
        self._ends = [end for _, end in ordered]

    def __contains__(self, code: int) -> bool:
        index = bisect_right(self._starts, code) - 1
        return index >= 0 and code <= self._ends[index]


#: Scripts whose letters change shape beside a joiner.
JOINING = Ranges(
    (0x0600, 0x074F),  # Arabic, Syriac
    (0x0750, 0x077F),  # Arabic Supplement
    (0x07C0, 0x07FF),  # NKo
    (0x0840, 0x08FF),  # Mandaic, Syriac and Arabic extensions
    (0x0900, 0x0DFF),  # Devanagari to Sinhala
    (0x0F00, 0x109F),  # Tibetan, Myanmar
    (0x1700, 0x17FF),  # Philippine scripts, Khmer
    (0x1800, 0x18AF),  # Mongolian
    (0x1900, 0x1CFF),  # Limbu to Lepcha, Vedic
    (0x2D30, 0x2D7F),  # Tifinagh
    (0xA800, 0xA8FF),  # Syloti Nagri, Phags-pa, Saurashtra, Devanagari Extended
    (0xA930, 0xA95F),  # Rejang
    (0xA980, 0xAADF),  # Javanese to Tai Viet
    (0xAAE0, 0xAAFF),  # Meetei Mayek Extensions
    (0xABC0, 0xABFF),  # Meetei Mayek
    (0xFB50, 0xFDCF),  # Arabic presentation forms
    (0xFDF0, 0xFDFF),
    (0xFE70, 0xFEFE),
    (0x10A00, 0x10A5F),  # Kharoshthi
    (0x10AC0, 0x10AFF),  # Manichaean
    (0x10B80, 0x10BAF),  # Psalter Pahlavi
    (0x10D00, 0x10D3F),  # Hanifi Rohingya
    (0x10EC0, 0x10FDF),  # Arabic Extended-C, Sogdian, Old Uyghur, Chorasmian
    (0x11000, 0x11FFF),  # Brahmi and its daughters
    (0x1E900, 0x1E95F),  # Adlam
)

#: Scripts that write no spaces and mark word boundaries with U+200B.
UNSPACED = Ranges(
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x0F00, 0x109F),  # Tibetan, Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x1950, 0x19FF),  # Tai Le, New Tai Lue, Khmer symbols
    (0x1A20, 0x1AAF),  # Tai Tham
    (0x1B00, 0x1B7F),  # Balinese
    (0xA980, 0xA9FF),  # Javanese, Myanmar Extended-B
    (0xAA00, 0xAADF),  # Cham, Myanmar Extended-A, Tai Viet
)

#: Pictures that take a presentation selector or are tied together by U+200D.
PICTURES = Ranges(
    (0x00A9, 0x00A9),
    (0x00AE, 0x00AE),
    (0x203C, 0x203C),
    (0x2049, 0x2049),
    (0x2122, 0x2122),
    (0x2139, 0x2139),
    (0x2190, 0x21FF),
    (0x2300, 0x23FF),
    (0x2460, 0x24FF),
    (0x25A0, 0x27BF),
    (0x2900, 0x297F),
    (0x2B00, 0x2BFF),
    (0x3030, 0x3030),
    (0x303D, 0x303D),
    (0x3297, 0x3297),
    (0x3299, 0x3299),
    (0x1F000, 0x1FAFF),
)

#: Symbols and letters with standardised variants (U+FE00 to U+FE0D).
VARIANT_BASES = Ranges(
    (0x0030, 0x0030),  # slashed zero
    (0x1000, 0x109F),  # Myanmar dotted forms
    (0x2205, 0x22FF),  # mathematical operators
    (0x2A00, 0x2AFF),
    (0x3000, 0x303F),  # ideographic punctuation
    (0x3400, 0x4DBF),  # ideographs
    (0x4E00, 0x9FFF),
    (0xA840, 0xA87F),  # Phags-pa
    (0xA9E0, 0xA9FF),
    (0xAA60, 0xAA7F),
    (0xF900, 0xFAFF),
    (0xFF00, 0xFF60),  # fullwidth punctuation
    (0x10AC0, 0x10AFF),
    (0x13000, 0x1345F),  # hieroglyphs
    (0x20000, 0x3FFFD),
)

#: Ideographs, which have registered variants (U+E0100 to U+E01EF).
IDEOGRAPHS = Ranges((0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x3FFFD))

MONGOLIAN = Ranges((0x1800, 0x180A), (0x1810, 0x18AF), (0x11660, 0x1167F))
HANGUL_JAMO = Ranges((0x1100, 0x11FF), (0xA960, 0xA97F), (0xD7B0, 0xD7FF))
KHMER = Ranges((0x1780, 0x17FF))
SHORTHAND = Ranges((0x1BC00, 0x1BC9F))
