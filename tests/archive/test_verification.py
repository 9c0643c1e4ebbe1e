"""What a verification says: that nothing is wrong where nothing is, and each figure by its name."""

import json

import pytest

from romae.archive.verification import Verification


def found(field, cases=1, bound=0.5):
    return {
        "field": field,
        "error": 0.125,
        "bound": bound,
        "time": "3.5 s",
        "case": 2,
        "cases": cases,
        "place": "y[2]",
        "source": 1.5,
        "archive": 1.625,
    }


def test_a_row_tells_each_figure_under_its_head():
    many = Verification("a.romae", 3, worst=[found("u"), found("v", cases=2), found("w", bound=0)])
    head, *rows = str(many).splitlines()[-4:]
    names = ["field", "worst error", "bound", "of bound", "time", "place", "source", "archive"]
    places = [head.index(n) for n in names]
    assert places == sorted(places)
    words = [" ".join(row.split()) for row in rows]
    assert words == [
        "u 0.125 0.5 25.0% 3.5 s y[2] 1.5 1.625",
        "v 0.125 0.5 25.0% 3.5 s of case 2 y[2] 1.5 1.625",
        "w 0.125 0 exact 3.5 s y[2] 1.5 1.625",
    ]


@pytest.mark.parametrize("problem", [[], ["chunk 2 is damaged"]])
def test_problems_decide_and_notes_do_not(problem):
    whole = Verification("a.romae", 1, problems=problem, notes=["without a source"])
    assert whole.ok == (not problem)
    lines = str(whole).splitlines()
    assert lines[0] == f"a.romae: {'NOT SOUND' if problem else 'sound'}, 1 chunk checked"
    assert lines[1:] == [*(f"  {p}" for p in problem), "  note: without a source"]
    told = json.loads(json.dumps(whole.to_dict()))
    assert told["ok"] == whole.ok
    assert (told["path"], told["chunks"], told["problems"]) == ("a.romae", 1, problem)
