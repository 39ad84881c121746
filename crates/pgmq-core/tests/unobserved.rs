//! A queue without an observer pays nothing for the hook.

#![allow(clippy::unwrap_used, reason = "a failed test panics")]

use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use pgmq_core::backend::Observing;
use pgmq_core::{Action, Ended, Error, Observation, Observer, Query, Started, statement};

struct Silent;

impl Observer for Silent {
    fn started(&self, _: &Started<'_>) -> Box<dyn Observation> {
        Box::new(SilentObservation("takes memory"))
    }
}

struct SilentObservation(#[allow(dead_code, reason = "an empty type needs no allocation")] &'static str);

impl Observation for SilentObservation {
    fn ended(self: Box<Self>, _: &Ended<'_>) {}
}

fn query() -> Query<'static, i64> {
    match statement::send("q", &1).into_action() {
        Action::Run(query) => query,
        Action::Return(_) => panic!("a send runs a query"),
    }
}

/// The allocations of the hook around a future that is ready, and around a function.
fn allocations(observing: &Observing) -> u64 {
    let (mut sync, mut asynchronous) = (query(), query());
    let counted = allocation_counter::measure(|| {
        let mut observed = observing.begin(&mut sync);
        let result = observed.run(|| Ok::<_, Error>(7));
        assert!(observed.end(&sync, result).is_ok());

        let mut observed = observing.begin(&mut asynchronous);
        let mut running = pin!(std::future::ready(Ok::<_, Error>(7)));
        let result = {
            let watching: Pin<&mut _> = pin!(observed.watch(running.as_mut()));
            match watching.poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(result) => result,
                Poll::Pending => panic!("the future is ready"),
            }
        };
        assert!(observed.end(&asynchronous, result).is_ok());
    });
    counted.count_total
}

#[test]
fn an_operation_that_is_not_observed_allocates_nothing_for_it() {
    assert_eq!(allocations(&Observing::default()), 0);
    assert_eq!(allocations(&Observing::default().by(Silent)), 2, "one box for each operation");
}

#[test]
#[cfg(feature = "tracing")]
fn spans_that_no_subscriber_wants_take_no_memory() {
    let observing = Observing::default().by(pgmq_core::TracingObserver::new());
    // The first use of the span registers it.
    allocations(&observing);
    assert_eq!(allocations(&observing), 0);
}
