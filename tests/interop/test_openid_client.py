import asyncio
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from joserfc.jwk import ECKey

from tests.interop.conftest import Register, Registered
from tests.support.javascript import NODE
from tests.support.person_at_browser import PersonAtBrowser
from tests.support.server_process import DevServer

SCRIPT = Path(__file__).parent / "openid_client.js"
CALLBACK = "https://app.example/callback"
SIGNED_OUT = "https://app.example/signed-out"
TIMEOUT_SECONDS = 60

pytestmark = pytest.mark.usefixtures("node_modules")


def web_app(register: Register, **metadata: object) -> Registered:
    return register(
        client_name="Web app",
        redirect_uris=[CALLBACK],
        post_logout_redirect_uris=[SIGNED_OUT],
        **metadata,
    )


async def run(
    dev: DevServer, person: PersonAtBrowser, app: Registered, **told: object
) -> dict[str, Any]:  # Any: what the script says at last.
    """Run the app; the person visits whatever address it names, and brings back where that led."""
    arguments = {
        "issuer": dev.issuer,
        "client_id": app["client_id"],
        "client_secret": app.get("client_secret"),
        "redirect_uri": CALLBACK,
        "post_logout_redirect_uri": SIGNED_OUT,
    } | told
    script = await asyncio.create_subprocess_exec(
        NODE,
        str(SCRIPT),
        json.dumps(arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert script.stdin
    assert script.stdout
    assert script.stderr
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while line := await script.stdout.readline():
                said: dict[str, Any] = json.loads(line)
                if "visit" not in said:
                    return said
                returned = await visit(person, said["visit"])
                script.stdin.write(f"{returned}\n".encode())
                await script.stdin.drain()
            raise AssertionError((await script.stderr.read()).decode())
    finally:
        script.stdin.close()
        if script.returncode is None:
            await script.communicate()


async def visit(person: PersonAtBrowser, address: str) -> str:
    """Answer the address, with its parameters, at which the person came back to the app."""
    target = SIGNED_OUT if "/logout" in address else CALLBACK
    outcome = await person.visit(address, redirect_uri=target)
    return f"{target}?{urlencode(outcome.answer)}"


def assert_went_all_the_way(told: dict[str, Any]) -> None:
    subject = told["claims"]["sub"]
    assert told["userinfo"]["sub"] == told["again"]["sub"] == told["refreshed_claims"]["sub"] == subject
    assert told["userinfo"]["name"] == "Ada Lovelace"
    assert told["userinfo"]["email"] == "ada@example.com"
    assert told["refreshed_claims"]["auth_time"] == told["claims"]["auth_time"]
    assert told["has_rotated"]
    assert told["was_active"]
    assert not told["is_active"]
    assert told["has_state"]


async def test_openid_client_signs_in_refreshes_asks_revokes_and_signs_out(
    dev: DevServer, person: PersonAtBrowser, register: Register
) -> None:
    app = web_app(register)
    told = await run(dev, person, app)
    assert_went_all_the_way(told)
    assert told["token_type"] == "bearer"


async def test_openid_client_does_so_with_key_pushed_request_dpop_and_signed_userinfo(
    dev: DevServer, person: PersonAtBrowser, register: Register
) -> None:
    key = ECKey.generate_key("P-256", parameters={"kid": "app", "alg": "ES256", "use": "sig"})
    app = web_app(
        register,
        token_endpoint_auth_method="private_key_jwt",
        jwks={"keys": [key.as_dict(private=False)]},
        dpop_bound_access_tokens=True,
        require_pushed_authorization_requests=True,
        userinfo_signed_response_alg="RS256",
    )
    told = await run(
        dev,
        person,
        app,
        private_jwk=key.as_dict(private=True),
        pushes=True,
        dpop=True,
        userinfo_signed_response_alg="RS256",
    )
    assert_went_all_the_way(told)
    assert told["token_type"] == "dpop"
    assert told["userinfo"]["aud"] == app["client_id"]
