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
        ("{{`raw`}}{{true}}{{-1}}{{nil}}", f"rawtrue-1{NO_VALUE}"),
        ("{{range $k, $v := .Labels}}{{$k}}={{$v}} {{end}}", "a=1 b=2 "),
        ("{{range $i,$e := .Args}}{{$i}}:{{$e}} {{end}}", "0:p 1:q "),
        ("{{range $each := .Args}}{{$each}}{{.}}{{end}}", "ppqq"),
        ("{{$m := .Spec.Mode}}{{$m.Replicas}}{{$.ID}}", "3x1"),
        ("{{$n := 0}}{{range .Args}}{{$n = .}}{{end}}{{$n}}", "q"),
        ("{{with $m := .Spec.Mode}}{{.Replicas}}{{$m.Replicas}}{{end}}", "33"),
        ("{{if $n := .Name}}{{$n}}{{end}}", "web"),
        ("{{if .None}}a{{else if .On}}b{{else}}c{{end}}", "b"),
        ("{{if .None}}a{{else with .Name}}{{.}}{{end}}.", "web."),
        ("{{if .None.More}}a{{else}}{{.None}}{{end}}", NO_VALUE),
        ('{{printf "%-5s|%5s|%q|%v%%" .ID .Name .Name .On}}', 'x1   |  web|"web"|true%'),
        ('{{printf "%03d %.1f %x %t" .Spec.Mode.Replicas 2 255 .On}}', "003 2.0 ff true"),
        ("{{lt 1 2}}{{le 2 2}}{{gt 1 2}}{{ge .ID .Name}}", "truetruefalsetrue"),
    ],
)
def test_a_template_is_filled_in(template: str, text: str) -> None:
    assert render(template, THING, optional={"None"}) == text


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
        ("{{$x}}", r"no variable \$x"),
        ("{{$x = 1}}", r"no variable \$x"),
        ("{{range $x := .Args}}{{end}}{{$x}}", r"no variable \$x"),
        ("{{$a, $b := .Args}}", "two variables"),
        ("{{with $a, $b := .Args}}{{end}}", "two variables"),
        ("{{if .ID}}{{else foo .ID}}{{end}}", "cannot read"),
        ("{{if .ID}}{{end if}}", "cannot read"),
        ('{{printf "%d" .ID}}', "does not print 'x1'"),
        ('{{printf "%d"}}', "nothing is left"),
        ('{{printf "a" .ID}}', "no verb for 'x1'"),
        ("{{lt .ID 1}}", "cannot be compared"),
    ],
)
def test_a_mistake_in_a_template_is_named(template: str, words: str) -> None:
    with pytest.raises(Invalid, match=words):
        render(template, THING)


def test_an_unknown_field_is_answered_with_those_there_are() -> None:
    with pytest.raises(Invalid) as caught:
        render("{{.Nope}}", {"ID": "1", "Name": "2"})

    assert caught.value.hint == "there are .ID, .Name"


def test_an_optional_field_is_among_those_there_are() -> None:
    with pytest.raises(Invalid) as caught:
        render("{{.Nope}}", {"ID": "1"}, optional=("Status",))

    assert caught.value.hint == "there are .ID, .Status"


def test_backslashes_of_a_shell_are_tabs_and_line_ends() -> None:
    assert unescaped(r"{{.ID}}\t{{.Name}}\n") == "{{.ID}}\t{{.Name}}\n"


def test_fields_are_found_in_order() -> None:
    assert fields("{{.ID}} {{json .Labels}} {{ .Name }}") == ("ID", "Name")


@given(st.text(alphabet='{}.|()"` aI-$/*:=,', max_size=30))
def test_law_whatever_is_typed_is_printed_or_refused(template: str) -> None:
    try:
        render(template, THING)
    except Invalid:
        return
