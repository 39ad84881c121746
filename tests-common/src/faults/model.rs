//! What is known of every message: the ledger that a trial keeps, and the checks of what it comes to.

use std::collections::{BTreeMap, BTreeSet, HashMap};

/// A message as it was read or found: its number, which the sender gave it, and the id that the server gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Seen {
    pub(super) number: u64,
    pub(super) id: i64,
    pub(super) read_ct: i32,
}

/// What lies in the tables of the queue when all is quiet.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) queue: Vec<Seen>,
    pub(super) archive: Vec<Seen>,
}

/// How a message was finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Finish {
    Deleted,
    Archived,
    Popped,
}

/// How often something was left in doubt, because the answer was lost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Doubts {
    pub(super) sends: u64,
    pub(super) reads: u64,
    pub(super) pops: u64,
    pub(super) finishes: u64,
}

/// What was sent, read and finished, as far as it was confirmed.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// The calls that sent, each with the numbers that it sent: in one go, or not at all.
    sends: Vec<Vec<u64>>,
    /// How many numbers were given out: all that are smaller.
    numbers: u64,
    /// The ids that sends returned, by number.
    sent: HashMap<u64, i64>,
    /// The numbers whose sends were refused.
    refused: BTreeSet<u64>,
    read: Vec<Seen>,
    finished: HashMap<i64, Finish>,
    /// How many messages the reads in doubt may have hidden at most.
    may_be_hidden: usize,
    doubts: Doubts,
    /// What was wrong at once.
    wrong: Vec<String>,
}

impl Ledger {
    /// Gives out numbers for the messages of a call that is about to send them.
    pub(super) fn begin_send(&mut self, count: u64) -> Vec<u64> {
        let numbers: Vec<_> = (self.numbers..self.numbers + count).collect();
        self.numbers += count;
        self.sends.push(numbers.clone());
        numbers
    }

    /// A send returned these ids.
    pub(super) fn sent(&mut self, numbers: &[u64], ids: &[i64]) {
        if numbers.len() != ids.len() {
            self.wrong.push(format!("sending {numbers:?} returned {ids:?}"));
        }
        self.sent.extend(numbers.iter().copied().zip(ids.iter().copied()));
    }

    /// A send failed in a way that says that nothing was stored.
    pub(super) fn send_refused(&mut self, numbers: &[u64]) {
        self.refused.extend(numbers);
    }

    pub(super) fn send_in_doubt(&mut self) {
        self.doubts.sends += 1;
    }

    /// A read or pop returned these.
    pub(super) fn read(&mut self, messages: &[Seen]) {
        self.read.extend(messages);
    }

    /// A read of up to `qty` messages got no answer.
    pub(super) fn read_in_doubt(&mut self, qty: usize) {
        self.doubts.reads += 1;
        self.may_be_hidden += qty;
    }

    /// A pop of one message got no answer.
    pub(super) fn pop_in_doubt(&mut self) {
        self.doubts.pops += 1;
    }

    /// Of `asked`, the server says that it finished `done`. It may have finished the others before, if it was asked before.
    pub(super) fn finished(&mut self, asked: &[i64], done: &[i64], how: Finish, asked_before: bool) {
        let missing: Vec<_> = asked.iter().filter(|id| !done.contains(id)).collect();
        if !missing.is_empty() && !asked_before {
            self.wrong.push(format!("{missing:?} could not be finished: they were not there"));
        }
        self.finished.extend(asked.iter().map(|&id| (id, how)));
    }

    pub(super) fn finish_in_doubt(&mut self) {
        self.doubts.finishes += 1;
    }

    /// How many messages were sent and confirmed.
    pub(super) fn messages(&self) -> usize {
        self.sent.len()
    }

    pub(super) fn doubts(&self) -> Doubts {
        self.doubts
    }

    /// The messages that a read in doubt has hidden: they were read, and nobody has got them.
    pub(super) fn hidden(&self, found: &Found) -> Vec<Seen> {
        let read: BTreeSet<_> = self.read.iter().map(|seen| seen.id).collect();
        found.queue.iter().filter(|seen| seen.read_ct > 0 && !read.contains(&seen.id)).copied().collect()
    }

    /// The numbers of messages that are gone without anybody having got them.
    pub(super) fn gone(&self, found: &Found) -> Vec<u64> {
        let there: BTreeSet<_> = self.seen(found).map(|seen| seen.number).collect();
        // One message of a call proves that all of them were sent.
        let was_sent = |numbers: &&Vec<u64>| {
            numbers.iter().any(|number| self.sent.contains_key(number) || there.contains(number))
        };
        let sent = self.sends.iter().filter(was_sent).flatten();
        sent.filter(|number| !there.contains(number)).copied().collect()
    }

    /// All that is wrong with what was read, and with what is found in the end.
    pub(super) fn faults(&self, found: &Found) -> Vec<String> {
        [
            self.wrong.clone(),
            self.lost(found),
            self.sent_twice(found),
            self.read_twice(),
            self.strangers(found),
            self.come_back(found),
            self.hidden_too_many(found),
            self.left_behind(found),
        ]
        .concat()
    }

    /// No message is gone, but one for each pop in doubt, and none is there without those that were sent with it.
    fn lost(&self, found: &Found) -> Vec<String> {
        let (gone, pops) = (self.gone(found), self.doubts.pops);
        let is_wrong = u64::try_from(gone.len()).is_ok_and(|gone| gone > pops);
        is_wrong.then(|| format!("lost, with {pops} pops in doubt: {gone:?}")).into_iter().collect()
    }

    /// Each number has one id.
    fn sent_twice(&self, found: &Found) -> Vec<String> {
        let mut ids: BTreeMap<u64, BTreeSet<i64>> = BTreeMap::new();
        let sent = self.sent.iter().map(|(&number, &id)| (number, id));
        for (number, id) in sent.chain(self.seen(found).map(|seen| (seen.number, seen.id))) {
            ids.entry(number).or_default().insert(id);
        }
        let twice = ids.iter().filter(|(_, ids)| ids.len() > 1);
        twice.map(|(number, ids)| format!("{number} was sent more than once: {ids:?}")).collect()
    }

    /// Each message is read once: nobody's visibility timeout is over before the end.
    fn read_twice(&self) -> Vec<String> {
        let mut once = BTreeSet::new();
        let again = self.read.iter().filter(|seen| !once.insert(seen.id) || seen.read_ct > 1);
        again.map(|seen| format!("read more than once: {seen:?}")).collect()
    }

    /// Nothing is there that nobody sent, or whose send was refused.
    fn strangers(&self, found: &Found) -> Vec<String> {
        let is_strange = |seen: &&Seen| seen.number >= self.numbers || self.refused.contains(&seen.number);
        let strangers = self.seen(found).filter(is_strange);
        strangers.map(|seen| format!("nobody sent {seen:?}")).collect()
    }

    /// What was finished is where it belongs, and what was not is still in the queue.
    fn come_back(&self, found: &Found) -> Vec<String> {
        let in_queue: BTreeSet<_> = found.queue.iter().map(|seen| seen.id).collect();
        let in_archive: BTreeSet<_> = found.archive.iter().map(|seen| seen.id).collect();
        let misplaced = self.finished.iter().filter(|&(id, &how)| {
            in_queue.contains(id) || in_archive.contains(id) != (how == Finish::Archived)
        });
        let finished = misplaced.map(|(id, how)| format!("{id} is not where it belongs: {how:?}"));
        let unfinished = self
            .read
            .iter()
            .filter(|seen| !self.finished.contains_key(&seen.id) && !in_queue.contains(&seen.id));
        finished.chain(unfinished.map(|seen| format!("finished by nobody: {seen:?}"))).collect()
    }

    /// What is hidden and was read by nobody was hidden by a read in doubt.
    fn hidden_too_many(&self, found: &Found) -> Vec<String> {
        let (hidden, limit) = (self.hidden(found), self.may_be_hidden);
        let is_wrong = hidden.len() > limit;
        is_wrong.then(|| format!("hidden, and only {limit} may be: {hidden:?}")).into_iter().collect()
    }

    /// The consumers went on until there was nothing more, so all was read, but for what a send in doubt has sent since.
    fn left_behind(&self, found: &Found) -> Vec<String> {
        let left =
            found.queue.iter().filter(|seen| seen.read_ct == 0 && self.sent.contains_key(&seen.number));
        left.map(|seen| format!("could not be read: {seen:?}")).collect()
    }

    /// Every message that was read or is found.
    fn seen<'a>(&'a self, found: &'a Found) -> impl Iterator<Item = &'a Seen> {
        self.read.iter().chain(&found.queue).chain(&found.archive)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(number: u64) -> Seen {
        Seen { number, id: i64::try_from(number).unwrap() + 100, read_ct: 1 }
    }

    /// Three messages: one is read and deleted, one read and archived, one still in the queue.
    fn all_is_well() -> (Ledger, Found) {
        let mut ledger = Ledger::default();
        for numbers in [ledger.begin_send(1), ledger.begin_send(2)] {
            let ids: Vec<_> = numbers.iter().map(|&number| seen(number).id).collect();
            ledger.sent(&numbers, &ids);
        }
        ledger.read(&[seen(0), seen(1)]);
        ledger.finished(&[100], &[100], Finish::Deleted, false);
        ledger.finished(&[101], &[101], Finish::Archived, false);
        ledger.read_in_doubt(1);
        (ledger, Found { queue: vec![seen(2)], archive: vec![seen(1)] })
    }

    #[track_caller]
    fn is_wrong(what: &str, change: impl FnOnce(&mut Ledger, &mut Found)) {
        let (mut ledger, mut found) = all_is_well();
        assert_eq!(ledger.faults(&found), Vec::<String>::new());
        change(&mut ledger, &mut found);
        let faults = ledger.faults(&found);
        assert!(faults.iter().any(|fault| fault.contains(what)), "{faults:?}");
    }

    #[test]
    fn a_message_that_is_lost_is_missed() {
        is_wrong("lost, with 0 pops in doubt: [2]", |_, found| found.queue.clear());
    }

    #[test]
    fn a_pop_in_doubt_excuses_one_message() {
        let (mut ledger, mut found) = all_is_well();
        found.queue.clear();
        ledger.pop_in_doubt();
        assert_eq!(ledger.faults(&found), Vec::<String>::new());
        assert_eq!(ledger.gone(&found), [2]);
    }

    #[test]
    fn half_of_a_batch_in_doubt_is_missed() {
        is_wrong("lost, with 0 pops in doubt: [4]", |ledger, found| {
            ledger.begin_send(2);
            ledger.send_in_doubt();
            found.queue.push(seen(3));
            ledger.read_in_doubt(1);
        });
    }

    #[test]
    fn a_send_in_doubt_may_have_worked_or_not() {
        for worked in [false, true] {
            let (mut ledger, mut found) = all_is_well();
            ledger.begin_send(1);
            ledger.send_in_doubt();
            ledger.read_in_doubt(1);
            found.queue.extend(worked.then(|| seen(3)));
            assert_eq!(ledger.faults(&found), Vec::<String>::new());
        }
    }

    #[test]
    fn a_message_that_was_sent_twice_is_noticed() {
        is_wrong("2 was sent more than once", |_, found| found.queue.push(Seen { id: 7, ..seen(2) }));
    }

    #[test]
    fn a_message_that_is_read_twice_is_noticed() {
        is_wrong("read more than once", |ledger, _| ledger.read(&[seen(0)]));
        is_wrong("read more than once", |ledger, _| ledger.read(&[Seen { read_ct: 2, ..seen(2) }]));
    }

    #[test]
    fn a_message_that_nobody_sent_is_noticed() {
        is_wrong("nobody sent", |_, found| found.archive.push(seen(9)));
    }

    #[test]
    fn a_message_whose_send_was_refused_is_noticed() {
        is_wrong("nobody sent", |ledger, found| {
            let numbers = ledger.begin_send(1);
            ledger.send_refused(&numbers);
            found.queue.push(Seen { read_ct: 0, ..seen(3) });
        });
    }

    #[test]
    fn a_message_that_comes_back_is_noticed() {
        is_wrong("100 is not where it belongs", |_, found| found.queue.push(seen(0)));
        is_wrong("101 is not where it belongs", |_, found| found.archive.clear());
    }

    #[test]
    fn a_message_that_goes_while_somebody_has_it_is_missed() {
        is_wrong("finished by nobody", |ledger, found| {
            ledger.read(&[seen(2)]);
            found.queue.clear();
        });
    }

    #[test]
    fn a_finish_that_finds_nothing_is_noticed_unless_it_was_tried_before() {
        is_wrong("could not be finished", |ledger, _| ledger.finished(&[100], &[], Finish::Deleted, false));
        let (mut ledger, found) = all_is_well();
        ledger.finish_in_doubt();
        ledger.finished(&[100], &[], Finish::Deleted, true);
        assert_eq!(ledger.faults(&found), Vec::<String>::new());
    }

    #[test]
    fn what_is_hidden_without_a_read_in_doubt_is_noticed() {
        is_wrong("hidden, and only 1 may be", |ledger, found| {
            let numbers = ledger.begin_send(1);
            ledger.sent(&numbers, &[103]);
            found.queue.push(seen(3));
        });
    }

    #[test]
    fn a_message_that_nobody_could_read_is_noticed_unless_its_send_is_in_doubt() {
        is_wrong("could not be read", |_, found| found.queue[0].read_ct = 0);
        let (mut ledger, mut found) = all_is_well();
        ledger.begin_send(1);
        ledger.send_in_doubt();
        found.queue.push(Seen { read_ct: 0, ..seen(3) });
        assert_eq!(ledger.faults(&found), Vec::<String>::new());
    }
}
