"""Texts to compare tokenizers over, drawn from a seed: the licences of this machine, many scripts, hostile Unicode."""

import pathlib
import random

SCRIPTS = {
    "latin": (0x41, 0x5A, 0x61, 0x7A, 0xC0, 0x24F), "greek": (0x370, 0x3FF, 0x1F00, 0x1FFF),
    "cyrillic": (0x400, 0x52F), "armenian": (0x531, 0x587), "hebrew": (0x591, 0x5F4), "arabic": (0x600, 0x6FF),
    "devanagari": (0x900, 0x97F), "bengali": (0x980, 0x9FE), "tamil": (0xB82, 0xBFA), "thai": (0xE01, 0xE5B),
    "tibetan": (0xF00, 0xFDA), "georgian": (0x10A0, 0x10FF, 0x1C90, 0x1CBF), "hangul": (0x1100, 0x11FF, 0xAC00, 0xD7A3),
    "ethiopic": (0x1200, 0x139F), "cherokee": (0x13A0, 0x13FD), "khmer": (0x1780, 0x17F9), "mongolian": (0x1800, 0x18AA),
    "kana": (0x3040, 0x30FF, 0xFF61, 0xFF9F), "ideographs": (0x4E00, 0x9FFF, 0x3400, 0x4DBF),
    "fullwidth": (0xFF01, 0xFF60), "deseret": (0x10400, 0x1044F), "old": (0x10000, 0x103D5),
    "mathematical": (0x1D400, 0x1D7FF), "adlam": (0x1E900, 0x1E95F), "emoji": (0x1F300, 0x1FAFF),
}
MARKS = (0x300, 0x36F, 0x483, 0x489, 0x591, 0x5BD, 0x610, 0x61A, 0x64B, 0x65F, 0x93C, 0x94D, 0x1AB0, 0x1ACE,
         0x1DC0, 0x1DFF, 0x20D0, 0x20F0, 0x302A, 0x302F, 0x3099, 0x309A, 0xFE20, 0xFE2F, 0x1D165, 0x1D172)
CONTROLS = [*range(0, 0x20), *range(0x7F, 0xA1), 0xAD, 0x34F, 0x600, 0x61C, 0x180E, 0x1680, *range(0x2000, 0x2010),
            *range(0x2028, 0x2030), *range(0x205F, 0x2070), 0x3000, 0xFEFF, 0xFFF9, 0xFFFA, 0xFFFB, 0xFFFC, 0xFFFD, 0xFFFE,
            0xFFFF, 0xE000, 0xF8FF, 0xE0001, 0xE0020, 0xE007F, 0xE0100, 0xF0000, 0x10FFFD, 0x10FFFF, 0x2FE0, 0x378]
# The first and last of each block of ideographs, and their neighbours, those that Hugging Face counts otherwise too.
IDEOGRAPH_EDGES = [edge + step for edge in (
    0x3400, 0x4DBF, 0x4E00, 0x9FFF, 0xF900, 0xFAFF, 0x20000, 0x2A6DF, 0x2A700, 0x2B73F, 0x2B740, 0x2B81F, 0x2B820, 0x2B920,
    0x2CEAF, 0x2CEB0, 0x2F800, 0x2FA1F, 0x30000, 0x3134A) for step in (-1, 0, 1)]
WORDS = ["ΟΔΥΣΣΕΥΣ", "Σ", "ΑΣ", "ΣΑΣ", "İ", "İstanbul", "I\u0307", "ı", "ǅ", "ẞ", "ß", "ﬁ", "Å", "Å", "Ω", "K",
         "don't", "DON'T", "I'll've", "'s", "'S", "''t", " 're", "x'd", "…", "--", "½", "²", "Ⅷ", "①", "٣", "1,000.5e-3",
         "http://a.b/c?d=e&f", "a_b", "a\u200db", "\u200d", "\u200c", "क्‍ष", "한국어", "각", "각", "ｶﾞ", "が",
         "👨‍👩‍👧‍👦", "👍🏽", "🇩🇪", "🇩", "1️⃣", "☃︎", "🏴\U000e0067\U000e0062\U000e007f", "\u0344", "\u0f73", "\u1e69\u0323",
         "s\u0323\u0307", "s\u0307\u0323", "q\u0315\u0300\u05ae\u0300", "\U0001d15e", "\u09c7\u09be", "\u0dd9\u0dcf\u0dca"]
SPECIAL = ["[CLS]", "[SEP]", "[PAD]", "[MASK]", "[UNK]", "[cls]", "[ SEP ]", "[CLS", "SEP]", "[[MASK]]", "<s>", "</s>",
           "<mask>", " <mask>", "<mask> ", "<|endoftext|>", "<|endoftext", "<|ENDOFTEXT|>", "##ing", "##", "[unused0]",
           "Ärger", "ärger", "ARGER", "Argers", "<left>", "<right>", "<word>", "x<word>", "<word>x", "<both>", "\u0301<word>",
           "<word>\u0301", "ab", "abab", "aab", "AB"]
SPACES = [" ", "  ", "\t", "\n", "\r\n", "\u00a0", "\u3000", "\u2028", "\u0085", "   ", "\u200b", "\x0b", "\x1c"]


def licences():
    """Lines of text that every Debian has; none elsewhere."""
    folder = pathlib.Path("/usr/share/common-licenses")
    files = sorted(path for path in folder.glob("*") if path.is_file() and not path.is_symlink())
    return [line for path in files for line in path.read_text(encoding="utf-8", errors="replace").splitlines()]


class Corpus:
    def __init__(self, seed):
        self.draw = random.Random(seed)

    def within(self, ranges):
        place = self.draw.randrange(len(ranges) // 2) * 2
        while True:
            value = self.draw.randint(ranges[place], ranges[place + 1])
            if not 0xD800 <= value <= 0xDFFF:
                return chr(value)

    def anything(self):
        return self.within((0, 0x7F, 0x80, 0x7FF, 0x800, 0xFFFF, 0x10000, 0x10FFFF, 0x2000, 0x2FFF, 0x1F000, 0x1FAFF))

    def word(self):
        script = SCRIPTS[self.draw.choice(list(SCRIPTS))]
        return "".join(self.within(script) for _ in range(self.draw.randint(1, 9)))

    def space(self):
        return " " if self.draw.random() < 0.7 else self.draw.choice(SPACES)

    def marked(self):
        text = ""
        for _ in range(self.draw.randint(1, 8)):
            text += self.within(SCRIPTS[self.draw.choice(["latin", "greek", "hebrew", "devanagari", "hangul"])])
            text += "".join(self.within(MARKS) for _ in range(self.draw.choice([0, 1, 1, 2, 3, 5])))
        return text

    def piece(self):
        kind = self.draw.randrange(12)
        if kind < 3:
            return self.word()
        if kind == 3:
            return self.marked()
        if kind == 4:
            return chr(self.draw.choice(CONTROLS))
        if kind == 5:
            return chr(self.draw.choice(IDEOGRAPH_EDGES))
        if kind == 6:
            return self.draw.choice(WORDS)
        if kind == 7:
            return self.draw.choice(SPECIAL)
        if kind == 8:
            return "".join(self.anything() for _ in range(self.draw.randint(1, 4)))
        if kind == 9:
            return "".join(self.draw.choice("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~¡§«»„“”、。〈〉") for _ in range(
                self.draw.randint(1, 4)))
        if kind == 10:
            return str(self.draw.randint(0, 10**self.draw.randint(1, 12)))
        return self.draw.choice(["the", "The", "THE", "attention", "Attention", "internationalization", "unaffable"])

    def line(self):
        count = self.draw.randint(1, 14)
        return "".join(self.piece() + (self.space() if self.draw.random() < 0.6 else "") for _ in range(count))

    def edges(self):
        """Texts that are long, empty, or at a limit."""
        texts = ["", " ", "  ", "\t", "\n", "\u00a0", "\u3000", " a", "a ", " a ", "  a  ", "\u200b", "\u0301", "\0", "\ufffd"]
        # A word of more than a hundred characters is unknown to WordPiece; marks and controls that go do not count.
        for letter in ("a", "é", "e\u0301", "中", "𐐀", "ß", "İ", "\u0301", "ab", "x\0", "😀"):
            texts += [letter * count for count in (49, 50, 51, 99, 100, 101, 102)]
            texts += ["b " + letter * count + " c" for count in (100, 101)]
        texts += ["a" * 1_000_000, "é" * 500_000, "中" * 10_000, "ab" * 20_000, "\u0301" * 10_000, "a\u0301\u0323" * 5_000,
                  " " * 10_000, "." * 10_000, "👍" * 5_000, "0123456789" * 2_000, "a " * 10_000, "<mask>" * 2_000,
                  "[SEP]" * 2_000, "a\u200d" * 5_000]
        texts += [chr(value) for value in CONTROLS + IDEOGRAPH_EDGES]
        texts += ["x" + chr(value) + "y" for value in CONTROLS + IDEOGRAPH_EDGES]
        texts += WORDS + SPECIAL + [one + other for one in SPECIAL for other in SPECIAL[::3]]
        texts += [space + token + space for space in SPACES for token in SPECIAL]
        texts += ["hello" + space + "World" + space for space in SPACES] + ["a" + space * 3 for space in SPACES]
        return texts

    def texts(self, count):
        texts = self.edges()
        lines = [line for line in licences() if line.strip()]
        texts += lines[:4_000]
        while len(texts) < count:
            texts.append(self.line())
        return texts
