//! Grants as rows: read, put, removed, watched.

use std::time::Duration;

use tokio_postgres::types::Type;

use crate::store::stored::{FARTHEST, FARTHEST_RETRY, Former, name_of, seal, standing_of, understood, what_stays};
use crate::store::{CHANGES, Due, Facts, Grant, GrantKey, NewTokens, StoreError, Tally};
use crate::words::{BankName, Timestamp};

use super::rows::{self, get, integer, millis, moment, number};
use super::{Desk, keys};

/// How often a row is looked at anew because others changed it meanwhile.
pub(super) const TRIES: usize = 16;
/// How many idle grants are set aside at once.
const SET_ASIDE: usize = 1000;
/// Takes the number of a change; what follows changes a grant.
pub(super) const NEXT: &str = "WITH next AS (UPDATE bankside.meta SET change = change + 1 RETURNING change)";
/// Tells all replicas of the change.
pub(super) const TELL: &str = "RETURNING pg_notify('bankside', grants.bank || '/' || grants.name)";

/// What a row is to become.
pub(super) struct Change<'a> {
    /// Nothing happens where the row has another version by now; 0 is that of no row.
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) tokens: &'a NewTokens,
    /// A person gave it at this moment. Else it is a renewal, which leaves consent and use as they are.
    pub(super) given: bool,
}

pub(super) async fn load(desk: &mut Desk, key: &GrantKey) -> Result<Option<Grant>, StoreError> {
    let stored = rows::find(desk, key).await?.map(|(stored, _)| stored).filter(|stored| !stored.removed);
    stored.map(|stored| stored.unseal(&desk.sealer)).transpose()
}

pub(super) async fn facts(desk: &mut Desk, key: &GrantKey) -> Result<Option<Facts>, StoreError> {
    let stored = rows::find(desk, key).await?.map(|(stored, _)| stored).filter(|stored| !stored.removed);
    Ok(stored.map(|stored| stored.facts))
}

pub(super) async fn list(desk: &mut Desk, bank: &BankName) -> Result<Vec<Facts>, StoreError> {
    Ok(rows::all(desk, bank).await?.into_iter().map(|stored| stored.facts).collect())
}

pub(super) async fn tally(desk: &mut Desk, bank: &BankName) -> Result<Vec<Tally>, StoreError> {
    let select = "SELECT standing, lease_until > clock.now AND lease_until <= clock.now + $2 AS leased, \
                  sent_at IS NOT NULL AS sent, coalesce(expires_at <= clock.now, FALSE) AS expired, \
                  count(*) AS number, min(consent_at) AS first \
                  FROM bankside.grants, (SELECT bankside.now() AS now OFFSET 0) AS clock \
                  WHERE bank = $1 AND standing <> 'removed' GROUP BY 1, 2, 3, 4";
    let farthest = i64::try_from(FARTHEST.as_millis()).unwrap_or(i64::MAX);
    let rows = desk.connection.query(select, &[(&bank.as_str(), Type::TEXT), (&farthest, Type::INT8)]).await?;
    let mut tallies = Vec::new();
    for row in &rows {
        let Some(standing) = understood(bank, standing_of(get(row, "standing")?)) else { continue };
        tallies.push(Tally {
            standing,
            leased: get(row, "leased")?,
            sent: get(row, "sent")?,
            expired: get(row, "expired")?,
            count: number(get(row, "number")?)?,
            first_consent: get::<Option<i64>>(row, "first")?.map(moment),
        });
    }
    Ok(tallies)
}

pub(super) async fn put(desk: &mut Desk, key: &GrantKey, tokens: &NewTokens) -> Result<Grant, StoreError> {
    for _ in 0..TRIES {
        // Nothing else of what stands there: if it is not understood, this mends it.
        let (from, _) = former(desk, key).await?;
        if write(desk, key, Change { from, to: from + 1, tokens, given: true }).await? {
            return load(desk, key).await?.ok_or(StoreError::Damaged { what: "grant" });
        }
    }
    Err(StoreError::Crowded)
}

pub(super) async fn put_again(
    desk: &mut Desk,
    key: &GrantKey,
    tokens: &NewTokens,
    before: Former,
) -> Result<Option<Grant>, StoreError> {
    for _ in 0..TRIES {
        let (from, consent) = former(desk, key).await?;
        if before.was_replaced_by(consent)
            && let Some(stands) = what_stays(load(desk, key).await)
        {
            return stands;
        }
        if write(desk, key, Change { from, to: from + 1, tokens, given: true }).await? {
            return load(desk, key).await;
        }
    }
    Err(StoreError::Crowded)
}

pub(super) async fn consented_at(desk: &mut Desk, key: &GrantKey) -> Result<Option<Timestamp>, StoreError> {
    Ok(former(desk, key).await?.1)
}

/// The version of what stands there, and when a person consented to it.
async fn former(desk: &mut Desk, key: &GrantKey) -> Result<(u64, Option<Timestamp>), StoreError> {
    let sql = "SELECT version, CASE WHEN standing <> 'removed' THEN consent_at END AS consent_at \
         FROM bankside.grants WHERE bank = $1 AND name = $2";
    let row = [(&key.bank.as_str() as _, Type::TEXT), (&key.grant.as_str() as _, Type::TEXT)];
    let rows = desk.connection.query(sql, &row).await?;
    let Some(row) = rows.first() else { return Ok((0, None)) };
    Ok((number(get(row, "version")?)?, get::<Option<i64>>(row, "consent_at")?.map(moment)))
}

/// Writes a set of tokens, if the row is still the one that was looked at; lease, intent and failures end.
pub(super) async fn write(desk: &mut Desk, key: &GrantKey, change: Change<'_>) -> Result<bool, StoreError> {
    let Change { from, to, tokens, given } = change;
    let access = seal(&desk.sealer, "access", key, to, tokens.access.as_ref())?;
    let refresh = seal(&desk.sealer, "refresh", key, to, tokens.refresh.as_ref())?;
    let scopes = serde_json::Value::from(tokens.scopes.clone().unwrap_or_default()).to_string();
    let sql = format!(
        "{NEXT}, noted AS (INSERT INTO bankside.kept (kind, bank, name, value, made_at) \
         SELECT 'key', '', $13, $14, 0 FROM next ON CONFLICT DO NOTHING) \
         INSERT INTO bankside.grants (bank, name, version, change, standing, access, refresh, scopes, issued_at, \
         expires_at, consent_at, used_at, renew_at, certificate) \
         SELECT $1, $2, $4, next.change, 'active', $5, $6, $7, $8, $9, clock.now, clock.now, clock.now + $10, $11 \
         FROM next, (SELECT bankside.now() AS now OFFSET 0) AS clock \
         ON CONFLICT (bank, name) DO UPDATE SET version = excluded.version, change = excluded.change, \
         standing = excluded.standing, access = excluded.access, refresh = excluded.refresh, scopes = excluded.scopes, \
         issued_at = excluded.issued_at, expires_at = excluded.expires_at, \
         renew_at = excluded.renew_at - CASE WHEN $12 THEN 0 \
         ELSE greatest(excluded.used_at - coalesce(grants.sent_at, excluded.used_at), 0) END, \
         consent_at = CASE WHEN $12 THEN excluded.consent_at ELSE grants.consent_at END, \
         used_at = CASE WHEN $12 THEN excluded.used_at ELSE grants.used_at END, certificate = excluded.certificate, \
         lease_holder = NULL, lease_until = 0, sent_at = NULL, failures = 0, retry_at = 0 \
         WHERE grants.version = $3 AND ($12 OR grants.standing <> 'removed') {TELL}"
    );
    let (from, to) = (integer(from), integer(to));
    let (check_id, check) = keys::check(&desk.sealer)?;
    let expires_at = tokens.expires_at.map(Timestamp::millis);
    // By the database's clock, which says what is due: with ours, one that is ahead would have it renewed without end. It
    // is counted from the claim, so that a call or a store that took long makes no renewal late.
    let renew_after = tokens.renew_at.map(|at| millis(at.since(tokens.issued_at)));
    desk.connection
        .did(
            &sql,
            &[
                (&key.bank.as_str(), Type::TEXT),
                (&key.grant.as_str(), Type::TEXT),
                (&from, Type::INT8),
                (&to, Type::INT8),
                (&access, Type::BYTEA),
                (&refresh, Type::BYTEA),
                (&scopes, Type::TEXT),
                (&tokens.issued_at.millis(), Type::INT8),
                (&expires_at, Type::INT8),
                (&renew_after, Type::INT8),
                (&tokens.certificate, Type::TEXT),
                (&given, Type::BOOL),
                (&check_id, Type::TEXT),
                (&check, Type::BYTEA),
            ],
        )
        .await
}

/// The row stays without its tokens, so that others see the change and versions never begin again.
pub(super) async fn remove(desk: &mut Desk, key: &GrantKey, version: u64) -> Result<bool, StoreError> {
    let sql = format!(
        "{NEXT} UPDATE bankside.grants SET standing = 'removed', version = version + 1, change = next.change, \
         access = NULL, refresh = NULL, scopes = '[]', expires_at = NULL, consent_at = NULL, renew_at = NULL, \
         certificate = NULL, lease_holder = NULL, lease_until = 0, sent_at = NULL, failures = 0, retry_at = 0 \
         FROM next WHERE bank = $1 AND name = $2 AND version = $3 AND standing <> 'removed' {TELL}"
    );
    let (bank, name, version) = (key.bank.as_str(), key.grant.as_str(), integer(version));
    desk.connection.did(&sql, &[(&bank, Type::TEXT), (&name, Type::TEXT), (&version, Type::INT8)]).await
}

/// Rows that somebody works on are left out, so that nobody waits for anybody: they will be used again.
pub(super) async fn touch(desk: &mut Desk, uses: &[(GrantKey, Timestamp)]) -> Result<(), StoreError> {
    let banks: Vec<_> = uses.iter().map(|(key, _)| key.bank.as_str()).collect();
    let names: Vec<_> = uses.iter().map(|(key, _)| key.grant.as_str()).collect();
    let times: Vec<_> = uses.iter().map(|(_, used_at)| used_at.millis()).collect();
    let sql = "WITH free AS (SELECT g.bank, g.name, use.used_at FROM unnest($1, $2, $3) AS use (bank, name, used_at) \
         JOIN bankside.grants g ON g.bank = use.bank AND g.name = use.name AND g.used_at < use.used_at \
         FOR NO KEY UPDATE OF g SKIP LOCKED) \
         UPDATE bankside.grants SET used_at = free.used_at FROM free \
         WHERE grants.bank = free.bank AND grants.name = free.name";
    let parameters =
        [(&banks as _, Type::TEXT_ARRAY), (&names as _, Type::TEXT_ARRAY), (&times as _, Type::INT8_ARRAY)];
    desk.connection.query(sql, &parameters).await?;
    Ok(())
}

/// What is due. Those that are too but have been idle are taken out of the index, which would else be read through with
/// each look; a renewal on use brings them back.
pub(super) async fn due(desk: &mut Desk, bank: &BankName, idle: Duration, limit: usize) -> Result<Due, StoreError> {
    let most = i64::try_from(limit + SET_ASIDE).unwrap_or(i64::MAX);
    let idle = i64::try_from(idle.as_millis()).unwrap_or(i64::MAX);
    // The time as a subquery is asked for once, so that the index can be used.
    let sql = "SELECT name, version, $2 < (SELECT bankside.now()) - used_at AS idle FROM bankside.grants \
         WHERE bank = $1 AND renew_at <= (SELECT bankside.now()) AND standing = 'active' \
         AND NOT lease_until BETWEEN (SELECT bankside.now()) + 1 AND (SELECT bankside.now()) + $4 \
         AND NOT retry_at BETWEEN (SELECT bankside.now()) + 1 AND (SELECT bankside.now()) + $5 \
         ORDER BY renew_at LIMIT $3";
    let bank_text = bank.as_str();
    // What ends later was written by a clock that was wrong.
    let millis = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    let (lease, retry) = (millis(FARTHEST), millis(FARTHEST_RETRY));
    let parameters = [
        (&bank_text as _, Type::TEXT),
        (&idle as _, Type::INT8),
        (&most as _, Type::INT8),
        (&lease as _, Type::INT8),
        (&retry as _, Type::INT8),
    ];
    let (mut due, mut idle_ones) = (Due::default(), Vec::new());
    for row in desk.connection.query(sql, &parameters).await? {
        let text: &str = get(&row, "name")?;
        if get(&row, "idle")? {
            idle_ones.push(text.to_owned());
        } else if let Some(grant) = understood(bank, name_of(text))
            && due.grants.len() < limit
        {
            due.grants.push((GrantKey { bank: bank.clone(), grant }, number(get(&row, "version")?)?));
        }
    }
    // Waits and leases that end later than this are found by the caller's asking again: they are short.
    let sql = "SELECT renew_at - (SELECT bankside.now()) AS wait FROM bankside.grants \
         WHERE bank = $1 AND renew_at > (SELECT bankside.now()) ORDER BY renew_at LIMIT 1";
    let next = desk.connection.query(sql, &[(&bank_text, Type::TEXT)]).await?;
    let wait: Option<i64> = next.first().map(|row| get(row, "wait")).transpose()?;
    due.next = wait.map(|millis| Duration::from_millis(u64::try_from(millis).unwrap_or(0)));
    if !idle_ones.is_empty() {
        let sql = "WITH free AS (SELECT name FROM bankside.grants WHERE bank = $1 AND name = ANY($2) \
             AND $3 < (SELECT bankside.now()) - used_at FOR NO KEY UPDATE SKIP LOCKED) \
             UPDATE bankside.grants SET renew_at = NULL FROM free WHERE bank = $1 AND grants.name = free.name";
        let parameters = [(&bank_text as _, Type::TEXT), (&idle_ones as _, Type::TEXT_ARRAY), (&idle as _, Type::INT8)];
        desk.connection.query(sql, &parameters).await?;
    }
    Ok(due)
}

pub(super) async fn changes(
    desk: &mut Desk,
    bank: &BankName,
    mark: Option<u64>,
) -> Result<(u64, Vec<GrantKey>), StoreError> {
    let sql = "SELECT meta.change AS latest, grants.change, grants.name FROM bankside.meta \
         LEFT JOIN bankside.grants ON grants.bank = $1 AND grants.change > $2 ORDER BY grants.change LIMIT $3";
    let (after, most) = (mark.map_or(i64::MAX, integer), i64::try_from(CHANGES).unwrap_or(i64::MAX));
    let rows =
        desk.connection.query(sql, &[(&bank.as_str(), Type::TEXT), (&after, Type::INT8), (&most, Type::INT8)]).await?;
    let latest = rows.first().map(|row| get(row, "latest")).transpose()?.ok_or(StoreError::Damaged { what: "mark" })?;
    let mut changed = Vec::new();
    for row in &rows {
        if let Some(text) = get::<Option<&str>>(row, "name")?
            && let Some(grant) = understood(bank, name_of(text))
        {
            changed.push(GrantKey { bank: bank.clone(), grant });
        }
    }
    // Where there are more, the next call goes on from the last of these.
    let last = rows.last().filter(|_| rows.len() == CHANGES).map(|row| get(row, "change")).transpose()?;
    Ok((number(last.unwrap_or(latest))?, changed))
}

/// The grants whose person consented before that, the earliest first.
pub(super) async fn consents(
    desk: &mut Desk,
    bank: &BankName,
    before: Timestamp,
    limit: usize,
) -> Result<Vec<(GrantKey, Timestamp)>, StoreError> {
    let sql = "SELECT name, consent_at FROM bankside.grants WHERE bank = $1 AND consent_at < $2 AND standing = 'active' \
         ORDER BY consent_at LIMIT $3";
    let most = i64::try_from(limit).unwrap_or(i64::MAX);
    let (text, before) = (bank.as_str(), before.millis());
    let rows = desk.connection.query(sql, &[(&text, Type::TEXT), (&before, Type::INT8), (&most, Type::INT8)]).await?;
    let mut consents = Vec::new();
    for row in &rows {
        if let Some(grant) = understood(bank, name_of(get(row, "name")?)) {
            consents.push((GrantKey { bank: bank.clone(), grant }, moment(get(row, "consent_at")?)));
        }
    }
    Ok(consents)
}
