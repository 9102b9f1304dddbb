"""The grant against a short model: whatever order things happen in, both say the same."""

import asyncio
import shutil
import tempfile
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from idp.oauth import grant_token
from idp.oauth.grant_token import GrantTokenKeys
from idp.storage import grants
from tests.support.frozen_clock import FrozenClock
from tests.support.node import MASTER_KEY, App, Node, Person, running_node

KEYS = GrantTokenKeys(newest=MASTER_KEY.key_id, keys={MASTER_KEY.key_id: MASTER_KEY.derive("grant tokens")})
WINDOW = 30
IDLE = 7 * 86_400
ABSOLUTE = 30 * 86_400
CODE = 60


@dataclass
class Model:
    """All that decides about one grant, in a dozen lines."""

    generation: int = 0
    alive: bool = True
    age: int = 0
    idle: int = 0
    since_rotation: int = 10**9
    since_previous: int = 10**9
    retries: int = 0

    def pass_time(self, seconds: int) -> None:
        self.age += seconds
        self.idle += seconds
        self.since_rotation += seconds
        self.since_previous += seconds

    def advance(self, to: int) -> int:
        self.generation, self.idle, self.retries = to, 0, 0
        self.since_previous, self.since_rotation = self.since_rotation, 0
        return to

    def redeem(self) -> int | None:
        if not self.alive or self.age >= ABSOLUTE or self.idle >= IDLE:
            return None
        if self.generation > 0:
            self.alive = False
            return None
        return None if self.age >= CODE else self.advance(1)

    def present(self, generation: int) -> int | None:
        if not self.alive or self.age >= ABSOLUTE or self.idle >= IDLE:
            return None
        if generation == self.generation:
            return self.advance(generation + 1)
        if generation > self.generation:
            return self.advance(generation + 1)
        if generation == self.generation - 1 and self.since_rotation < WINDOW and self.retries < 5:
            self.retries += 1
            return self.generation
        if generation == self.generation - 2 and self.since_previous < WINDOW:
            return None
        self.alive = False
        return None


class GrantMachine(RuleBasedStateMachine):
    """Issue, redeem, rotate, retry, be late, reuse, go forward, revoke, expire: in any order."""

    database_url = ""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = Path(tempfile.mkdtemp())
        self.clock = FrozenClock()
        self.context = running_node(
            self.database_url,
            self.clock,
            self.folder,
            # Each run shares the database with the one before, so only its own grant may be revoked.
            tokens={"reuse_revokes": "grant"},
        )
        self.node: Node = self.loop.run_until_complete(self.context.__aenter__())
        self.model = Model()
        self.app: App
        self.person: Person
        self.code = ""
        self.secret = b""
        self.grant_id = b""

    def teardown(self) -> None:
        self.loop.run_until_complete(self.context.__aexit__(None, None, None))
        self.loop.close()
        shutil.rmtree(self.folder)

    def sealed(self, generation: int) -> str:
        return grant_token.seal(KEYS, grant_id=self.grant_id, generation=generation, secret=self.secret)

    @initialize()
    def issue(self) -> None:
        run = self.loop.run_until_complete
        self.app = run(self.node.app())
        self.person = run(self.node.person(f"{id(self)}-{self.app.id}@example.com"))
        self.code = run(self.node.code(self.app, self.person))
        opened = grant_token.open_token(KEYS, self.code)
        assert opened is not None
        self.secret, self.grant_id = opened.secret, opened.grant_id

    @rule()
    def redeem(self) -> None:
        expected = self.model.redeem()
        self.check(self.loop.run_until_complete(self.node.redeem(self.app, self.code)).json(), expected)

    @precondition(lambda self: self.model.generation > 0)
    @rule(offset=st.integers(-3, 2))
    def present(self, offset: int) -> None:
        generation = max(1, self.model.generation + offset)
        expected = self.model.present(generation)
        token = self.sealed(generation)
        self.check(self.loop.run_until_complete(self.node.refresh(self.app, token)).json(), expected)

    @rule(seconds=st.sampled_from([1, 15, 29, 30, 31, 59, 60, 3600, IDLE - 1, IDLE]))
    def wait(self, seconds: int) -> None:
        self.model.pass_time(seconds)
        self.clock.advance(timedelta(seconds=seconds))

    @rule()
    def revoke(self) -> None:
        self.model.alive = False
        self.loop.run_until_complete(
            self.node.provider.database.transact(
                grants.revoke, grant_id=self.grant_id, reason="test", now=self.clock()
            )
        )

    def check(self, answer: dict[str, str], expected: int | None) -> None:
        if expected is None:
            assert answer["error"] == "invalid_grant"
        else:
            assert answer["refresh_token"] == self.sealed(expected)
        row = self.loop.run_until_complete(
            self.node.provider.database.read(grants.find, grant_id=self.grant_id)
        )
        assert row is not None
        assert row.generation == self.model.generation
        assert (row.status == "active") == self.model.alive


def test_any_sequence_of_events_agrees_with_the_model(database_url: str) -> None:
    machine = type("Machine", (GrantMachine,), {"database_url": database_url})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=25,
            stateful_step_count=15,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
