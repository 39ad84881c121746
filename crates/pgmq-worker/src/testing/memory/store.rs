//! All queues, and the operations on them as PGMQ does them.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use pgmq_core::{Error, ErrorKind, Param};

use crate::testing::memory::arguments::{Arguments, Options};
use crate::testing::memory::jsonb::jsonb;
use crate::testing::memory::row::{Cell, Columns};
use crate::testing::memory::table::{New, Notify, Stored, Table, later};

/// PGMQ's default throttle, in milliseconds.
const THROTTLE: i32 = 250;

/// All queues, by their folded names.
#[derive(Debug, Default)]
pub(super) struct Store {
    pub(super) tables: BTreeMap<String, Table>,
    /// The queues whose inserts are to be notified of.
    pub(super) notified: BTreeSet<String>,
}

impl Store {
    /// Does what an operation says, and returns the rows of its result.
    pub(super) fn run(
        &mut self,
        operation: &str,
        queue: Option<&str>,
        params: &[Param<'_>],
        now: DateTime<Utc>,
    ) -> Result<Vec<Columns>, Error> {
        let mut arguments = Arguments::new(params);
        let Some(queue) = queue else { return self.without_queue(operation) };
        // The first parameter of most operations is the name of the queue once more.
        if matches!(params.first(), Some(Param::Text(_))) {
            arguments.text()?;
        }
        let rows = match operation {
            "create_queue" | "create_unlogged_queue" => {
                self.tables.entry(queue.to_owned()).or_insert_with(|| Table::new(now));
                Ok(Vec::new())
            }
            "queue_exists" => Ok(one(Cell::Boolean(self.tables.contains_key(queue)))),
            "drop_queue" => Ok(one(Cell::Boolean(self.tables.remove(queue).is_some()))),
            "move_batch" => self.move_batch(queue, &mut arguments, now),
            "forward" => self.forward(queue, &mut arguments, now),
            _ => {
                let table = self.table(queue)?;
                let before = table.last_id;
                let rows = of_table(table, operation, queue, &mut arguments, now);
                let notifies = table.last_id > before && table.notifies(now);
                if notifies {
                    self.notified.insert(queue.to_owned());
                }
                rows
            }
        }?;
        arguments.end()?;
        Ok(rows)
    }

    fn without_queue(&self, operation: &str) -> Result<Vec<Columns>, Error> {
        match operation {
            "list_queues" => {
                let row = |(name, table): (&String, &Table)| {
                    vec![
                        ("queue_name", Cell::Text(name.clone())),
                        ("is_partitioned", Cell::Boolean(false)),
                        ("is_unlogged", Cell::Boolean(false)),
                        ("created_at", Cell::Time(table.created_at)),
                    ]
                };
                Ok(self.tables.iter().map(row).collect())
            }
            "list_notify_throttles" => {
                let row = |(name, table): (&String, &Table)| {
                    let notify = table.notify?;
                    Some(vec![
                        ("queue_name", Cell::Text(name.clone())),
                        ("throttle_interval_ms", Cell::Int(notify.throttle_ms)),
                        ("last_notified_at", Cell::Time(notify.last)),
                    ])
                };
                Ok(self.tables.iter().filter_map(row).collect())
            }
            _ => unsupported(operation),
        }
    }

    pub(super) fn table(&mut self, queue: &str) -> Result<&mut Table, Error> {
        self.tables.get_mut(queue).ok_or_else(|| {
            let text = format!("queue {queue:?} does not exist; create it with create_queue");
            Error::new(ErrorKind::QueueNotFound, text)
        })
    }

    fn move_batch(
        &mut self,
        queue: &str,
        arguments: &mut Arguments<'_>,
        now: DateTime<Utc>,
    ) -> Result<Vec<Columns>, Error> {
        let (ids, reads, headers) = (arguments.bigints()?, arguments.bigints()?, arguments.jsons()?);
        let (to, visible_at) = (arguments.text()?, arguments.time(now)?);
        let table = self.table(queue)?;
        let claims = ids.iter().zip(reads).zip(headers.iter());
        let current: BTreeMap<i64, Option<Box<[u8]>>> = claims
            .filter(|((id, reads), _)| table.is_current(**id, **reads))
            .map(|((id, _), headers)| (*id, headers.map(jsonb)))
            .collect();
        if current.is_empty() {
            return Ok(Vec::new());
        }
        self.table(to)?;
        let mut moved = Vec::new();
        for (id, given) in current {
            let taken = self.table(queue)?.take(&[id]);
            for (id, Stored { payload, headers, .. }) in taken {
                let new_id =
                    self.insert(to, New { payload, headers: given.clone().or(headers) }, visible_at, now)?;
                moved.push(vec![("msg_id", Cell::Bigint(id)), ("new_id", Cell::Bigint(new_id))]);
            }
        }
        Ok(moved)
    }

    fn forward(
        &mut self,
        queue: &str,
        arguments: &mut Arguments<'_>,
        now: DateTime<Utc>,
    ) -> Result<Vec<Columns>, Error> {
        let (id, reads, to) = (arguments.bigint()?, arguments.int()?, arguments.text()?);
        let payload = jsonb(arguments.json()?.as_bytes());
        let Options { headers, visible_at, .. } = arguments.options(now)?;
        if !self.table(queue)?.is_current(id, reads.into()) {
            return Ok(Vec::new());
        }
        self.table(to)?;
        self.table(queue)?.take(&[id]);
        let new = New { payload, headers: headers.map(|headers| jsonb(headers.as_bytes())) };
        Ok(one(Cell::Bigint(self.insert(to, new, visible_at.unwrap_or(now), now)?)))
    }

    fn insert(
        &mut self,
        queue: &str,
        new: New,
        visible_at: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<i64, Error> {
        let table = self.table(queue)?;
        let id = table.send(new, visible_at, now);
        if table.notifies(now) {
            self.notified.insert(queue.to_owned());
        }
        Ok(id)
    }
}

/// The operations on one queue alone.
fn of_table(
    table: &mut Table,
    operation: &str,
    name: &str,
    arguments: &mut Arguments<'_>,
    now: DateTime<Utc>,
) -> Result<Vec<Columns>, Error> {
    Ok(match operation {
        "send" | "send_with" => {
            let payload = jsonb(arguments.json()?.as_bytes());
            let Options { headers, visible_at, .. } = arguments.options(now)?;
            let new = New { payload, headers: headers.map(|headers| jsonb(headers.as_bytes())) };
            one(Cell::Bigint(table.send(new, visible_at.unwrap_or(now), now)))
        }
        "send_batch" | "send_batch_with" => {
            let payloads = arguments.jsons()?;
            let Options { headers_of_each, visible_at, .. } = arguments.options(now)?;
            let mut headers = headers_of_each.into_iter().flat_map(|headers| headers.iter());
            let payloads = payloads.iter().map(|payload| jsonb(payload.unwrap_or(b"null")));
            let news = payloads.map(|payload| New { payload, headers: headers.next().flatten().map(jsonb) });
            let ids = news.map(|new| table.send(new, visible_at.unwrap_or(now), now));
            list(ids.map(Cell::Bigint))
        }
        "read" => {
            let vt = arguments.int()?;
            shown(table.read(1, vt, now))
        }
        "read_batch" | "read_with" => {
            let (vt, qty) = (arguments.int()?, arguments.count()?);
            // A condition is refused as an argument that is left.
            shown(if arguments.is_empty() { table.read(qty, vt, now) } else { Vec::new() })
        }
        "pop" => {
            let ids = table.visible(1, now);
            shown(table.take(&ids))
        }
        "pop_batch" => {
            let ids = table.visible(arguments.count()?, now);
            shown(table.take(&ids))
        }
        "delete" => one(Cell::Boolean(!table.take(&[arguments.bigint()?]).is_empty())),
        "delete_batch" => list(table.take(arguments.bigints()?).into_iter().map(|(id, _)| Cell::Bigint(id))),
        "archive" => one(Cell::Boolean(!table.archive(&[arguments.bigint()?], now).is_empty())),
        "archive_batch" => list(table.archive(arguments.bigints()?, now).into_iter().map(Cell::Bigint)),
        "set_vt" => {
            let (id, vt) = (arguments.bigint()?, arguments.time(now)?);
            hidden(table, &[id], vt)
        }
        "set_vt_batch" => {
            let (ids, vt) = (arguments.bigints()?, arguments.time(now)?);
            hidden(table, ids, vt)
        }
        "hold" => {
            let (ids, reads, vt) = (arguments.bigints()?, arguments.bigints()?, arguments.int()?);
            held(table, ids.iter().zip(reads).map(|(&id, &reads)| (id, reads, i64::from(vt))), now)
        }
        "hold_each" => {
            let (ids, reads, vts) = (arguments.bigints()?, arguments.bigints()?, arguments.bigints()?);
            let claims = ids.iter().zip(reads).zip(vts);
            held(table, claims.map(|((&id, &reads), &vt)| (id, reads, vt)), now)
        }
        "purge" => {
            let purged = table.messages.len();
            table.messages.clear();
            one(Cell::Bigint(i64::try_from(purged).unwrap_or(i64::MAX)))
        }
        "metrics" => vec![metrics(table, name, now)],
        "next_due" => {
            let due = table.messages.values().map(|message| message.vt).min();
            let micros = |at: DateTime<Utc>| (at - now).num_microseconds().unwrap_or(i64::MAX).max(0);
            list(due.map(|at| Cell::Bigint(micros(at))).into_iter())
        }
        "peek" => {
            let ids = table.visible(arguments.count()?, now);
            shown(ids.iter().filter_map(|id| Some((*id, table.messages.get(id)?.clone()))))
        }
        "peek_all" => {
            let (after, qty) = (arguments.bigint()?, arguments.count()?);
            let messages = table.messages.range(after.saturating_add(1)..).take(qty);
            shown(messages.map(|(id, message)| (*id, message.clone())))
        }
        "get" => {
            let id = arguments.bigint()?;
            shown(table.messages.get(&id).map(|message| (id, message.clone())))
        }
        "read_archive" => {
            let (after, limit) = (arguments.bigint()?, arguments.count()?);
            let archived = table.archive.range(after.saturating_add(1)..).take(limit);
            let row = |(id, (message, at)): (&i64, &(Stored, DateTime<Utc>))| {
                let mut row = columns(*id, message.clone());
                row.push(("archived_at", Cell::Time(*at)));
                row
            };
            archived.map(row).collect()
        }
        "requeue_archived" => {
            let mut ids = arguments.bigints()?.to_vec();
            ids.sort_unstable();
            let taken = ids.iter().filter_map(|id| table.archive.remove(id)).collect::<Vec<_>>();
            let news = taken.into_iter().map(|(Stored { payload, headers, .. }, _)| New { payload, headers });
            list(news.map(|new| Cell::Bigint(table.send(new, now, now))).collect::<Vec<_>>().into_iter())
        }
        "enable_notify" => notify(table, THROTTLE),
        "enable_notify_with" => notify(table, arguments.int()?),
        "update_notify" => {
            let throttle_ms = arguments.int()?;
            if let Some(notify) = &mut table.notify {
                notify.throttle_ms = throttle_ms;
            }
            Vec::new()
        }
        // A crash takes all that is in memory.
        "repair_notify" => one(Cell::Boolean(false)),
        "disable_notify" => {
            table.notify = None;
            Vec::new()
        }
        _ => return unsupported(operation),
    })
}

fn notify(table: &mut Table, throttle_ms: i32) -> Vec<Columns> {
    table.notify = Some(Notify { throttle_ms, last: DateTime::UNIX_EPOCH });
    Vec::new()
}

fn hidden(table: &mut Table, ids: &[i64], vt: DateTime<Utc>) -> Vec<Columns> {
    let ids: BTreeSet<_> = ids.iter().filter(|id| table.hide(**id, vt)).collect();
    shown(ids.into_iter().filter_map(|id| Some((*id, table.messages.get(id)?.clone()))))
}

fn held(
    table: &mut Table,
    claims: impl Iterator<Item = (i64, i64, i64)>,
    now: DateTime<Utc>,
) -> Vec<Columns> {
    let mut held = BTreeSet::new();
    for (id, reads, vt) in claims {
        if table.is_current(id, reads) && held.insert(id) {
            table.hide(id, later(now, vt));
        }
    }
    list(held.into_iter().map(Cell::Bigint))
}

fn metrics(table: &Table, name: &str, now: DateTime<Utc>) -> Columns {
    let number = |count: usize| Cell::Bigint(i64::try_from(count).unwrap_or(i64::MAX));
    let age = |sent: Option<DateTime<Utc>>| {
        let seconds = sent.map(|sent| now.signed_duration_since(sent).num_seconds());
        seconds.map_or(Cell::Null, |seconds| Cell::Int(i32::try_from(seconds).unwrap_or(i32::MAX)))
    };
    let sent = || table.messages.values().map(|message| message.enqueued_at);
    vec![
        ("queue_name", Cell::Text(name.to_owned())),
        ("queue_length", number(table.messages.len())),
        ("newest_msg_age_sec", age(sent().max())),
        ("oldest_msg_age_sec", age(sent().min())),
        ("total_messages", Cell::Bigint(table.last_id)),
        ("scrape_time", Cell::Time(now)),
        ("queue_visible_length", number(table.visible(usize::MAX, now).len())),
    ]
}

fn columns(id: i64, message: Stored) -> Columns {
    let Stored { reads, enqueued_at, last_read_at, vt, payload, headers } = message;
    vec![
        ("msg_id", Cell::Bigint(id)),
        ("read_ct", Cell::Int(reads)),
        ("enqueued_at", Cell::Time(enqueued_at)),
        ("last_read_at", last_read_at.map_or(Cell::Null, Cell::Time)),
        ("vt", Cell::Time(vt)),
        ("message", Cell::Json(payload)),
        ("headers", headers.map_or(Cell::Null, Cell::Json)),
    ]
}

fn shown(messages: impl IntoIterator<Item = (i64, Stored)>) -> Vec<Columns> {
    messages.into_iter().map(|(id, message)| columns(id, message)).collect()
}

fn list(cells: impl Iterator<Item = Cell>) -> Vec<Columns> {
    cells.map(|cell| vec![("result", cell)]).collect()
}

fn one(cell: Cell) -> Vec<Columns> {
    vec![vec![("result", cell)]]
}

fn unsupported<T>(operation: &str) -> Result<T, Error> {
    let text = format!("the queue in memory does not know {operation}; test it on a server");
    Err(Error::new(ErrorKind::Unsupported, text))
}
