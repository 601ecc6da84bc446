import json

from runtime.command.loglines import line

WHEN = "2026-01-02T03:04:05Z"


def test_text_is_logfmt() -> None:
    text = line("error", 'no "x"', when=WHEN, as_json=False)

    assert text == r'time="2026-01-02T03:04:05Z" level=error msg="no \"x\""'


def test_json_is_one_object_on_one_line() -> None:
    text = line("warning", "two\nlines", when=WHEN, as_json=True)

    assert "\n" not in text
    assert json.loads(text) == {"level": "warning", "msg": "two\nlines", "time": WHEN}


def test_words_that_are_not_utf8_can_be_said() -> None:
    assert line("error", "x\udc80", when=WHEN, as_json=True).endswith(
        '"msg":"x?","time":"' + WHEN + '"}'
    )
