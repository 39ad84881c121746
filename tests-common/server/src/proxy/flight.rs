//! The recorded traffic.

/// The direction of traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the client.
    ToServer,
    /// From the server.
    ToClient,
}

/// The bytes that went one way before any went the other way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flight {
    /// The direction of the bytes.
    pub direction: Direction,
    /// All bytes of the flight, regardless of the number of chunks.
    pub bytes: Vec<u8>,
}

impl Flight {
    /// Returns the type of each message that begins in this flight, such as `Q` or `P`, `B`, `E`, `S`.
    ///
    /// Only valid after the log-in, when every flight begins with a message. The first message of a log-in
    /// has no type.
    #[must_use]
    pub fn messages(&self) -> Vec<char> {
        let mut types = Vec::new();
        let mut rest = self.bytes.as_slice();
        while let Some((head, _)) = rest.split_first_chunk::<5>() {
            let [kind, length @ ..] = *head;
            types.push(char::from(kind));
            // The length includes itself but not the type.
            let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
            rest = length.checked_add(1).and_then(|end| rest.get(end..)).unwrap_or_default();
        }
        types
    }
}
