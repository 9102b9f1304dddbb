// oidc-provider's storage on PostgreSQL, as its owner would want it measured: one table, an index for each
// question it asks, prepared statements, one pool, and no round trip that is not asked for.
import pg from 'pg';

export const pool = new pg.Pool({
  connectionString: process.env.PEER_DATABASE_URL,
  max: Number(process.env.PEER_POOL_SIZE ?? 10),
});

export async function prepareDatabase() {
  await pool.query(`
    CREATE TABLE IF NOT EXISTS oidc_payloads (
      model text NOT NULL,
      id text NOT NULL,
      payload json NOT NULL,
      grant_id text,
      user_code text,
      uid text,
      consumed_at bigint,
      expires_at timestamptz,
      PRIMARY KEY (model, id)
    );
    CREATE INDEX IF NOT EXISTS oidc_payloads_grant ON oidc_payloads (grant_id) WHERE grant_id IS NOT NULL;
    CREATE INDEX IF NOT EXISTS oidc_payloads_uid ON oidc_payloads (uid) WHERE uid IS NOT NULL;
    CREATE INDEX IF NOT EXISTS oidc_payloads_code ON oidc_payloads (user_code) WHERE user_code IS NOT NULL;
  `);
}

const UPSERT = `
  INSERT INTO oidc_payloads (model, id, payload, grant_id, user_code, uid, expires_at)
  VALUES ($1, $2, $3, $4, $5, $6, $7)
  ON CONFLICT (model, id) DO UPDATE SET payload = excluded.payload, grant_id = excluded.grant_id,
    user_code = excluded.user_code, uid = excluded.uid, expires_at = excluded.expires_at`;
const FIND = `
  SELECT payload, consumed_at FROM oidc_payloads
  WHERE model = $1 AND id = $2 AND (expires_at IS NULL OR expires_at > now())`;
const FIND_BY_UID = FIND.replace('id = $2', 'uid = $2');
const FIND_BY_USER_CODE = FIND.replace('id = $2', 'user_code = $2');

export class PostgresqlAdapter {
  constructor(model) {
    this.model = model;
  }

  async upsert(id, payload, expiresIn) {
    const expiresAt = expiresIn ? new Date(Date.now() + expiresIn * 1000) : null;
    const values = [
      this.model, id, JSON.stringify(payload), payload.grantId ?? null, payload.userCode ?? null,
      payload.uid ?? null, expiresAt,
    ];
    await pool.query({ name: 'upsert', text: UPSERT, values });
  }

  find(id) {
    return this.#one('find', FIND, id);
  }

  findByUid(uid) {
    return this.#one('find_by_uid', FIND_BY_UID, uid);
  }

  findByUserCode(userCode) {
    return this.#one('find_by_user_code', FIND_BY_USER_CODE, userCode);
  }

  async consume(id) {
    await pool.query({
      name: 'consume',
      text: 'UPDATE oidc_payloads SET consumed_at = $3 WHERE model = $1 AND id = $2',
      values: [this.model, id, Math.floor(Date.now() / 1000)],
    });
  }

  async destroy(id) {
    await pool.query({
      name: 'destroy',
      text: 'DELETE FROM oidc_payloads WHERE model = $1 AND id = $2',
      values: [this.model, id],
    });
  }

  async revokeByGrantId(grantId) {
    await pool.query({
      name: 'revoke_by_grant_id',
      text: 'DELETE FROM oidc_payloads WHERE grant_id = $1',
      values: [grantId],
    });
  }

  async #one(name, text, key) {
    const { rows } = await pool.query({ name, text, values: [this.model, key] });
    if (rows.length === 0) {
      return undefined;
    }
    const [{ payload, consumed_at: consumedAt }] = rows;
    return consumedAt ? { ...payload, consumed: Number(consumedAt) } : payload;
  }
}
