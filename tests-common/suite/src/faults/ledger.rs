//! The ledger of an experiment: everything that is known of each message, and the checks of it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

/// A message as it was read, or found in a table: the number that the sender assigned, and the id that the
/// server assigned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Seen {
    pub(crate) number: u64,
    pub(crate) id: i64,
    pub(crate) read_ct: i32,
}

/// The contents of the queue's tables after all workers have ended.
#[derive(Debug, Default)]
pub(crate) struct QueueContents {
    pub(crate) queue: Vec<Seen>,
    pub(crate) archive: Vec<Seen>,
}

/// The way that a message was finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finish {
    Deleted,
    Archived,
    Popped,
}

/// Number of calls that were left in doubt, because their answers were lost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Doubts {
    pub(crate) sends: u64,
    pub(crate) reads: u64,
    pub(crate) pops: u64,
    pub(crate) finishes: u64,
}

/// Everything that was sent, read and finished, as far as it was confirmed.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// The numbers of each call that sends. A call sends all of its messages or none.
    sends: Vec<Vec<u64>>,
    /// The next number. All smaller numbers are assigned.
    numbers: u64,
    /// The ids that sends returned, by number.
    sent: HashMap<u64, i64>,
    /// The numbers of messages whose sends returned no ids, because only the commit of a transaction confirms
    /// them.
    committed: BTreeSet<u64>,
    /// The numbers of messages whose sends were refused.
    refused: BTreeSet<u64>,
    read: Vec<Seen>,
    finished: HashMap<i64, Finish>,
    /// Maximum number of messages that reads in doubt may have hidden.
    may_be_hidden: usize,
    doubts: Doubts,
    /// Violations that a call itself has shown.
    immediate: Vec<String>,
}

impl Ledger {
    /// Assigns numbers to the messages of a call that is about to send them.
    pub(crate) fn begin_send(&mut self, count: u64) -> Vec<u64> {
        let numbers: Vec<_> = (self.numbers..self.numbers + count).collect();
        self.numbers += count;
        self.sends.push(numbers.clone());
        numbers
    }

    /// Records that a send returned these ids.
    pub(crate) fn sent(&mut self, numbers: &[u64], ids: &[i64]) {
        if numbers.len() != ids.len() {
            self.immediate.push(format!("sending {numbers:?} returned {ids:?}"));
        }
        self.sent.extend(numbers.iter().copied().zip(ids.iter().copied()));
    }

    /// Records that a transaction in which these messages were sent was committed.
    pub(crate) fn committed(&mut self, numbers: &[u64]) {
        self.committed.extend(numbers);
    }

    /// Records that a send failed with an error after which nothing is stored.
    pub(crate) fn send_refused(&mut self, numbers: &[u64]) {
        self.refused.extend(numbers);
    }

    /// Records that a send got no answer.
    pub(crate) fn send_in_doubt(&mut self) {
        self.doubts.sends += 1;
    }

    /// Records that a read or pop returned these messages.
    pub(crate) fn read(&mut self, messages: &[Seen]) {
        self.read.extend(messages);
    }

    /// Records that a read of up to `qty` messages got no answer.
    pub(crate) fn read_in_doubt(&mut self, qty: usize) {
        self.doubts.reads += 1;
        self.may_be_hidden += qty;
    }

    /// Records that a pop of one message got no answer.
    pub(crate) fn pop_in_doubt(&mut self) {
        self.doubts.pops += 1;
    }

    /// Records that the server finished `done` of the ids in `asked`. If it was asked before, it may have
    /// finished the others then.
    pub(crate) fn finished(&mut self, asked: &[i64], done: &[i64], how: Finish, asked_before: bool) {
        let missing: Vec<_> = asked.iter().filter(|id| !done.contains(id)).collect();
        if !missing.is_empty() && !asked_before {
            self.immediate.push(format!("{missing:?} could not be finished: they were not in the queue"));
        }
        self.finished.extend(asked.iter().map(|&id| (id, how)));
    }

    /// Records that a delete or archive got no answer.
    pub(crate) fn finish_in_doubt(&mut self) {
        self.doubts.finishes += 1;
    }

    /// Number of messages that were sent and confirmed.
    pub(crate) fn messages(&self) -> usize {
        self.sent.len() + self.committed.len()
    }

    fn is_confirmed(&self, number: u64) -> bool {
        self.sent.contains_key(&number) || self.committed.contains(&number)
    }

    pub(crate) fn doubts(&self) -> Doubts {
        self.doubts
    }

    /// The messages that a read in doubt has hidden: the server counted a read, and no consumer received
    /// them.
    pub(crate) fn hidden(&self, contents: &QueueContents) -> Vec<Seen> {
        let read: BTreeSet<_> = self.read.iter().map(|seen| seen.id).collect();
        contents.queue.iter().filter(|seen| seen.read_ct > 0 && !read.contains(&seen.id)).copied().collect()
    }

    /// The numbers of sent messages that are in no table and that no consumer received.
    pub(crate) fn missing(&self, contents: &QueueContents) -> Vec<u64> {
        let there: BTreeSet<_> = self.seen(contents).map(|seen| seen.number).collect();
        // One message of a call proves that the whole call was executed.
        let was_sent = |numbers: &&Vec<u64>| {
            numbers.iter().any(|number| self.is_confirmed(*number) || there.contains(number))
        };
        let sent = self.sends.iter().filter(was_sent).flatten();
        sent.filter(|number| !there.contains(number)).copied().collect()
    }

    /// Everything that is wrong with the messages that were read, and with the final contents of the queue.
    pub(crate) fn violations(&self, contents: &QueueContents) -> Vec<String> {
        [
            self.immediate.clone(),
            self.lost(contents),
            self.sent_twice(contents),
            self.read_twice(),
            self.never_sent(contents),
            self.misplaced(contents),
            self.hidden_too_many(contents),
            self.unread(contents),
        ]
        .concat()
    }

    /// No message is missing, except one for each pop in doubt, and no part of a batch is missing.
    fn lost(&self, contents: &QueueContents) -> Vec<String> {
        let (missing, pops) = (self.missing(contents), self.doubts.pops);
        let is_wrong = u64::try_from(missing.len()).is_ok_and(|missing| missing > pops);
        is_wrong.then(|| format!("lost, with {pops} pops in doubt: {missing:?}")).into_iter().collect()
    }

    /// Each number has one id.
    fn sent_twice(&self, contents: &QueueContents) -> Vec<String> {
        let mut ids: BTreeMap<u64, BTreeSet<i64>> = BTreeMap::new();
        let sent = self.sent.iter().map(|(&number, &id)| (number, id));
        for (number, id) in sent.chain(self.seen(contents).map(|seen| (seen.number, seen.id))) {
            ids.entry(number).or_default().insert(id);
        }
        let twice = ids.iter().filter(|(_, ids)| ids.len() > 1);
        twice.map(|(number, ids)| format!("{number} was sent more than once: {ids:?}")).collect()
    }

    /// Each message is read once: no visibility timeout expires before the end.
    fn read_twice(&self) -> Vec<String> {
        let mut once = BTreeSet::new();
        let again = self.read.iter().filter(|seen| !once.insert(seen.id) || seen.read_ct > 1);
        again.map(|seen| format!("read more than once: {seen:?}")).collect()
    }

    /// No message exists that was never sent, or whose send was refused.
    fn never_sent(&self, contents: &QueueContents) -> Vec<String> {
        let is_unknown = |seen: &&Seen| seen.number >= self.numbers || self.refused.contains(&seen.number);
        let never_sent = self.seen(contents).filter(is_unknown);
        never_sent.map(|seen| format!("never sent: {seen:?}")).collect()
    }

    /// Finished messages are in the table where they belong, and unfinished messages are still in the queue.
    fn misplaced(&self, contents: &QueueContents) -> Vec<String> {
        let in_queue: BTreeSet<_> = contents.queue.iter().map(|seen| seen.id).collect();
        let in_archive: BTreeSet<_> = contents.archive.iter().map(|seen| seen.id).collect();
        let misplaced = self.finished.iter().filter(|&(id, &how)| {
            in_queue.contains(id) || in_archive.contains(id) != (how == Finish::Archived)
        });
        let finished = misplaced.map(|(id, how)| format!("{id} is in the wrong table: {how:?}"));
        let unfinished = self
            .read
            .iter()
            .filter(|seen| !self.finished.contains_key(&seen.id) && !in_queue.contains(&seen.id));
        finished.chain(unfinished.map(|seen| format!("gone without being finished: {seen:?}"))).collect()
    }

    /// Only reads in doubt hide messages that no consumer received.
    fn hidden_too_many(&self, contents: &QueueContents) -> Vec<String> {
        let (hidden, limit) = (self.hidden(contents), self.may_be_hidden);
        let is_wrong = hidden.len() > limit;
        is_wrong.then(|| format!("hidden, and only {limit} may be: {hidden:?}")).into_iter().collect()
    }

    /// The consumers have emptied the queue, so every message was read, except messages of sends in doubt.
    fn unread(&self, contents: &QueueContents) -> Vec<String> {
        let left = contents.queue.iter().filter(|seen| seen.read_ct == 0 && self.is_confirmed(seen.number));
        left.map(|seen| format!("could not be read: {seen:?}")).collect()
    }

    /// Every message that was read, or is in a table.
    fn seen<'a>(&'a self, contents: &'a QueueContents) -> impl Iterator<Item = &'a Seen> {
        self.read.iter().chain(&contents.queue).chain(&contents.archive)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(number: u64) -> Seen {
        Seen { number, id: i64::try_from(number).unwrap() + 100, read_ct: 1 }
    }

    /// Three messages: one was read and deleted, one was read and archived, and one is still in the queue.
    fn consistent() -> (Ledger, QueueContents) {
        let mut ledger = Ledger::default();
        for numbers in [ledger.begin_send(1), ledger.begin_send(2)] {
            let ids: Vec<_> = numbers.iter().map(|&number| seen(number).id).collect();
            ledger.sent(&numbers, &ids);
        }
        ledger.read(&[seen(0), seen(1)]);
        ledger.finished(&[100], &[100], Finish::Deleted, false);
        ledger.finished(&[101], &[101], Finish::Archived, false);
        ledger.read_in_doubt(1);
        (ledger, QueueContents { queue: vec![seen(2)], archive: vec![seen(1)] })
    }

    #[track_caller]
    fn detects(what: &str, change: impl FnOnce(&mut Ledger, &mut QueueContents)) {
        let (mut ledger, mut contents) = consistent();
        assert_eq!(ledger.violations(&contents), Vec::<String>::new());
        change(&mut ledger, &mut contents);
        let violations = ledger.violations(&contents);
        assert!(violations.iter().any(|violation| violation.contains(what)), "{violations:?}");
    }

    #[test]
    fn a_lost_message_is_detected() {
        detects("lost, with 0 pops in doubt: [2]", |_, contents| contents.queue.clear());
    }

    #[test]
    fn a_pop_in_doubt_excuses_one_message() {
        let (mut ledger, mut contents) = consistent();
        contents.queue.clear();
        ledger.pop_in_doubt();
        assert_eq!(ledger.violations(&contents), Vec::<String>::new());
        assert_eq!(ledger.missing(&contents), [2]);
    }

    #[test]
    fn a_lost_message_of_a_transaction_is_detected() {
        detects("lost, with 0 pops in doubt: [3, 4]", |ledger, _| {
            let numbers = ledger.begin_send(2);
            ledger.committed(&numbers);
        });
    }

    #[test]
    fn a_missing_half_of_a_batch_in_doubt_is_detected() {
        detects("lost, with 0 pops in doubt: [4]", |ledger, contents| {
            ledger.begin_send(2);
            ledger.send_in_doubt();
            contents.queue.push(seen(3));
            ledger.read_in_doubt(1);
        });
    }

    #[test]
    fn a_send_in_doubt_may_have_worked_or_not() {
        for worked in [false, true] {
            let (mut ledger, mut contents) = consistent();
            ledger.begin_send(1);
            ledger.send_in_doubt();
            ledger.read_in_doubt(1);
            contents.queue.extend(worked.then(|| seen(3)));
            assert_eq!(ledger.violations(&contents), Vec::<String>::new());
        }
    }

    #[test]
    fn a_message_that_was_sent_twice_is_detected() {
        detects("2 was sent more than once", |_, contents| contents.queue.push(Seen { id: 7, ..seen(2) }));
    }

    #[test]
    fn a_message_that_is_read_twice_is_detected() {
        detects("read more than once", |ledger, _| ledger.read(&[seen(0)]));
        detects("read more than once", |ledger, _| ledger.read(&[Seen { read_ct: 2, ..seen(2) }]));
    }

    #[test]
    fn a_message_that_was_never_sent_is_detected() {
        detects("never sent", |_, contents| contents.archive.push(seen(9)));
    }

    #[test]
    fn a_message_whose_send_was_refused_is_detected() {
        detects("never sent", |ledger, contents| {
            let numbers = ledger.begin_send(1);
            ledger.send_refused(&numbers);
            contents.queue.push(Seen { read_ct: 0, ..seen(3) });
        });
    }

    #[test]
    fn a_message_in_the_wrong_table_is_detected() {
        detects("100 is in the wrong table", |_, contents| contents.queue.push(seen(0)));
        detects("101 is in the wrong table", |_, contents| contents.archive.clear());
    }

    #[test]
    fn a_message_that_disappears_after_it_was_read_is_detected() {
        detects("gone without being finished", |ledger, contents| {
            ledger.read(&[seen(2)]);
            contents.queue.clear();
        });
    }

    #[test]
    fn a_finish_of_a_missing_message_is_detected_unless_it_was_tried_before() {
        detects("could not be finished", |ledger, _| ledger.finished(&[100], &[], Finish::Deleted, false));
        let (mut ledger, contents) = consistent();
        ledger.finish_in_doubt();
        ledger.finished(&[100], &[], Finish::Deleted, true);
        assert_eq!(ledger.violations(&contents), Vec::<String>::new());
    }

    #[test]
    fn a_hidden_message_without_a_read_in_doubt_is_detected() {
        detects("hidden, and only 1 may be", |ledger, contents| {
            let numbers = ledger.begin_send(1);
            ledger.sent(&numbers, &[103]);
            contents.queue.push(seen(3));
        });
    }

    #[test]
    fn an_unread_message_is_detected_unless_its_send_is_in_doubt() {
        detects("could not be read", |_, contents| contents.queue[0].read_ct = 0);
        detects("could not be read", |ledger, contents| {
            let numbers = ledger.begin_send(1);
            ledger.committed(&numbers);
            contents.queue.push(Seen { read_ct: 0, ..seen(3) });
        });
        let (mut ledger, mut contents) = consistent();
        ledger.begin_send(1);
        ledger.send_in_doubt();
        contents.queue.push(Seen { read_ct: 0, ..seen(3) });
        assert_eq!(ledger.violations(&contents), Vec::<String>::new());
    }
}
