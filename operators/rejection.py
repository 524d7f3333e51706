"""Why a record was set aside, or taken with a warning: every code, each with a plain sentence.

The codes are stored and counted; add to them, never rename one.
"""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Reason code of a dead letter."""

    EMPTY = "empty"
    OVERSIZED = "oversized"
    BAD_UTF8 = "bad_utf8"
    BAD_JSON = "bad_json"
    NOT_AN_OBJECT = "not_an_object"
    WRONG_TYPE = "wrong_type"
    MISSING_FIELD = "missing_field"
    BAD_ID = "bad_id"
    BAD_VERSION = "bad_version"
    BAD_POSITION = "bad_position"
    BAD_BOX = "bad_box"
    UNKNOWN_TYPE = "unknown_type"
    UNKNOWN_SURFACE = "unknown_surface"
    TIME_TOO_OLD = "time_too_old"
    TIME_IN_FUTURE = "time_in_future"
    ERASED_PINNER = "erased_pinner"
    IMAGE_MISSING = "image_missing"
    IMAGE_TOO_LARGE = "image_too_large"
    IMAGE_TRUNCATED = "image_truncated"
    IMAGE_NOT_AN_IMAGE = "image_not_an_image"
    IMAGE_UNREADABLE = "image_unreadable"
    IMAGE_PRIVATE_ADDRESS = "image_private_address"
    IMAGE_FORBIDDEN_PATH = "image_forbidden_path"
    IMAGE_BAD_REFERENCE = "image_bad_reference"
    IMAGE_SLOW = "image_slow"


class Warned(StrEnum):
    """Code of a warning: the event counts, the oddity is counted beside it."""

    UNKNOWN_FIELD = "unknown_field"
    NEWER_VERSION = "newer_version"


#: What each code means, for people.
SENTENCES: dict[Reason | Warned, str] = {
    Reason.EMPTY: "The message has no value, or only white space.",
    Reason.OVERSIZED: "The message is larger than its topic allows.",
    Reason.BAD_UTF8: "The bytes are not UTF-8.",
    Reason.BAD_JSON: "The text is not JSON, or is nested too deeply to read.",
    Reason.NOT_AN_OBJECT: "The JSON is a list, text, number or null where an object is expected.",
    Reason.WRONG_TYPE: "A field has another type than its schema says.",
    Reason.MISSING_FIELD: "A field that the event needs is not there.",
    Reason.BAD_ID: "An id is empty, or an integer outside 1 … 2^63-1.",
    Reason.BAD_VERSION: "`v` is not a positive 32-bit integer.",
    Reason.BAD_POSITION: "`position` is outside 0 … 32767.",
    Reason.BAD_BOX: "`box` is not left, top, right and bottom in fractions 0 … 1, with left < right and top < bottom.",
    Reason.UNKNOWN_TYPE: "`type` is none of those that the topic carries.",
    Reason.UNKNOWN_SURFACE: "`surface` is none of those known.",
    Reason.TIME_TOO_OLD: "`time` is before 2005-01-01; is it in seconds instead of milliseconds?",
    Reason.TIME_IN_FUTURE: "`time` is more than 24 hours after the broker received the message.",
    Reason.ERASED_PINNER: "The pinner asked to be erased; nothing more is kept of them.",
    Reason.IMAGE_MISSING: "Nothing is at the image's address.",
    Reason.IMAGE_TOO_LARGE: "The image has more bytes or pixels than allowed.",
    Reason.IMAGE_TRUNCATED: "The image ends before it is complete.",
    Reason.IMAGE_NOT_AN_IMAGE: "What is at the address is no image that can be read.",
    Reason.IMAGE_UNREADABLE: "The image could not be read, though it is there.",
    Reason.IMAGE_PRIVATE_ADDRESS: "The image's host is on a private or local network.",
    Reason.IMAGE_FORBIDDEN_PATH: "The image's path is outside the folders set by PINSTREAM_IMAGE_FOLDERS.",
    Reason.IMAGE_BAD_REFERENCE: "The image reference is no file, http(s) or data address.",
    Reason.IMAGE_SLOW: "The image did not arrive in time.",
    Warned.UNKNOWN_FIELD: "The event has a field that this version does not know; it was ignored.",
    Warned.NEWER_VERSION: "The event's version is newer than this one knows; its known fields were used.",
}
