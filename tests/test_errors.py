"""What refusals have in common: one line, a noun with its number, checked arguments."""

import math
import re

import pytest

from img2img_hub.errors import (
    check_flags,
    check_range,
    counted,
    first_line,
    is_number,
    is_whole,
    listing,
    one_line,
    said_by_http,
)


def test_one_line_folds_the_whole_message_and_first_line_takes_its_first():
    error = RuntimeError("\n  weights\tdo not fit:\n\n  layer 1\n  layer 2\n")
    assert one_line(error) == "weights do not fit: layer 1 layer 2"
    assert one_line(error, most=7) == "weights"
    assert first_line(error) == "weights\tdo not fit:"


@pytest.mark.parametrize("said", ["", " ", "\n\n"])
def test_an_error_without_words_is_called_by_its_class(said):
    error = KeyboardInterrupt(said)
    assert {one_line(error), one_line(error, most=3), first_line(error), said_by_http(error)} == {"KeyboardInterrupt"}


def test_what_http_libraries_add_is_left_out():
    said = (
        "404 for url 'https://hub.example/a/x?Signature=secret&Key=1' (https://hub.example/b?token=secret)\n"
        "For more information check: https://manual.example/404"
    )
    assert said_by_http(OSError(said)) == "404 for url 'https://hub.example/a/x' (https://hub.example/b)"
    assert said_by_http(OSError("is it there? yes")) == "is it there? yes"
    assert said_by_http(OSError("For more information check: https://manual.example")) == "OSError"


def test_nouns_follow_their_number():
    assert [counted(number, "band") for number in (0, 1, 2)] == ["0 bands", "1 band", "2 bands"]
    assert [counted(number, "process", "processes") for number in (1, 2)] == ["1 process", "2 processes"]


def test_long_lists_are_cut_and_counted():
    assert listing(["a", "b"]) == "a, b"
    assert listing(list("abcdefg"), limit=3) == "a, b, c and 4 more"
    assert listing([]) == "none"


def test_numbers_are_told_from_what_python_counts_as_such():
    assert [is_whole(value) for value in (0, -3, 10**400)] == [True] * 3
    assert [is_whole(value) for value in (True, 1.0, "1", None)] == [False] * 4
    assert [is_number(value) for value in (0, -3, 1.5)] == [True] * 3
    assert [is_number(value) for value in (False, math.nan, math.inf, 10**400, "1", None, [1])] == [False] * 7


def test_arguments_at_their_limits_pass():
    check_range(width=(1, 1, 512), rate=(0, 0.0, 1.0), share=(1.0, 0.0, 1.0))
    check_flags(noise=True, dropout=False)


@pytest.mark.parametrize(
    ("value", "lowest", "highest", "says"),
    [
        (0, 1, 512, "width must be a whole number from 1 to 512, got 0"),
        (513, 1, 512, "width must be a whole number from 1 to 512, got 513"),
        (8.0, 1, 512, "width must be a whole number from 1 to 512, got 8.0"),
        (True, 1, 512, "width must be a whole number from 1 to 512, got True"),
        (None, 1, 512, "width must be a whole number from 1 to 512, got None"),
        (1.5, 0.0, 1.0, "width must be a number from 0.0 to 1.0, got 1.5"),
        (math.nan, 0.0, 1.0, "width must be a number from 0.0 to 1.0, got nan"),
        ("a" * 100, 1, 2, f"width must be a whole number from 1 to 2, got '{'a' * 59}"),
    ],
)
def test_arguments_beyond_their_limits_are_named(value, lowest, highest, says):
    with pytest.raises(ValueError, match=f"^{re.escape(says)}$"):
        check_range(other=(1, 1, 1), width=(value, lowest, highest))


@pytest.mark.parametrize("value", [1, 0, "false", None])
def test_a_flag_is_true_or_false(value):
    with pytest.raises(ValueError, match=f"^noise must be true or false, got {value!r}$"):
        check_flags(other=True, noise=value)
