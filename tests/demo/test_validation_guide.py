"""docs/validating-tokens.md and README.md: their programs, taken from the page, judge tokens right."""

import asyncio
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeAlias

import httpx
import pytest
import uvicorn
from playwright._impl._driver import compute_driver_executable

from idp.app import Provider
from idp.oauth.tokens import access_token
from idp.storage import grants
from tests.demo.issuer import AUDIENCE, Issuer, new_key
from tests.storage import rows
from tests.support.frozen_clock import FrozenClock
from tests.support.node import running_node
from tests.support.server_process import ROOT, IdpProcess, free_port, running_dev

GUIDE = "docs/validating-tokens.md"
PROGRAMS = [(GUIDE, "python"), (GUIDE, "js"), (GUIDE, "go"), (GUIDE, "java"), ("README.md", "python")]
# Playwright brings a Node.js of its own, so that a machine without one runs these tests too.
NODE = compute_driver_executable()[0]

# Go compiles its standard library once on each machine.
BUILD_SECONDS = 280
pytestmark = pytest.mark.timeout(300)

Judge: TypeAlias = Callable[[list[str]], list[str]]

CALLERS = {
    "python": """
import sys
for token in sys.argv[1:]:
    try:
        print("for", claims_of(token)["sub"])
    except jwt.PyJWTError as fault:
        print("refused", fault)
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
    "go": """
package main

import (
	"fmt"
	"os"
)

func main() {
	for _, token := range os.Args[1:] {
		claims, err := ClaimsOf(token)
		if err != nil {
			fmt.Println("refused", err)
		} else {
			fmt.Println("for", claims.Subject)
		}
	}
}
""",
    "java": """
public final class Main {
    public static void main(String[] tokens) {
        AccessTokens accessTokens = new AccessTokens();
        for (String token : tokens) {
            try {
                System.out.println("for " + accessTokens.claimsOf(token).get("sub"));
            } catch (Exception fault) {
                System.out.println("refused " + fault);
            }
        }
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
    """The page's program, for another issuer and API."""
    page = (ROOT / chosen.page).read_text(encoding="utf-8")
    found = re.search(rf"```{chosen.language}\n(.*?)```", page, re.DOTALL)
    assert found
    return found[1].replace("https://id.example.com", issuer).replace("https://api.example.com", audience)


def judge_with(chosen: Program, *, issuer: str, audience: str, folder: Path) -> Judge:
    """Put the page's program and a caller together; answer what judges tokens with them."""
    ours, caller = program(chosen, issuer=issuer, audience=audience), CALLERS[chosen.language]
    files: dict[str, str]
    match chosen.language:
        case "python":
            files, command = {"api.py": ours + caller}, [sys.executable, "api.py"]
        case "js":
            files, command = {"api.mjs": ours + caller}, [str(NODE), "api.mjs"]
        case "go":
            files = {"api.go": ours.replace("package api", "package main"), "main.go": caller}
            command = ["./judge"]
        case _:
            files = {"AccessTokens.java": ours, "Main.java": caller}
            command = [tool("java"), "-Xshare:auto", "Main"]
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    if chosen.language == "go":
        run([tool("go"), "build", "-o", "judge", *files], folder=folder)
    elif chosen.language == "java":
        run([tool("javac"), "-Xlint:all", "-Werror", *files], folder=folder)
    return lambda tokens: [line.strip() for line in run([*command, *tokens], folder=folder).splitlines()]


def tool(name: str) -> str:
    """Find a language's own tool, which tests/provision.sh brings."""
    found = shutil.which(name)
    assert found, f"{name} is not on this machine; tests/provision.sh installs it"
    return found


def run(command: list[str], *, folder: Path) -> str:
    # A toolchain looks for nothing on the net: what is not in the standard library is not in the program.
    own = {"GOTOOLCHAIN": "local", "GOPROXY": "off", "GO111MODULE": "off", "CGO_ENABLED": "0"}
    environment = os.environ | own
    answer = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=BUILD_SECONDS,
    )
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


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
    if chosen.page == GUIDE:
        issuer.revoked = {3}
        right += [issuer.access_token(status=issuer.status_of(index)) for index in (0, 2, 4, 11)]
        wrong += [
            issuer.access_token(status=issuer.status_of(3)),
            issuer.access_token(
                status={"status_list": {"idx": 0, "uri": issuer.address + "9/status-lists/0"}}
            ),
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


@asynccontextmanager
async def served(provider: Provider, *, port: int) -> AsyncIterator[None]:
    """Let programs of other processes reach a node of this one."""
    config = uvicorn.Config(
        provider.asgi, host="localhost", port=port, log_config=None, lifespan="off", ws="none"
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn tells it in no other way
        await asyncio.sleep(0.01)
    try:
        yield
    finally:
        server.should_exit = True
        await serving


@pytest.mark.parametrize("language", ["python", "js", "go", "java"])
async def test_the_programs_refuse_what_the_provider_took_back(
    sqlite_url: str, tmp_path: Path, language: str
) -> None:
    port, clock = free_port(), FrozenClock(datetime.now(UTC))
    issuer = f"http://localhost:{port}"
    judge = judge_with(Program(GUIDE, language), issuer=issuer, audience=AUDIENCE, folder=tmp_path)
    async with running_node(sqlite_url, clock, tmp_path, issuer=issuer) as node:
        transact, now = node.provider.database.transact, clock()
        grant = await transact(
            rows.insert_grant, rotated_at=now, resources=[AUDIENCE], expires_at=now + timedelta(days=1)
        )
        token = access_token.mint(
            grant,
            scopes=["orders:read"],
            audience=grant.resources,
            thumbprint=None,
            keyring=node.provider.keyring,
            settings=node.provider.settings,
            now=now,
        )
        await node.provider.status_lists.refresh(now=now)
        async with served(node.provider, port=port):
            before = await asyncio.to_thread(judge, [token])
            await transact(grants.revoke, grant_id=grant.id, reason="test", now=now)
            await node.provider.status_lists.refresh(now=now)
            after = await asyncio.to_thread(judge, [token])

    assert before == [f"for {grant.account_id}"]
    assert after[0].startswith("refused")
    assert "revoked" in after[0]
