//! The retry policy of a queue over a pool.

use crate::backend::failure_class::FailureClass;
use crate::call::Call;
use crate::decode::Output;
use crate::events;
use crate::server_version::ServerVersion;
use crate::statement::{Query, SqlVariant};
use crate::version::Version;

/// Decides what to do after a query on a pooled connection has failed. Holds no connection and does no I/O.
///
/// A query runs again only if the server is known to have committed nothing, and each reason to run it again
/// has its own limit: the oldest SQL variant once, a statement prepared again once, a conflict with
/// concurrent queries ten times, a read-only connection once, and the given number of reconnects.
#[derive(Debug)]
pub struct Retry<'v> {
    server: &'v ServerVersion,
    call: Option<Call>,
    /// The PGMQ version that the server turned out to lack.
    lacks: Option<Version>,
    may_reprepare: bool,
    conflicts_left: u32,
    may_replace_read_only: bool,
    reconnects_left: u32,
}

/// The number of times that a query runs again after a conflict. Of the queries that conflict with each
/// other, one succeeds each time.
const CONFLICTS: u32 = 10;

/// The next step after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Run the query again, in the variant that [`Retry::variant`] now returns.
    UseOlderVariant,
    /// Run the query again, with the statement prepared again.
    Reprepare,
    /// Run the query again as it is.
    Repeat,
    /// Discard the connection, and run the query again on another one.
    Reconnect,
    /// Discard the connection, and return the error.
    Discard,
    /// Release the connection, and return the error.
    Fail,
}

impl<'v> Retry<'v> {
    /// A policy for one query, which allows it to move to another connection up to `reconnects` times.
    pub fn new(server: &'v ServerVersion, reconnects: u32) -> Self {
        Self {
            server,
            call: None,
            lacks: None,
            may_reprepare: true,
            conflicts_left: CONFLICTS,
            may_replace_read_only: true,
            reconnects_left: reconnects,
        }
    }

    /// Returns the policy for this call. A poll is not repeated after a conflict, because it would wait for
    /// its whole time again.
    #[must_use]
    pub fn of(self, call: Call) -> Self {
        let conflicts_left = if call.is_poll() { 0 } else { self.conflicts_left };
        Self { call: Some(call), conflicts_left, ..self }
    }

    /// The SQL variant to run.
    pub fn variant<'q, O: Output>(&self, query: &'q Query<'_, O>) -> SqlVariant<'q> {
        query.count_attempt();
        match self.lacks {
            Some(_) => query.oldest_variant(),
            None => query.variant_on_pool(self.server),
        }
    }

    /// Records what the success of a variant proves about the server's version of PGMQ.
    pub fn succeeded(&self, variant: SqlVariant<'_>) {
        if let Some(since) = variant.since {
            self.server.at_least(since);
        }
        // Only now is it certain that the newer variant failed because of the version.
        if let Some(lacks) = self.lacks {
            self.server.older_than(lacks);
        }
    }

    /// Decides what to do after a variant has failed.
    pub fn after(&mut self, failure: FailureClass, variant: SqlVariant<'_>) -> Next {
        let next = self.next(failure, variant);
        match next {
            Next::UseOlderVariant => events::query_runs_again(self.call, "the server's PGMQ is older"),
            Next::Reprepare => events::query_runs_again(self.call, "the prepared statement was stale"),
            Next::Repeat => events::query_runs_again(self.call, "it has conflicted with another transaction"),
            Next::Reconnect if failure == FailureClass::ReadOnly => {
                events::query_moves(self.call, "the connection refuses writes");
            }
            Next::Reconnect => events::query_moves(self.call, "the connection was lost"),
            Next::Discard | Next::Fail => {}
        }
        next
    }

    fn next(&mut self, failure: FailureClass, variant: SqlVariant<'_>) -> Next {
        match (failure, variant.since) {
            (FailureClass::UnknownFunction, Some(since)) => {
                self.lacks = Some(since);
                Next::UseOlderVariant
            }
            (FailureClass::StalePlan, _) if self.may_reprepare => {
                self.may_reprepare = false;
                Next::Reprepare
            }
            (FailureClass::NotSerializable, _) if take_one(&mut self.conflicts_left) => Next::Repeat,
            (FailureClass::NotCommitted, _) => self.move_on(),
            // One replacement shows if the server is read-only for good. More would close the connections
            // that readers use.
            (FailureClass::ReadOnly, _) if self.may_replace_read_only => {
                self.may_replace_read_only = false;
                Next::Reconnect
            }
            (FailureClass::ReadOnly | FailureClass::SessionEnded | FailureClass::Lost, _) => Next::Discard,
            (
                FailureClass::UnknownFunction
                | FailureClass::StalePlan
                | FailureClass::NotSerializable
                | FailureClass::Other,
                _,
            ) => Next::Fail,
        }
    }

    /// Decides what to do after a connection was found to be lost before anything was sent on it that the
    /// server could commit.
    pub fn reconnect(&mut self) -> Next {
        let next = self.move_on();
        if next == Next::Reconnect {
            events::query_moves(self.call, "the connection was lost before anything was sent");
        }
        next
    }

    fn move_on(&mut self) -> Next {
        if take_one(&mut self.reconnects_left) { Next::Reconnect } else { Next::Discard }
    }
}

/// Takes one from a number of attempts, and returns `false` if none is left.
fn take_one(left: &mut u32) -> bool {
    let remaining = left.checked_sub(1);
    *left = remaining.unwrap_or_default();
    remaining.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statement::{self, Action};

    const NEWER: Version = Version::new(1, 5, 0);

    fn send() -> Query<'static, i64> {
        match statement::send("q", &1).into_action() {
            Action::Run(query) => query,
            Action::Return(_) => panic!("send runs a query"),
        }
    }

    #[test]
    fn an_unknown_function_is_replaced_by_the_oldest_variant_once() {
        let (server, query) = (ServerVersion::default(), send());
        let mut retry = Retry::new(&server, 1);
        let newer = retry.variant(&query);
        assert_eq!(newer.since, Some(NEWER));
        assert_eq!(retry.after(FailureClass::UnknownFunction, newer), Next::UseOlderVariant);
        let oldest = retry.variant(&query);
        assert_eq!(oldest, query.oldest_variant());
        assert_eq!(retry.after(FailureClass::UnknownFunction, oldest), Next::Fail);
    }

    #[test]
    fn the_server_is_known_to_be_older_only_after_the_oldest_variant_worked() {
        let (server, query) = (ServerVersion::default(), send());
        let mut retry = Retry::new(&server, 1);
        let newer = retry.variant(&query);
        retry.after(FailureClass::UnknownFunction, newer);
        assert_eq!(server.supports(NEWER), None);
        retry.succeeded(retry.variant(&query));
        assert_eq!(server.supports(NEWER), Some(false));
        assert_eq!(Retry::new(&server, 1).variant(&query).since, None);
    }

    #[test]
    fn a_newer_variant_that_works_proves_the_version() {
        let (server, query) = (ServerVersion::default(), send());
        let retry = Retry::new(&server, 1);
        retry.succeeded(retry.variant(&query));
        assert_eq!(server.supports(NEWER), Some(true));
    }

    #[test]
    fn a_stale_plan_is_prepared_again_once() {
        let (server, query) = (ServerVersion::default(), send());
        let mut retry = Retry::new(&server, 1);
        let variant = retry.variant(&query);
        assert_eq!(retry.after(FailureClass::StalePlan, variant), Next::Reprepare);
        assert_eq!(retry.after(FailureClass::StalePlan, variant), Next::Fail);
    }

    #[test]
    fn an_uncommitted_query_moves_as_often_as_allowed() {
        let (server, query) = (ServerVersion::default(), send());
        for reconnects in 0..3 {
            let mut retry = Retry::new(&server, reconnects);
            let variant = retry.variant(&query);
            for _ in 0..reconnects {
                assert_eq!(retry.after(FailureClass::NotCommitted, variant), Next::Reconnect);
            }
            assert_eq!(retry.after(FailureClass::NotCommitted, variant), Next::Discard);
        }
    }

    #[test]
    fn a_conflict_is_repeated_a_limited_number_of_times() {
        let (server, query) = (ServerVersion::default(), send());
        let mut retry = Retry::new(&server, 0);
        let variant = retry.variant(&query);
        for _ in 0..CONFLICTS {
            assert_eq!(retry.after(FailureClass::NotSerializable, variant), Next::Repeat);
        }
        assert_eq!(retry.after(FailureClass::NotSerializable, variant), Next::Fail);
    }

    #[test]
    fn a_read_only_connection_is_replaced_once() {
        let (server, query) = (ServerVersion::default(), send());
        let mut retry = Retry::new(&server, 9);
        let variant = retry.variant(&query);
        assert_eq!(retry.after(FailureClass::ReadOnly, variant), Next::Reconnect);
        assert_eq!(retry.after(FailureClass::ReadOnly, variant), Next::Discard);
    }

    #[test]
    fn a_poll_is_not_repeated_after_a_conflict() {
        let server = ServerVersion::default();
        let options = crate::options::PollOptions::new();
        let poll = statement::read_with_poll::<()>("q", 1, 1, &options);
        let mut retry = Retry::new(&server, 0).of(poll.call());
        let Action::Run(query) = poll.into_action() else { panic!("a poll runs a query") };
        assert_eq!(retry.after(FailureClass::NotSerializable, query.oldest_variant()), Next::Fail);
    }

    #[test]
    fn a_connection_that_cannot_be_used_again_is_discarded() {
        let (server, query) = (ServerVersion::default(), send());
        let mut retry = Retry::new(&server, 9);
        let variant = retry.variant(&query);
        for class in [FailureClass::SessionEnded, FailureClass::Lost] {
            assert_eq!(retry.after(class, variant), Next::Discard);
        }
    }

    #[test]
    fn each_reason_to_run_again_has_its_own_limit() {
        let (server, query) = (ServerVersion::default(), send());
        let mut retry = Retry::new(&server, 1);
        let newer = retry.variant(&query);
        assert_eq!(retry.after(FailureClass::NotCommitted, newer), Next::Reconnect);
        assert_eq!(retry.after(FailureClass::StalePlan, newer), Next::Reprepare);
        assert_eq!(retry.after(FailureClass::UnknownFunction, newer), Next::UseOlderVariant);
        let oldest = retry.variant(&query);
        assert_eq!(retry.after(FailureClass::NotCommitted, oldest), Next::Discard);
        assert_eq!(retry.after(FailureClass::StalePlan, oldest), Next::Fail);
    }

    #[test]
    fn any_other_failure_is_returned() {
        let (server, query) = (ServerVersion::default(), send());
        let mut retry = Retry::new(&server, 9);
        let variant = retry.variant(&query);
        assert_eq!(retry.after(FailureClass::Other, variant), Next::Fail);
    }
}
