//! What goes wrong, and how it is healed.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use super::{
    load::{LIMIT_OF_CALLS, LIMIT_OF_WAITS, PRODUCERS},
    stage::Stage,
    trial::USABLE,
};
use crate::{
    conformance::{Failure, Outcome, Q},
    proxy::Direction,
};

/// Longer than any time-out of the client.
const LONG: Duration = LIMIT_OF_CALLS.saturating_add(LIMIT_OF_WAITS);

/// Ends a session by an administrator's command, or, every other time, all of them.
pub(super) fn end_sessions(stage: &Stage, round: u32) -> Outcome {
    let sessions = stage.sessions()?;
    let some = if round.is_multiple_of(2) { 1 } else { sessions.len() };
    for process in sessions.iter().take(some) {
        stage.execute(&format!("SELECT pg_terminate_backend({process})"))?;
    }
    Ok(())
}

/// Kills a session's process, at which the server ends all others, and recovers.
pub(super) fn kill_a_process(stage: &Stage, _: u32) -> Outcome {
    let session = stage.sessions()?.first().copied().expect("the workers have sessions");
    Ok(stage.server.kill(session)?)
}

pub(super) fn crash(stage: &Stage, _: u32) -> Outcome {
    stage.server.stop_at_once()?;
    // For some attempts to fail.
    thread::sleep(LIMIT_OF_WAITS / 2);
    Ok(stage.server.start()?)
}

pub(super) fn freeze_the_server(stage: &Stage, _: u32) -> Outcome {
    stage.server.freeze()?;
    thread::sleep(LONG);
    Ok(stage.server.thaw()?)
}

pub(super) fn cut_the_network(stage: &Stage, _: u32) -> Outcome {
    stage.proxy.cut();
    Ok(())
}

pub(super) fn slow_the_network(stage: &Stage, round: u32) -> Outcome {
    stage.proxy.delay(Duration::from_millis(20 * u64::from(round + 1)));
    thread::sleep(LIMIT_OF_WAITS);
    stage.proxy.delay(Duration::ZERO);
    Ok(())
}

/// Nothing comes through any more, and then the connections end.
pub(super) fn silence_the_network(stage: &Stage, _: u32) -> Outcome {
    stage.proxy.freeze();
    thread::sleep(LONG);
    stage.proxy.cut();
    Ok(())
}

pub(super) fn half_close_connections(stage: &Stage, round: u32) -> Outcome {
    stage.proxy.half_close(if round.is_multiple_of(2) { Direction::ToServer } else { Direction::ToClient });
    Ok(())
}

/// Has the operations of those who have a connection wait, until all others have waited for one too long.
pub(super) fn exhaust_the_pool(stage: &Stage, _: u32) -> Outcome {
    let mut client = stage.connect()?;
    client.batch_execute(&format!("BEGIN; LOCK TABLE pgmq.q_{Q}"))?;
    thread::sleep(LIMIT_OF_WAITS * 3 / 2);
    Ok(client.batch_execute("COMMIT")?)
}

/// Lets the queue's table grow no more, until a send has failed of that.
pub(super) fn fill_the_disk(stage: &Stage, _: u32) -> Outcome {
    // Larger than a file of the write-ahead log, which must not fail. What was deleted still takes its place in the table.
    const LARGE: i64 = 17 << 20;
    let mut client = stage.connect()?;
    // As long as somebody may look at what was, no place in the table is used again.
    client.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT FROM pgmq.meta")?;
    let mut size = || -> Result<i64, postgres::Error> {
        let sql = format!("SELECT pg_relation_size('pgmq.q_{Q}')");
        client.query_one(&sql, &[])?.try_get(0)
    };
    if size()? < LARGE {
        // It is nobody's news.
        stage.execute(&format!(
            "SET session_replication_role = replica;
             ALTER TABLE pgmq.q_{Q} SET (autovacuum_enabled = off, fillfactor = 10);
             INSERT INTO pgmq.q_{Q} (vt, message)
                 SELECT timestamptz 'infinity', to_jsonb(repeat('x', 1900)) FROM generate_series(1, 2500);
             DELETE FROM pgmq.q_{Q} WHERE vt = 'infinity'"
        ))?;
    }
    let before = complaints(stage)?;
    stage.server.limit_files(&size()?.to_string())?;
    // There is still room in the pages that have begun to fill, though little, by that setting.
    let started = Instant::now();
    let mut is_full = false;
    while !is_full && started.elapsed() < USABLE {
        thread::sleep(Duration::from_millis(10));
        is_full = complaints(stage)? >= before + PRODUCERS;
    }
    stage.server.limit_files("unlimited")?;
    assert!(is_full, "the table could grow all the time");
    Ok(())
}

/// How often the server has said so far that it could not make a file larger.
fn complaints(stage: &Stage) -> Result<usize, Failure> {
    let folder = stage.server.folder().expect("it is a server of our own");
    Ok(fs::read_to_string(folder.join("log"))?.matches("could not extend file").count())
}

/// The primary is gone at once, and its standby takes over. It comes back as the standby of that before the next time.
pub(super) fn fail_over(stage: &Stage, round: u32) -> Outcome {
    let (primary, standby) = stage.pair(round);
    if round > 0 {
        standby.follow(primary)?;
    }
    primary.commit_on_standby()?;
    primary.stop_at_once()?;
    Ok(standby.promote()?)
}
