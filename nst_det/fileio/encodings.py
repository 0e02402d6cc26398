"""The encodings of text files that other programs wrote."""

import codecs
import re

MARKS = (
    (codecs.BOM_UTF8, 'utf-8-sig'),
    (codecs.BOM_UTF32_LE, 'utf-32'),
    (codecs.BOM_UTF32_BE, 'utf-32'),
    (codecs.BOM_UTF16_LE, 'utf-16'),
    (codecs.BOM_UTF16_BE, 'utf-16'),
)
# Encodings that Windows and older programs use, each with ASCII in its first half.
LEGACY = ('cp1252', 'gb18030', 'shift_jis', 'big5', 'euc_kr', 'cp1251', 'cp1250', 'cp1253', 'cp437')
EXTENDS_ASCII = re.compile(
    r'utf-8|ascii|iso8859|latin|cp(12|43|8|9)\d+|koi8|mac|gb|big5|euc|shift_jis|johab|tis|kz|ptcp'
)


def unicode_encoding(content: bytes) -> str | None:
    """Tell which encoding of Unicode a text has, if one is certain.

    Args:
        content (bytes): The text.

    Returns:
        str | None: The name of the encoding: that of the byte order mark; UTF-16 if the first
        character, which is in ASCII, has a zero byte; UTF-8 if the text is valid as such. None for
        other text.
    """
    for mark, name in MARKS:
        if content.startswith(mark):
            return name
    if content[:1] and content[1:2] == b'\0':
        return 'utf-16-le'
    if content[:1] == b'\0' and content[1:2]:
        return 'utf-16-be'
    return 'utf-8' if decodes(content, 'utf-8') else None


def decodes(content: bytes, encoding: str) -> bool:
    """Tell whether a text is valid in an encoding.

    Args:
        content (bytes): The text.
        encoding (str): The name of the encoding.

    Returns:
        bool: False also for an encoding that Python does not know.
    """
    try:
        content.decode(encoding)
    except (UnicodeDecodeError, LookupError):
        return False
    return True


def extends_ascii(encoding: str) -> bool:
    """Tell whether Python knows an encoding, and each byte of ASCII means itself in it.

    Args:
        encoding (str): Its name.

    Returns:
        bool: False for UTF-16 and for encodings with shift sequences.
    """
    try:
        return EXTENDS_ASCII.match(codecs.lookup(encoding).name) is not None
    except LookupError:
        return False


def legacy_readings(text: bytes) -> dict[str, str]:
    """Decode a text in all legacy encodings in which it is valid.

    Args:
        text (bytes): The text.

    Returns:
        dict[str, str]: The text by encoding, without repetitions of the same text.
    """
    readings: dict[str, str] = {}
    for encoding in LEGACY:
        if decodes(text, encoding) and text.decode(encoding) not in readings.values():
            readings[encoding] = text.decode(encoding)
    return readings
