//! Changing messages that are claimed: a message that another consumer has read since is left as it is.
//!
//! Each statement begins by locking the messages whose number of reads is still that of the claim. The lock
//! is what makes this certain: it waits for a read that is under way, and then compares the number again. A
//! plain condition would compare the number as it was when the statement began. All statements lock in the
//! order of the ids, so that two of them do not wait for each other.
//!
//! Under REPEATABLE READ and above, the comparison is with the transaction's snapshot: a claim on a read that
//! the snapshot does not see counts as stale.

use serde::Serialize;

use crate::claim::{Claim, Move};
use crate::error::Error;
use crate::error_kind::ErrorKind;
use crate::operations::rows;
use crate::options::SendOptions;
use crate::param::{JsonArray, Param};
use crate::queue_name;
use crate::records::Moved;
use crate::statement::builder::{StatementBuilder, optional_json};
use crate::statement::query::Statement;
use crate::statement::variants::{SqlVariants, delay, variants};
use crate::time::{Delay, DelayParam, VisibilityTimeout};
use crate::version::Version;

/// The PGMQ version that brought `set_vt` for several messages.
const BATCHES: Version = Version::new(1, 8, 0);

/// Builds `hold`.
pub fn hold<'a>(
    queue: &'a str,
    claims: &[Claim],
    vt: impl Into<VisibilityTimeout>,
) -> Statement<'a, Vec<i64>> {
    let builder = claimed(StatementBuilder::on(queue, &rows::hold), claims.iter().copied());
    let builder = builder.int(vt.into().seconds());
    if claims.is_empty() {
        return builder.answer(Vec::new());
    }
    let held = held(&builder, &NOTHING);
    let each = format!(
        "{held} SELECT held_for.msg_id FROM (SELECT DISTINCT msg_id FROM held) AS held, \
         LATERAL pgmq.set_vt(queue_name=>$1::text, msg_id=>held.msg_id, vt=>$4::integer) AS held_for"
    );
    let all = format!(
        "{held} SELECT held_for.msg_id \
         FROM (SELECT pg_catalog.array_agg(msg_id) AS ids FROM held HAVING count(*) > 0) AS held, \
         LATERAL pgmq.set_vt(queue_name=>$1::text, msg_ids=>held.ids, vt=>$4::integer) AS held_for"
    );
    builder.sql_or(each, BATCHES, all).sorted_by(<[i64]>::sort_unstable)
}

/// Builds `hold_each`.
pub fn hold_each<'a>(queue: &'a str, holds: &[(Claim, VisibilityTimeout)]) -> Statement<'a, Vec<i64>> {
    let builder = StatementBuilder::on(queue, &rows::hold_each);
    let mut builder = claimed(builder, holds.iter().map(|(claim, _)| *claim));
    let seconds: Result<Vec<_>, _> = holds.iter().map(|(_, vt)| vt.seconds().map(i64::from)).collect();
    let seconds = builder.take(seconds).unwrap_or_default();
    if holds.is_empty() {
        return builder.answer(Vec::new());
    }
    let builder = builder.bigints(&seconds);
    let held = held(&builder, &TIMEOUTS);
    let text = format!(
        "{held} SELECT held_for.msg_id \
         FROM (SELECT DISTINCT ON (msg_id) msg_id, vt FROM held ORDER BY msg_id) AS held, \
         LATERAL pgmq.set_vt(queue_name=>$1::text, msg_id=>held.msg_id, vt=>held.vt::integer) AS held_for"
    );
    builder.sql(text).sorted_by(<[i64]>::sort_unstable)
}

/// Builds `move_batch`.
///
/// The payloads stay on the server. A trigger or a policy that filters rows would leave a message in both
/// queues or in none, so the statement then fails, by a cast that cannot work. PGMQ returns the new ids in
/// the order of the batch, which pairs them with the old ones.
pub fn move_batch<'a>(
    queue: &'a str,
    to: &str,
    moves: &[Move],
    delay: impl Into<Delay>,
) -> Statement<'a, Vec<Moved>> {
    let builder = StatementBuilder::on(queue, &rows::move_batch);
    let builder = claimed(builder, moves.iter().map(|one| one.claim)).param(headers_of(moves));
    let mut builder = target(builder, to);
    let (builder, kind) = match builder.take(delay.into().param("delay")) {
        Some(DelayParam::At(at)) => (builder.param(Ok(Param::Timestamptz(at))), "timestamptz"),
        Some(DelayParam::Seconds(seconds)) => (builder.int(Ok(seconds)), "integer"),
        // The builder holds the error.
        None => return builder.answer(Vec::new()),
    };
    if moves.is_empty() {
        return builder.answer(Vec::new());
    }
    let held = held(&builder, &HEADERS);
    let text = format!(
        "{held}, batch AS MATERIALIZED (\
         SELECT pg_catalog.array_agg(msg_id ORDER BY msg_id) AS ids, \
         pg_catalog.array_agg(message ORDER BY msg_id) AS messages, \
         pg_catalog.array_agg(headers ORDER BY msg_id) AS headers \
         FROM (SELECT DISTINCT ON (msg_id) * FROM held ORDER BY msg_id) AS held HAVING count(*) > 0), \
         sent AS MATERIALIZED (\
         SELECT pg_catalog.array_agg(id) AS ids FROM batch, LATERAL pgmq.send_batch(\
         queue_name=>$5::text, msgs=>batch.messages, headers=>batch.headers, delay=>$6::{kind}) AS sent(id)), \
         gone AS MATERIALIZED (\
         SELECT count(*) AS count FROM batch, LATERAL pgmq.delete(queue_name=>$1::text, msg_ids=>batch.ids)) \
         SELECT moved.msg_id, moved.new_id FROM batch, sent, gone, \
         LATERAL ROWS FROM (pg_catalog.unnest(batch.ids), pg_catalog.unnest(sent.ids)) AS moved(msg_id, new_id) \
         WHERE CASE WHEN pg_catalog.cardinality(batch.ids) = pg_catalog.cardinality(sent.ids) \
         AND pg_catalog.cardinality(batch.ids) = gone.count THEN true \
         ELSE ('a trigger or a policy keeps message ' || moved.msg_id || ' from being moved')::boolean END"
    );
    builder.sql(text)
}

/// Builds `forward`.
pub fn forward<'a, T: Serialize + ?Sized>(
    queue: &'a str,
    claim: Claim,
    to: &str,
    message: &T,
    options: &SendOptions,
) -> Statement<'a, Option<i64>> {
    const SENT: SqlVariants =
        variants!("SELECT pgmq.send(queue_name=>$4::text, msg=>$5::jsonb", "", "jsonb", delay, "$6", "$7");
    let builder = StatementBuilder::on(queue, &rows::forward).bigint(claim.msg_id).int(Ok(claim.read_ct));
    let headers = optional_json(&options.headers, Param::Jsonb);
    let (builder, given) = target(builder, to).json(message).options(headers, options.delay);
    let table = builder.table('q');
    let send = SENT.get(given);
    builder.sql(format!(
        "WITH held AS MATERIALIZED (\
         SELECT msg_id FROM {table} WHERE msg_id = $2::bigint AND read_ct = $3::integer FOR UPDATE), \
         gone AS MATERIALIZED (SELECT pgmq.delete(queue_name=>$1::text, msg_id=>msg_id) AS is_gone FROM held), \
         sent AS MATERIALIZED ({send} AS id FROM gone WHERE is_gone) \
         SELECT CASE WHEN sent.id IS NOT NULL THEN sent.id \
         ELSE ('a trigger or a policy keeps message ' || held.msg_id || ' from being forwarded')::bigint END \
         FROM held, gone LEFT JOIN sent ON true WHERE is_gone"
    ))
}

/// Adds the claims, as ids and numbers of reads.
fn claimed<'a>(
    builder: StatementBuilder<'a>,
    claims: impl ExactSizeIterator<Item = Claim>,
) -> StatementBuilder<'a> {
    let (ids, reads): (Vec<_>, Vec<_>) = claims.map(|claim| (claim.msg_id, i64::from(claim.read_ct))).unzip();
    builder.bigints(&ids).bigints(&reads)
}

/// Adds the queue that messages are sent to.
fn target<'a>(mut builder: StatementBuilder<'a>, to: &str) -> StatementBuilder<'a> {
    match builder.take(queue_name::fold(to)) {
        Some(to) => builder.text(to.into_owned()),
        None => builder,
    }
}

fn headers_of(moves: &[Move]) -> Result<Param<'static>, Error> {
    let mut array = JsonArray::default();
    for one in moves {
        match &one.headers {
            None => array.push_text(None),
            Some(Ok(headers)) => array.push_text(Some(headers)),
            Some(Err(text)) => return Err(Error::new(ErrorKind::Encode, text.as_str())),
        }
    }
    Ok(Param::JsonbArray(array))
}

/// The additions to the read that a statement needs of each claim: another array, and the columns made of it.
struct Extra {
    array: &'static str,
    name: &'static str,
    columns: &'static str,
}

/// Nothing besides the read.
const NOTHING: Extra = Extra { array: "", name: "", columns: "" };

/// The visibility timeout of each claim.
const TIMEOUTS: Extra =
    Extra { array: ", pg_catalog.unnest($4::bigint[])", name: ", vt", columns: ", claim.vt" };

/// The headers of each claim, in place of those of the message. The payload is copied. The name of the column
/// has no table, so that the error of an older server quotes the name alone, by which it is recognized.
const HEADERS: Extra = Extra {
    array: ", pg_catalog.unnest($4::jsonb[])",
    name: ", given",
    columns: ", message, coalesce(given, headers) AS headers",
};

/// The beginning of a statement: the messages whose claims are current, locked in the order of their ids.
fn held(builder: &StatementBuilder<'_>, extra: &Extra) -> String {
    let Extra { array, name, columns } = extra;
    let table = builder.table('q');
    format!(
        "WITH held AS MATERIALIZED (SELECT claimed.msg_id{columns} \
         FROM ROWS FROM (pg_catalog.unnest($2::bigint[]), pg_catalog.unnest($3::bigint[]){array}) \
         AS claim(msg_id, read_ct{name}) \
         JOIN {table} AS claimed ON claimed.msg_id = claim.msg_id AND claimed.read_ct = claim.read_ct \
         ORDER BY claimed.msg_id FOR UPDATE OF claimed)"
    )
}
