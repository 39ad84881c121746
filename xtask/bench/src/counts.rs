//! The costs of an operation that do not depend on speed: allocations, memory, round trips.

use std::net::SocketAddr;
use std::sync::Arc;

use allocation_counter::AllocationInfo;
use anyhow::{Result, anyhow};
use pgmq_test_server::proxy::Proxy;
use url::Url;

use crate::bench_db::BenchDb;
use crate::client::BenchClient;
use crate::engine::Engine;
use crate::measure::{prepare, repeat};
use crate::payload::Order;
use crate::workload::Workload;

/// The number of operations before the count starts.
const WARM_UP: u32 = 10;

/// The sums over sequential operations.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Counts {
    pub(crate) operations: u32,
    pub(crate) round_trips: usize,
    pub(crate) allocations: u64,
    pub(crate) allocated_bytes: u64,
    /// The peak of allocated memory above the level at the start.
    pub(crate) peak_bytes: u64,
}

impl Counts {
    pub(crate) fn round_trips_per_operation(&self) -> f64 {
        self.round_trips as f64 / f64::from(self.operations)
    }

    pub(crate) fn allocations_per_operation(&self) -> f64 {
        self.allocations as f64 / f64::from(self.operations)
    }

    pub(crate) fn bytes_per_operation(&self) -> f64 {
        self.allocated_bytes as f64 / f64::from(self.operations)
    }
}

/// Counts the costs of operations of one task, all on this thread.
///
/// Round trips are counted in a separate pass, since the proxy in this process allocates as well.
pub(crate) fn count<C: BenchClient>(
    workload: &Workload,
    db: &mut BenchDb,
    operations: u32,
) -> Result<Counts> {
    let url = db.url().to_owned();
    let mut allocated = AllocationInfo::default();
    after_warm_up::<C>(workload, db, &url, operations, |work| {
        let mut done = Ok(());
        allocated = allocation_counter::measure(|| done = work());
        done
    })?;

    let proxy = Proxy::start(db.addr()?)?;
    let through_proxy = moved(&url, proxy.addr())?;
    let mut round_trips = 0;
    after_warm_up::<C>(workload, db, &through_proxy, operations, |work| {
        proxy.reset();
        work()?;
        round_trips = proxy.round_trips();
        Ok(())
    })?;

    Ok(Counts {
        operations,
        round_trips,
        allocations: allocated.count_total,
        allocated_bytes: allocated.bytes_total,
        peak_bytes: allocated.bytes_max,
    })
}

/// Connects and warms up; `look` then calls the function that performs the operations.
fn after_warm_up<C: BenchClient>(
    workload: &Workload,
    db: &mut BenchDb,
    url: &str,
    operations: u32,
    look: impl FnOnce(&mut dyn FnMut() -> Result<()>) -> Result<()>,
) -> Result<()> {
    let engine = Engine::of::<C>(1)?;
    let client = engine.block_on(C::connect(url, 1))?;
    let orders: Arc<[Order]> = workload.orders().into();
    let work =
        |times| engine.block_on(repeat(client.for_task(0), workload.operation, Arc::clone(&orders), times));
    prepare(workload, db, workload.consumed() * (WARM_UP + operations))?;
    work(WARM_UP)?;
    look(&mut || work(operations))?;
    engine.block_on(async move { drop(client) });
    Ok(())
}

/// The same database, reached at another address.
fn moved(url: &str, to: SocketAddr) -> Result<String> {
    if !url.starts_with("postgres") {
        // Of two values for a key the last one counts.
        return Ok(format!("{url} host={} port={}", to.ip(), to.port()));
    }
    let mut url = Url::parse(url)?;
    url.set_host(Some(&to.ip().to_string()))?;
    url.set_port(Some(to.port())).map_err(|()| anyhow!("the server's URL has no place for a port"))?;
    Ok(url.into())
}
