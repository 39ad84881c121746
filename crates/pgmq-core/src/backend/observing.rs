//! The observer of a queue, as back ends call it.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;

use crate::backend::conninfo::address;
use crate::backend::settings::Settings;
use crate::decode::Output;
use crate::error::QueueError;
use crate::observer::{Ended, Failed, Observation, Observer, ServerAddress, Succeeded};
use crate::statement::Query;

/// The observer of a queue, if it has one. Clones share it.
#[derive(Clone, Default)]
pub struct Observing {
    observer: Option<Arc<dyn Observer>>,
    server: Option<Arc<ServerAddress>>,
}

impl Observing {
    /// The observer of these settings.
    pub fn new(settings: &Settings) -> Self {
        Self { observer: settings.observer.clone(), server: address(settings).map(Arc::new) }
    }

    /// The same server with this observer.
    #[must_use]
    pub fn by(&self, observer: impl Observer) -> Self {
        Self { observer: Some(Arc::new(observer)), server: self.server.clone() }
    }

    /// Begins to observe a query, if there is an observer.
    pub fn begin<O: Output>(&self, query: &mut Query<'_, O>) -> Observed {
        match &self.observer {
            None => Observed(None),
            Some(observer) => Observed(begin(&**observer, self.server.as_deref(), query)),
        }
    }
}

/// Outside of `begin`, which is inlined into every operation.
#[cold]
fn begin<O: Output>(
    observer: &dyn Observer,
    server: Option<&ServerAddress>,
    query: &mut Query<'_, O>,
) -> Option<Box<dyn Observation>> {
    let observation = observer.started(&query.started(server)?);
    if query.sends()
        && let Some(context) = observation.trace_context()
    {
        query.trace(&context);
    }
    Some(observation)
}

impl fmt::Debug for Observing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observing").field("is_on", &self.observer.is_some()).finish_non_exhaustive()
    }
}

/// The observation of one operation, if there is an observer.
#[must_use = "an observation that is dropped is that of a cancelled operation"]
pub struct Observed(Option<Box<dyn Observation>>);

impl Observed {
    /// Does the work of a sync operation.
    pub fn run<R>(&mut self, mut work: impl FnMut() -> R) -> R {
        match &mut self.0 {
            None => work(),
            Some(observation) => within(&mut **observation, work),
        }
    }

    /// Runs the future of an async operation.
    pub fn watch<F: Future>(&mut self, mut running: Pin<&mut F>) -> impl Future<Output = F::Output> {
        poll_fn(move |cx| match &mut self.0 {
            None => running.as_mut().poll(cx),
            Some(observation) => within(&mut **observation, || running.as_mut().poll(cx)),
        })
    }

    /// Observes the end, and returns the result.
    pub fn end<O: Output, E: QueueError>(self, query: &Query<'_, O>, result: Result<O, E>) -> Result<O, E> {
        if let Some(observation) = self.0 {
            let described = match &result {
                Ok(output) => Ok(Succeeded::new(output)),
                Err(error) => Err(Failed::new(error)),
            };
            observation.ended(&Ended { result: described, attempts: query.attempts() });
        }
        result
    }
}

/// Does work in the context of an observation, also if the observation does not call it.
fn within<R>(observation: &mut dyn Observation, mut work: impl FnMut() -> R) -> R {
    let mut done = None;
    observation.within(&mut || {
        if done.is_none() {
            done = Some(work());
        }
    });
    done.unwrap_or_else(work)
}
