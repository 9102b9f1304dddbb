import time

from idp.storage import deployment
from idp.storage.database import Database


async def test_the_first_value_is_remembered(database: Database) -> None:
    first = await database.transact(deployment.agree, name="issuer", value="https://one.example")
    second = await database.transact(deployment.agree, name="issuer", value="https://two.example")

    assert (first, second) == ("https://one.example", "https://one.example")


async def test_a_remembered_value_changes_on_an_operators_word(database: Database) -> None:
    await database.transact(deployment.agree, name="issuer", value="https://one.example")

    await database.transact(deployment.replace, name="issuer", value="https://two.example")

    assert await database.transact(deployment.agree, name="issuer", value="x") == "https://two.example"


async def test_the_database_tells_its_own_time(database: Database) -> None:
    before = time.time()

    told = await database.read(deployment.database_time)

    assert before - 1 < told < time.time() + 1
