"""Templates print what Go's would."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.errors import Invalid
from swarmctl.pipes import NO_VALUE
from swarmctl.templates import fields, render, unescaped

THING = {
    "ID": "x1",
    "Name": "web",
    "Labels": {"b": "2", "a": "1"},
    "Args": ["p", "q"],
    "On": True,
    "Spec": {"Mode": {"Replicas": 3}},
}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("", ""),
        ("plain", "plain"),
        ("{{.ID}}: {{ .Name }}", "x1: web"),
        ("{{.Spec.Mode.Replicas}}", "3"),
        ("{{.Labels}} {{.Args}} {{.On}}", "map[a:1 b:2] [p q] true"),
        ("{{.Spec.Nope}} {{.Spec.Nope.More}}", f"{NO_VALUE} {NO_VALUE}"),
        ("{{json .Labels}}", '{"b":"2","a":"1"}'),
        ("{{.Name | upper | json}}", '"WEB"'),
        ('{{index .Labels "a"}}{{index .Args 1}}', "1q"),
        ('{{join .Args ", "}}', "p, q"),
        ('{{join (split "a-b" "-") "+"}}', "a+b"),
        ("{{len .Args}} {{len .Name}}", "2 3"),
        ("{{range .Args}}<{{.}}{{$.ID}}>{{end}}", "<px1><qx1>"),
        ("{{range .Labels}}{{.}}{{end}}", "12"),
        ("{{range .Spec.None}}x{{else}}none{{end}}", "none"),
        ('{{if eq .Name "web" "db"}}yes{{else}}no{{end}}', "yes"),
        ("{{if not .On}}off{{end}}.", "."),
        ("{{with .Spec.Mode}}{{.Replicas}}{{end}}", "3"),
        ("a  {{- .ID -}}  b", "ax1b"),
        ("{{/* nothing */}}x", "x"),
        ('{{title "ab"}}{{lower "AB"}}{{pad .ID 1 2}}|{{truncate .Name 2}}', "Abab x1  |we"),
        ('{{println .ID "a"}}{{print .ID .Name}}', "x1 a\nx1web"),
        ("{{or .Spec.None .ID}}{{and .ID .Name}}{{ne .ID 3}}", "x1webtrue"),
        ("{{`raw`}}{{true}}{{-1}}", "rawtrue-1"),
    ],
)
def test_a_template_is_filled_in(template: str, text: str) -> None:
    assert render(template, THING) == text


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{{.Nope}}", r"no field \.Nope"),
        ("{{nope}}", "no function 'nope'"),
        ("{{", "never closed"),
        ("{{.ID", "never closed"),
        ("{{}}", "empty"),
        ("{{end}}", "closes nothing"),
        ("{{if .ID}}x", "never closed"),
        ("{{if .ID}}x{{else}}y", "never closed"),
        ("{{.ID .Name}}", "only functions"),
        ("{{index .Args 7}}", "wrong arguments"),
        ("{{index .Args .ID}}", "wrong arguments"),
        ("{{json}}", "wrong arguments"),
        ("{{(upper .ID}}", "parenthesis"),
        ("{{.ID)}}", r"unexpected '\)'"),
        ('{{"a}}', "cannot read"),
        ("{{range .ID}}{{end}}", "no list"),
    ],
)
def test_a_mistake_in_a_template_is_named(template: str, words: str) -> None:
    with pytest.raises(Invalid, match=words):
        render(template, THING)


def test_an_unknown_field_is_answered_with_those_there_are() -> None:
    with pytest.raises(Invalid) as caught:
        render("{{.Nope}}", {"ID": "1", "Name": "2"})

    assert caught.value.hint == "there are .ID, .Name"


def test_backslashes_of_a_shell_are_tabs_and_line_ends() -> None:
    assert unescaped(r"{{.ID}}\t{{.Name}}\n") == "{{.ID}}\t{{.Name}}\n"


def test_fields_are_found_in_order() -> None:
    assert fields("{{.ID}} {{json .Labels}} {{ .Name }}") == ("ID", "Name")


@given(st.text(alphabet='{}.|()"` aI-$/*', max_size=30))
def test_law_whatever_is_typed_is_printed_or_refused(template: str) -> None:
    try:
        render(template, THING)
    except Invalid:
        return
