//! The messages that the machine holds.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use pgmq_core::Claim;

use crate::machine::message::Message;

/// The key of a message. A key outlives its message, and then finds nothing, so queues need not be searched
/// when a message ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Key {
    /// The place.
    index: usize,
    /// The number of the message, which no other has.
    serial: u64,
}

/// The messages, found by key and by claim.
#[derive(Debug, Default)]
pub(super) struct Store {
    /// The places.
    places: Vec<Option<Place>>,
    /// The empty places.
    empty: Vec<usize>,
    /// The latest message of each id.
    latest: HashMap<i64, Key>,
    /// The number of the next message.
    next: u64,
}

/// A message in its place.
#[derive(Debug)]
struct Place {
    /// The number of the message.
    serial: u64,
    /// The message of an earlier claim of the same id.
    earlier: Option<Key>,
    /// The message.
    message: Message,
}

impl Store {
    /// The number of messages.
    pub(super) fn len(&self) -> usize {
        self.places.len() - self.empty.len()
    }

    /// Adds a message, the latest of its id.
    pub(super) fn insert(&mut self, message: Message) -> Key {
        let serial = self.next;
        self.next += 1;
        let index = self.empty.pop().unwrap_or_else(|| {
            self.places.push(None);
            self.places.len() - 1
        });
        let key = Key { index, serial };
        let earlier = self.latest.insert(message.claim.msg_id, key);
        self.places[index] = Some(Place { serial, earlier, message });
        key
    }

    /// The message of a key.
    pub(super) fn get(&self, key: Key) -> Option<&Message> {
        self.place(key).map(|place| &place.message)
    }

    /// The message of a key.
    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut Message> {
        match self.places.get_mut(key.index) {
            Some(Some(place)) if place.serial == key.serial => Some(&mut place.message),
            _ => None,
        }
    }

    /// Removes a message.
    pub(super) fn remove(&mut self, key: Key) -> Option<Message> {
        self.place(key)?;
        let gone = self.places[key.index].take()?;
        self.empty.push(key.index);
        let id = gone.message.claim.msg_id;
        if let Entry::Occupied(mut entry) = self.latest.entry(id) {
            if *entry.get() == key {
                match gone.earlier {
                    Some(earlier) => drop(entry.insert(earlier)),
                    None => drop(entry.remove()),
                }
            } else {
                let mut later = Some(*entry.get());
                while let Some(at) = later {
                    let Some(Some(place)) = self.places.get_mut(at.index) else { break };
                    if place.earlier == Some(key) {
                        place.earlier = gone.earlier;
                        break;
                    }
                    later = place.earlier;
                }
            }
        }
        Some(gone.message)
    }

    /// The message of a claim.
    pub(super) fn find(&self, claim: Claim) -> Option<Key> {
        self.of_id(claim.msg_id).find(|&key| self.get(key).is_some_and(|message| message.claim == claim))
    }

    /// The messages of an id, the latest first. More than one is rare.
    pub(super) fn of_id(&self, id: i64) -> impl Iterator<Item = Key> + '_ {
        let first = self.latest.get(&id).copied();
        std::iter::successors(first, |&key| self.place(key).and_then(|place| place.earlier))
    }

    /// All messages.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Key, &Message)> {
        self.places.iter().enumerate().filter_map(|(index, place)| {
            let place = place.as_ref()?;
            Some((Key { index, serial: place.serial }, &place.message))
        })
    }

    /// The place of a key.
    fn place(&self, key: Key) -> Option<&Place> {
        self.places.get(key.index)?.as_ref().filter(|place| place.serial == key.serial)
    }
}
