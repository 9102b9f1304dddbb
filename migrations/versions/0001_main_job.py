"""The main job: people, passkeys, sessions, clients, grants, keys, the outbox and the audit log.

A frozen copy of the schema as it was; idp/storage/tables.py goes on without it.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None

instant = sa.DateTime(timezone=True).with_variant(sa.BigInteger(), "sqlite")
json = sa.JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

deployment = sa.Table(
    "deployment",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)

accounts = sa.Table(
    "accounts",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("user_handle", sa.LargeBinary, nullable=False, unique=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("role", sa.Text),
    sa.Column("token_epoch", sa.Integer, nullable=False, server_default="0"),
    sa.Column("notice", json),
    sa.Column("profile", json),
    sa.Column("created_at", instant, nullable=False),
    sa.Column("updated_at", instant, nullable=False),
    sa.CheckConstraint("status IN ('pending', 'active', 'disabled', 'deleted')", name="status"),
)
sa.Index("ix_accounts_pending", accounts.c.created_at, postgresql_where=accounts.c.status == "pending")

email_addresses = sa.Table(
    "email_addresses",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column(
        "account_id", sa.Text, sa.ForeignKey("accounts.id", ondelete="CASCADE"), nullable=False, index=True
    ),
    sa.Column("address", sa.Text, nullable=False),
    sa.Column("normalized", sa.Text, nullable=False, index=True),
    sa.Column("is_primary", sa.Boolean, nullable=False),
    sa.Column("verified_at", instant),
    sa.Column("created_at", instant, nullable=False),
    sa.UniqueConstraint("account_id", "normalized"),
)
# Only a verified address is a person's: anyone may claim one, one account alone may hold it.
sa.Index(
    "uq_email_addresses_verified",
    email_addresses.c.normalized,
    unique=True,
    postgresql_where=email_addresses.c.verified_at.is_not(None),
    sqlite_where=email_addresses.c.verified_at.is_not(None),
)

email_verifications = sa.Table(
    "email_verifications",
    metadata,
    sa.Column("token_sha256", sa.LargeBinary, primary_key=True),
    sa.Column(
        "email_address_id",
        sa.Text,
        sa.ForeignKey("email_addresses.id", ondelete="CASCADE"),
        nullable=False,
        index=True,
    ),
    sa.Column("created_at", instant, nullable=False),
    sa.Column("expires_at", instant, nullable=False, index=True),
    sa.Column("used_at", instant),
)

enrolments = sa.Table(
    "enrolments",
    metadata,
    sa.Column("token_sha256", sa.LargeBinary, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column(
        "account_id", sa.Text, sa.ForeignKey("accounts.id", ondelete="CASCADE"), nullable=False, index=True
    ),
    sa.Column("browser_sha256", sa.LargeBinary),
    sa.Column("created_at", instant, nullable=False),
    sa.Column("expires_at", instant, nullable=False, index=True),
    sa.Column("used_at", instant),
    sa.CheckConstraint("kind IN ('sign_up', 'invitation', 'first_administrator', 'recovery')", name="kind"),
)

credentials = sa.Table(
    "credentials",
    metadata,
    sa.Column("id", sa.LargeBinary, primary_key=True),
    sa.Column(
        "account_id", sa.Text, sa.ForeignKey("accounts.id", ondelete="CASCADE"), nullable=False, index=True
    ),
    sa.Column("rp_id", sa.Text, nullable=False),
    sa.Column("public_key", sa.LargeBinary, nullable=False),
    sa.Column("sign_count", sa.BigInteger, nullable=False),
    sa.Column("transports", json, nullable=False),
    sa.Column("aaguid", sa.Text, nullable=False),
    sa.Column("backup_eligible", sa.Boolean, nullable=False),
    sa.Column("backed_up", sa.Boolean, nullable=False),
    sa.Column("user_verified", sa.Boolean, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("suspected_clone_at", instant),
    sa.Column("created_at", instant, nullable=False),
    sa.Column("last_used_at", instant),
)

ceremonies = sa.Table(
    "ceremonies",
    metadata,
    sa.Column("challenge", sa.LargeBinary, primary_key=True),
    sa.Column("purpose", sa.Text, nullable=False),
    sa.Column("browser_sha256", sa.LargeBinary, nullable=False),
    sa.Column("account_id", sa.Text, sa.ForeignKey("accounts.id", ondelete="CASCADE"), index=True),
    sa.Column("enrolment_sha256", sa.LargeBinary),
    sa.Column("credential_ids", json),
    sa.Column("created_at", instant, nullable=False),
    sa.Column("expires_at", instant, nullable=False, index=True),
    sa.Column("used_at", instant),
    sa.CheckConstraint("purpose IN ('sign_in', 'enrol', 'add', 'confirm')", name="purpose"),
)

browser_sessions = sa.Table(
    "browser_sessions",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("cookie_sha256", sa.LargeBinary, nullable=False, unique=True),
    sa.Column(
        "account_id", sa.Text, sa.ForeignKey("accounts.id", ondelete="CASCADE"), nullable=False, index=True
    ),
    sa.Column("account_epoch", sa.Integer, nullable=False),
    sa.Column("credential_id", sa.LargeBinary),
    sa.Column("auth_time", instant, nullable=False),
    sa.Column("amr", json, nullable=False),
    sa.Column("acr", sa.Text, nullable=False),
    sa.Column("user_agent", sa.Text, nullable=False),
    sa.Column("address", sa.Text, nullable=False),
    sa.Column("created_at", instant, nullable=False),
    sa.Column("last_seen_at", instant, nullable=False),
    sa.Column("expires_at", instant, nullable=False, index=True),
    sa.Column("ended_at", instant),
)

confirmations = sa.Table(
    "confirmations",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column(
        "account_id", sa.Text, sa.ForeignKey("accounts.id", ondelete="CASCADE"), nullable=False, index=True
    ),
    sa.Column("session_id", sa.Text, nullable=False, index=True),
    sa.Column("operation", sa.LargeBinary, nullable=False),
    sa.Column("challenge", sa.LargeBinary, nullable=False),
    sa.Column("address", sa.Text, nullable=False),
    sa.Column("created_at", instant, nullable=False),
    sa.Column("expires_at", instant, nullable=False, index=True),
    sa.Column("answered_at", instant),
    sa.Column("confirmed_at", instant),
    sa.Column("used_at", instant),
)

confirmation_receipts = sa.Table(
    "confirmation_receipts",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("account_id", sa.Text, nullable=False, index=True),
    sa.Column("operation", sa.LargeBinary, nullable=False),
    sa.Column("credential_id", sa.LargeBinary, nullable=False),
    sa.Column("public_key", sa.LargeBinary, nullable=False),
    sa.Column("rp_id", sa.Text, nullable=False),
    sa.Column("origins", json, nullable=False),
    sa.Column("client_data_json", sa.LargeBinary, nullable=False),
    sa.Column("authenticator_data", sa.LargeBinary, nullable=False),
    sa.Column("signature", sa.LargeBinary, nullable=False),
    sa.Column("confirmed_at", instant, nullable=False),
)

passkey_nudges = sa.Table(
    "passkey_nudges",
    metadata,
    sa.Column("account_id", sa.Text, sa.ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("shown_at", instant, nullable=False),
)

account_deletions = sa.Table(
    "account_deletions",
    metadata,
    sa.Column("account_id", sa.Text, sa.ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("requested_at", instant, nullable=False),
    sa.Column("due_at", instant, nullable=False, index=True),
)

clients = sa.Table(
    "clients",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("metadata", json, nullable=False),
    sa.Column("is_first_party", sa.Boolean, nullable=False),
    sa.Column("token_epoch", sa.Integer, nullable=False, server_default="0"),
    sa.Column("version", sa.Integer, nullable=False, server_default="1"),
    sa.Column("disabled_at", instant),
    sa.Column("created_at", instant, nullable=False),
    sa.Column("updated_at", instant, nullable=False),
)

client_secrets = sa.Table(
    "client_secrets",
    metadata,
    sa.Column("secret_sha256", sa.LargeBinary, primary_key=True),
    sa.Column(
        "client_id", sa.Text, sa.ForeignKey("clients.id", ondelete="CASCADE"), nullable=False, index=True
    ),
    sa.Column("created_at", instant, nullable=False),
    sa.Column("expires_at", instant),
)

connections = sa.Table(
    "connections",
    metadata,
    sa.Column("account_id", sa.Text, sa.ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True),
    sa.Column(
        "client_id", sa.Text, sa.ForeignKey("clients.id", ondelete="CASCADE"), primary_key=True, index=True
    ),
    sa.Column("scopes", json, nullable=False),
    sa.Column("token_epoch", sa.Integer, nullable=False, server_default="0"),
    sa.Column("withdrawn_at", instant),
    sa.Column("created_at", instant, nullable=False),
    sa.Column("last_used_at", instant, nullable=False),
)

interactions = sa.Table(
    "interactions",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("browser_sha256", sa.LargeBinary, nullable=False, index=True),
    sa.Column("client_id", sa.Text, nullable=False),
    sa.Column("parameters", json, nullable=False),
    sa.Column("created_at", instant, nullable=False),
    sa.Column("expires_at", instant, nullable=False, index=True),
    sa.Column("consented_at", instant),
    sa.Column("consented_by", sa.Text),
    sa.Column("denied_at", instant),
    sa.Column("used_at", instant),
)

grants = sa.Table(
    "grants",
    metadata,
    sa.Column("id", sa.LargeBinary, primary_key=True),
    sa.Column("secret_sha256", sa.LargeBinary, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("generation", sa.Integer, nullable=False),
    sa.Column("client_id", sa.Text, nullable=False, index=True),
    sa.Column("account_id", sa.Text, nullable=False, index=True),
    sa.Column("session_id", sa.Text, nullable=False, index=True),
    sa.Column("outlives_session", sa.Boolean, nullable=False),
    sa.Column("account_epoch", sa.Integer, nullable=False),
    sa.Column("client_epoch", sa.Integer, nullable=False),
    sa.Column("connection_epoch", sa.Integer, nullable=False),
    sa.Column("redirect_uri", sa.Text, nullable=False),
    sa.Column("code_challenge", sa.Text, nullable=False),
    sa.Column("nonce", sa.Text),
    sa.Column("scope", sa.Text, nullable=False),
    sa.Column("resources", json, nullable=False),
    sa.Column("claims", json),
    sa.Column("auth_time", instant, nullable=False),
    sa.Column("amr", json, nullable=False),
    sa.Column("acr", sa.Text, nullable=False),
    sa.Column("proof_key_thumbprint", sa.Text),
    sa.Column("status_index", sa.BigInteger, nullable=False, unique=True),
    sa.Column("created_at", instant, nullable=False),
    sa.Column("code_expires_at", instant, nullable=False),
    sa.Column("expires_at", instant, nullable=False, index=True),
    sa.Column("idle_expires_at", instant, nullable=False),
    sa.Column("rotated_at", instant),
    sa.Column("previously_rotated_at", instant),
    sa.Column("retries", sa.SmallInteger, nullable=False, server_default="0"),
    sa.Column("retry_streak", sa.SmallInteger, nullable=False, server_default="0"),
    sa.Column("revoked_at", instant),
    sa.Column("revoked_reason", sa.Text),
    sa.CheckConstraint("status IN ('active', 'revoked')", name="status"),
    sa.CheckConstraint("generation >= 0", name="generation"),
)
sa.Index(
    "ix_grants_revoked",
    grants.c.revoked_at,
    postgresql_where=grants.c.status == "revoked",
    sqlite_where=grants.c.status == "revoked",
)
sa.Sequence("grant_status_index", data_type=sa.BigInteger, start=0, minvalue=0, metadata=metadata)

token_endings = sa.Table(
    "token_endings",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("account_id", sa.Text),
    sa.Column("client_id", sa.Text),
    sa.Column("epoch", sa.Integer, nullable=False),
    sa.Column("ended_at", instant, nullable=False, index=True),
    sa.CheckConstraint("kind IN ('account', 'client', 'connection')", name="kind"),
)

replayed_ids = sa.Table(
    "replayed_ids",
    metadata,
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("id_sha256", sa.LargeBinary, primary_key=True),
    sa.Column("expires_at", instant, nullable=False, index=True),
)

pushed_requests = sa.Table(
    "pushed_requests",
    metadata,
    sa.Column("reference_sha256", sa.LargeBinary, primary_key=True),
    sa.Column("client_id", sa.Text, nullable=False),
    sa.Column("parameters", json, nullable=False),
    sa.Column("created_at", instant, nullable=False),
    sa.Column("expires_at", instant, nullable=False, index=True),
    sa.Column("used_at", instant),
)

signing_keys = sa.Table(
    "signing_keys",
    metadata,
    sa.Column("kid", sa.Text, primary_key=True),
    sa.Column("sequence", sa.Integer, nullable=False, unique=True),
    sa.Column("algorithm", sa.Text, nullable=False),
    sa.Column("public_jwk", json, nullable=False),
    sa.Column("private_key_encrypted", sa.LargeBinary, nullable=False),
    sa.Column("created_at", instant, nullable=False),
    sa.Column("activates_at", instant, nullable=False),
    sa.Column("retires_at", instant),
    sa.Column("gone_at", instant),
)

outbox = sa.Table(
    "outbox",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("recipient", sa.Text, nullable=False),
    sa.Column("payload_encrypted", sa.LargeBinary),
    sa.Column("account_id", sa.Text),
    sa.Column("session_id", sa.Text, index=True),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("created_at", instant, nullable=False),
    sa.Column("next_attempt_at", instant, nullable=False),
    sa.Column("done_at", instant),
    sa.Column("outcome", sa.Text),
)
sa.Index(
    "ix_outbox_waiting",
    outbox.c.next_attempt_at,
    postgresql_where=outbox.c.done_at.is_(None),
    sqlite_where=outbox.c.done_at.is_(None),
)

sign_outs = sa.Table(
    "sign_outs",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("browser_sha256", sa.LargeBinary, nullable=False),
    sa.Column("session_id", sa.Text, nullable=False),
    sa.Column("ended_session_ids", json, nullable=False),
    sa.Column("client_id", sa.Text),
    sa.Column("return_uri", sa.Text),
    sa.Column("returns_by_itself", sa.Boolean, nullable=False),
    sa.Column("created_at", instant, nullable=False),
    sa.Column("expires_at", instant, nullable=False, index=True),
    sa.Column("shown_at", instant),
)

audit_log = sa.Table(
    "audit_log",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("at", instant, nullable=False),
    sa.Column("event", sa.Text, nullable=False),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("reason", sa.Text),
    sa.Column("actor", sa.Text),
    sa.Column("account_id", sa.Text, index=True),
    sa.Column("client_id", sa.Text),
    sa.Column("address", sa.Text),
    sa.Column("request_id", sa.Text),
    sa.Column("details", json, nullable=False),
)

# Revoked never comes back, and a counter never falls, whatever a query says.
POSTGRESQL_GUARD = (
    """
    CREATE FUNCTION grants_only_forward() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'a grant only goes forward' USING ERRCODE = 'check_violation';
    END $$
    """,
    """
    CREATE TRIGGER grants_only_forward BEFORE UPDATE ON grants FOR EACH ROW
    WHEN ((OLD.status = 'revoked' AND NEW.status <> 'revoked') OR NEW.generation < OLD.generation)
    EXECUTE FUNCTION grants_only_forward()
    """,
    # Rotation changes no indexed column: room on each page keeps it a heap-only update.
    "ALTER TABLE grants SET (fillfactor = 70)",
)
SQLITE_GUARD = (
    """
    CREATE TRIGGER grants_only_forward BEFORE UPDATE ON grants FOR EACH ROW
    WHEN (OLD.status = 'revoked' AND NEW.status <> 'revoked') OR NEW.generation < OLD.generation
    BEGIN
        SELECT RAISE(ABORT, 'a grant only goes forward');
    END
    """,
)


def upgrade() -> None:
    connection = op.get_bind()
    metadata.create_all(connection, checkfirst=False)
    for statement in POSTGRESQL_GUARD if connection.dialect.name == "postgresql" else SQLITE_GUARD:
        op.execute(statement)
