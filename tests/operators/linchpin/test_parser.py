"""The form of a spec: what is printed parses to the same, and nothing but the language's own error is ever raised."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.linchpin.errors import At, SpecError
from operators.linchpin.graph import graph_of
from operators.linchpin.parser import RESERVED, parse
from operators.linchpin.tokens import LONGEST
from operators.linchpin.tree import Duration, File, Input, Name, Node, Output, Parameter, Tree

HERE = At(1, 1)
WORDS = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True).filter(lambda word: word not in RESERVED)
NAMES = st.builds(Name, WORDS, st.just(HERE))
PLAIN = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(0, 2**52).map(Duration),
    st.text(max_size=8),
    st.builds(File, st.text(max_size=8).filter(lambda name: "\n" not in name)),
)
LISTS = st.lists(PLAIN, max_size=3).map(tuple)
VALUES = st.one_of(PLAIN, LISTS, st.lists(LISTS, max_size=2).map(tuple))
STATEMENTS = st.one_of(
    st.builds(Input, NAMES, NAMES, st.integers(0, 65536)),
    st.builds(
        Node,
        NAMES,
        NAMES,
        st.lists(NAMES, max_size=4).map(tuple),
        st.lists(st.builds(Parameter, NAMES, VALUES, st.just(HERE)), max_size=3).map(tuple),
    ),
    st.builds(Output, st.lists(NAMES, min_size=1, max_size=3).map(tuple)),
)


@settings(max_examples=60)
@given(st.lists(STATEMENTS, max_size=4).map(lambda each: Tree(tuple(each))))
def test_what_is_printed_parses_to_the_same(tree):
    assert parse(str(tree)) == tree
    assert str(parse(str(tree))) == str(tree)


SNIPPETS = st.sampled_from(
    ["input ", "output ", "a", "b", " <- ", "Log1p", "Concat", "(", ")", "{", "}", "[", "]", ",", ":", "=", "@", '"x"',
     '"', "\\", "\n", "# hi\n", "1", "-2.5e3", "7d", "float", "vector", "true", "1e999", "é", "\x00", "9" * 50]
)  # fmt: skip


@given(st.one_of(st.text(max_size=200), st.lists(SNIPPETS, max_size=40).map("".join)))
def test_no_text_raises_anything_but_the_languages_own_error(text):
    lines = text.count("\n") + 1
    try:
        graph_of(text)
    except SpecError as wrong:
        assert wrong.faults and all(1 <= each.at.line <= lines and each.at.column >= 1 for each in wrong.faults)
        assert wrong.faults == sorted(wrong.faults)


def faults(text: str) -> list[str]:
    with pytest.raises(SpecError) as wrong:
        graph_of(text)
    return str(wrong.value).splitlines()


def test_all_faults_of_form_are_told_at_once_with_their_places():
    text = 'x <- (y)\ny <- Log1p(a\nz <- Log1p(b){unit=}\noutput 3\n"open\nq <- Log1p(x){unit=1q} §\n'
    assert faults(text) == [
        "1:6: expected a transform, found (",
        "3:1: expected , or ), found z",
        "3:20: expected a value, found }",
        "4:8: expected a name, found 3",
        "5:1: text without a closing quote",
        "6:20: 1q is no number; durations are written 500ms, 90s, 5m, 6h or 7d",
        "6:24: unexpected '§'",
    ]


def test_a_tab_and_a_crlf_do_not_move_what_is_told():
    assert faults("input a: float\r\n\toutput b\r\n") == ["2:9: unknown input b"]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("9" * 41, "more than 40 characters"),
        ("9223372036854775808", "does not fit 64 bits"),
        ("1e999", "is too large"),
        ("0.0001ms", "not a whole number of milliseconds"),
        ("[[[1]]]", "at most 2 deep"),
        ("[" * 5_000, "at most 2 deep"),
        ("nan", "text needs quotes"),
        ("@x", "the name of a file after @"),
    ],
)
def test_values_that_are_none(value, message):
    assert message in faults(f"input a: float\nb <- Log1p(a){{unit={value}}}\noutput b")[0]


def test_durations_are_milliseconds():
    (node,) = parse("a <- B(c){x=[7d, 6h, 5m, 90s, 500ms, 1.5h]}").statements
    assert node.parameters[0].value == (604_800_000, 21_600_000, 300_000, 90_000, 500, 5_400_000)
    assert str(node) == "a <- B(c){x=[7d, 6h, 5m, 90s, 500ms, 90m]}"


def test_words_of_the_language_are_no_names_and_a_long_text_is_no_spec():
    assert faults("true <- Log1p(input)")[0].endswith("true is a word of the language and cannot be a name")
    assert "longer than" in faults(" " * (LONGEST + 1))[0]
    assert faults("") == ["1:1: the spec has no output: end it with `output NAME`"]
