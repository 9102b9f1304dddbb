"""docs/validating-tokens.md and README.md: their programs, taken from the page, judge tokens right."""

import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import httpx
import pytest
from playwright._impl._driver import compute_driver_executable

from tests.demo.issuer import AUDIENCE, Issuer, new_key
from tests.support.server_process import ROOT, IdpProcess, running_dev

GUIDE = "docs/validating-tokens.md"
PROGRAMS = [(GUIDE, "python"), (GUIDE, "js"), ("README.md", "python")]
# Playwright brings a Node.js of its own, so that a machine without one runs these tests too.
NODE = compute_driver_executable()[0]

Judge: TypeAlias = Callable[[list[str]], list[str]]

CALLERS = {
    "python": """
import sys
for token in sys.argv[1:]:
    try:
        print("for", claims_of(token)["sub"])
    except jwt.PyJWTError as fault:
        print("refused", type(fault).__name__)
""",
    "js": """
for (const token of process.argv.slice(2)) {
  try {
    console.log("for", (await claimsOf(token)).sub);
  } catch (fault) {
    console.log("refused", fault.message);
  }
}
""",
}


@dataclass(frozen=True)
class Program:
    """A program on a page."""

    page: str
    language: str


def program(chosen: Program, *, issuer: str, audience: str) -> str:
    """The page's program, for another issuer and API, with a caller for tests behind it."""
    page = (ROOT / chosen.page).read_text(encoding="utf-8")
    found = re.search(rf"```{chosen.language}\n(.*?)```", page, re.DOTALL)
    assert found
    ours = found[1].replace("https://id.example.com", issuer).replace("https://api.example.com", audience)
    return ours + CALLERS[chosen.language]


def judge_with(chosen: Program, *, issuer: str, audience: str, folder: Path) -> Judge:
    is_node = chosen.language == "js"
    file = folder / ("api.mjs" if is_node else "api.py")
    file.write_text(program(chosen, issuer=issuer, audience=audience), encoding="utf-8")
    interpreter = str(NODE) if is_node else sys.executable

    def judge(tokens: list[str]) -> list[str]:
        answer = subprocess.run(
            [interpreter, str(file), *tokens], capture_output=True, text=True, check=False, timeout=60
        )
        assert answer.returncode == 0, answer.stderr
        return [line.strip() for line in answer.stdout.splitlines()]

    return judge


@pytest.fixture(params=PROGRAMS, ids=lambda program: f"{program[1]}-{program[0]}")
def chosen(request: pytest.FixtureRequest) -> Program:
    return Program(*request.param)


def test_the_programs_accept_a_right_token_and_refuse_each_wrong_one(
    issuer: Issuer, chosen: Program, tmp_path: Path
) -> None:
    judge = judge_with(chosen, issuer=issuer.address, audience=AUDIENCE, folder=tmp_path)
    right = [
        issuer.access_token(),
        issuer.access_token(typ="application/at+jwt"),
        issuer.access_token(aud=["https://other.example", AUDIENCE]),
    ]
    header, payload, signature = issuer.access_token().split(".")
    wrong = [
        issuer.access_token(iss="https://other.example"),
        issuer.access_token(aud="https://other.example"),
        issuer.access_token(aud=None),
        issuer.access_token(exp=int(time.time()) - 30),
        issuer.access_token(exp=None),
        issuer.access_token(cnf={"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}),
        issuer.access_token(typ="JWT"),
        issuer.id_token(nonce=None, access_token="x", aud=AUDIENCE),
        issuer.access_token(key=new_key("one")),
        issuer.access_token(key=new_key("unknown")),
        f"{header}.{payload}.",
        f"{header}.{payload}",
        f"{header}.{payload[:-4]}AAAA.{signature}",
        "x",
    ]
    answers = judge([*right, *wrong])
    assert answers[: len(right)] == ["for ada"] * len(right)
    assert [answer.split()[0] for answer in answers[len(right) :]] == ["refused"] * len(wrong), answers


def test_the_programs_accept_what_a_running_server_issues(chosen: Program, tmp_path: Path) -> None:
    audience = "https://orders.example.com"
    with running_dev(tmp_path) as dev:
        registered = IdpProcess(
            *("client", "create", "--name", "Night job", "--grant-type", "client_credentials"),
            *("--audience", audience),
            folder=tmp_path,
            environment={"IDP_ISSUER": dev.issuer},
        )
        assert registered.wait() == 0, registered.output
        printed = dict(re.findall(r"^(client_id|client_secret): (\S+)$", registered.output, re.MULTILINE))
        answer = httpx.post(
            f"{dev.issuer}/token",
            data={"grant_type": "client_credentials", "resource": audience},
            auth=(printed["client_id"], printed["client_secret"]),
        )
        assert answer.status_code == 200, answer.text
        token = answer.json()["access_token"]
        judge = judge_with(chosen, issuer=dev.issuer, audience=audience, folder=tmp_path)
        assert judge([token]) == [f"for {printed['client_id']}"]
        another = judge_with(chosen, issuer=dev.issuer, audience="https://other.example", folder=tmp_path)
        assert another([token])[0].startswith("refused")
