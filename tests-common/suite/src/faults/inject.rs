//! The injection of each fault, and its repair.

use pgmq_test_server::proxy::Direction;
use std::{
    fs, thread,
    time::{Duration, Instant},
};

use crate::{
    faults::{
        fault::{LIMIT_OF_CALLS, LIMIT_OF_WAITS, PRODUCERS, USABLE},
        test_bed::TestBed,
    },
    kit::{
        context::QUEUE,
        failure::{Failure, Outcome},
    },
};

/// Longer than any timeout of the client.
const LONG: Duration = LIMIT_OF_CALLS.saturating_add(LIMIT_OF_WAITS);

/// Ends all sessions by an administrator's command; in even rounds a single session.
pub(crate) fn end_sessions(bed: &TestBed, round: u32) -> Outcome {
    end_some_sessions(bed, if round.is_multiple_of(2) { 1 } else { usize::MAX })
}

fn end_some_sessions(bed: &TestBed, count: usize) -> Outcome {
    for process in bed.sessions()?.iter().take(count) {
        bed.execute(&format!("SELECT pg_terminate_backend({process})"))?;
    }
    Ok(())
}

/// Kills a session's process. The server then ends all other processes and recovers.
pub(crate) fn kill_a_process(bed: &TestBed, _: u32) -> Outcome {
    let session = bed.sessions()?.first().copied().expect("the workers have sessions");
    Ok(bed.server.kill(session)?)
}

/// Stops the server without a shutdown, and starts it again.
pub(crate) fn crash(bed: &TestBed, _: u32) -> Outcome {
    bed.server.stop_at_once()?;
    // Leaves time for some attempts to connect to fail.
    thread::sleep(LIMIT_OF_WAITS / 2);
    Ok(bed.server.start()?)
}

/// Suspends the server for longer than any timeout.
pub(crate) fn freeze_the_server(bed: &TestBed, _: u32) -> Outcome {
    bed.server.freeze()?;
    thread::sleep(LONG);
    Ok(bed.server.thaw()?)
}

/// Closes all connections.
pub(crate) fn cut_the_network(bed: &TestBed, _: u32) -> Outcome {
    bed.proxy.cut();
    Ok(())
}

/// Delays all traffic for a while, more in each round.
pub(crate) fn slow_the_network(bed: &TestBed, round: u32) -> Outcome {
    bed.proxy.delay(Duration::from_millis(20 * u64::from(round + 1)));
    thread::sleep(LIMIT_OF_WAITS);
    bed.proxy.delay(Duration::ZERO);
    Ok(())
}

/// Holds all traffic back for longer than any timeout, and then closes the connections.
pub(crate) fn silence_the_network(bed: &TestBed, _: u32) -> Outcome {
    bed.proxy.freeze();
    thread::sleep(LONG);
    bed.proxy.cut();
    Ok(())
}

/// Loses the route of all connections for ever: both sides believe that they are connected.
pub(crate) fn swallow_the_network(bed: &TestBed, _: u32) -> Outcome {
    Ok(bed.proxy.swallow()?)
}

/// Closes all connections in one direction, the other one in each round.
pub(crate) fn half_close_connections(bed: &TestBed, round: u32) -> Outcome {
    bed.proxy.half_close(if round.is_multiple_of(2) { Direction::ToServer } else { Direction::ToClient });
    Ok(())
}

/// Blocks the operations that have a connection, until all other workers have timed out waiting for one.
pub(crate) fn exhaust_the_pool(bed: &TestBed, _: u32) -> Outcome {
    let mut client = bed.connect()?;
    client.batch_execute(&format!("BEGIN; LOCK TABLE pgmq.q_{QUEUE}"))?;
    thread::sleep(LIMIT_OF_WAITS * 3 / 2);
    Ok(client.batch_execute("COMMIT")?)
}

/// Keeps the queue's table from growing until sends have failed.
pub(crate) fn fill_the_disk(bed: &TestBed, _: u32) -> Outcome {
    // The limit of file sizes has to be larger than a file of the write-ahead log, which must not fail. So
    // the table is filled with deleted rows, which still occupy space.
    const LARGE: i64 = 17 << 20;
    let mut client = bed.connect()?;
    // While a snapshot can see deleted rows, their space is not reused.
    client.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT FROM pgmq.meta")?;
    let mut size = || -> Result<i64, postgres::Error> {
        let sql = format!("SELECT pg_relation_size('pgmq.q_{QUEUE}')");
        client.query_one(&sql, &[])?.try_get(0)
    };
    if size()? < LARGE {
        // In the replica role, triggers do not fire, and no notification is sent.
        bed.execute(&format!(
            "SET session_replication_role = replica;
             ALTER TABLE pgmq.q_{QUEUE} SET (autovacuum_enabled = off, fillfactor = 10);
             INSERT INTO pgmq.q_{QUEUE} (vt, message)
                 SELECT timestamptz 'infinity', to_jsonb(repeat('x', 1900)) FROM generate_series(1, 2500);
             DELETE FROM pgmq.q_{QUEUE} WHERE vt = 'infinity'"
        ))?;
    }
    let before = logged(bed, "could not extend file")?;
    bed.server.limit_files(&size()?.to_string())?;
    // Pages that are partly filled still have room, though little, because of the fill factor.
    let is_full = wait_for_log(bed, "could not extend file", before + PRODUCERS)?;
    bed.server.limit_files("unlimited")?;
    assert!(is_full, "no send has failed: the table could still grow");
    Ok(())
}

/// Makes the server refuse writes for a while. In even rounds by a setting of the database, which the
/// sessions that are opened meanwhile keep afterwards; in odd rounds by a setting of the server, which
/// reaches all sessions.
pub(crate) fn refuse_writes(bed: &TestBed, round: u32) -> Outcome {
    const REFUSED: &str = "in a read-only transaction";
    let before = logged(bed, REFUSED)?;
    let database = bed.database.name();
    let by = if round.is_multiple_of(2) {
        format!("ALTER DATABASE \"{database}\"")
    } else {
        "ALTER SYSTEM".to_owned()
    };
    let reload = "SELECT pg_reload_conf()";
    bed.execute(&format!("{by} SET default_transaction_read_only = on"))?;
    bed.execute(reload)?;
    if round.is_multiple_of(2) {
        end_some_sessions(bed, usize::MAX)?;
    }
    // Enough for each worker to be refused several times.
    let were_refused = wait_for_log(bed, REFUSED, before + 100)?;
    let mut client = bed.connect()?;
    client.batch_execute("SET default_transaction_read_only = off")?;
    client.batch_execute(&format!("{by} RESET default_transaction_read_only"))?;
    client.batch_execute(reload)?;
    assert!(were_refused, "no call has been refused");
    Ok(())
}

/// Waits until the server has logged `text` at least this number of times. Returns `false` if it does not.
fn wait_for_log(bed: &TestBed, text: &str, count: usize) -> Result<bool, Failure> {
    let started = Instant::now();
    while started.elapsed() < USABLE {
        if logged(bed, text)? >= count {
            return Ok(true);
        }
        thread::sleep(Duration::from_millis(10));
    }
    Ok(false)
}

/// Number of times that the server has logged `text`.
fn logged(bed: &TestBed, text: &str) -> Result<usize, Failure> {
    let folder = bed.server.folder().expect("the server was started here");
    Ok(fs::read_to_string(folder.join("log"))?.matches(text).count())
}

/// Stops the primary without a shutdown, and promotes its standby. In later rounds, the stopped server first
/// becomes the standby of the new primary.
pub(crate) fn fail_over(bed: &TestBed, round: u32) -> Outcome {
    let (primary, standby) = bed.pair(round);
    if round > 0 {
        standby.follow(primary)?;
    }
    primary.commit_on_standby()?;
    primary.stop_at_once()?;
    Ok(standby.promote()?)
}
