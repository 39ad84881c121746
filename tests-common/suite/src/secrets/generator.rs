//! Connection strings with a secret, valid ones and mutated ones. The same seed generates the same string.

/// Valid strings. `{}` is the place of the secret.
const VALID: &[&str] = &[
    "postgres://app:{}@127.0.0.1:1/shop",
    "postgres://app:{}@127.0.0.1:1/shop?sslmode=disable&application_name=orders",
    "postgresql://app:{}@db.example.org/shop?sslmode=require&channel_binding=prefer",
    "postgres://app@127.0.0.1:1/shop?password={}&connect_timeout=3",
    "postgres://app:{}@h1:1,h2:2/shop?target_session_attrs=read-write",
    "postgres://app:{}@[::1]:5432/shop?options=-c%20statement_timeout%3D5s",
    "postgres:///shop?host=/run/postgresql&user=app&password={}",
    "postgres://app:x@127.0.0.1:1/shop?sslcert=/c.pem&sslkey=/k.pem&sslpassword={}&sslmode=prefer",
    "postgres://app:{}@127.0.0.1:1/shop?pgbouncer=true&connection_limit=1",
    "host=127.0.0.1 port=1 user=app password={} dbname=shop",
    "host=127.0.0.1 port=1 user=app password='{}' dbname=shop sslmode=disable",
    "user=app password={} host=127.0.0.1 port=1 application_name='my app'",
    "dbname=shop host=/run/postgresql user=app password = '{}'",
    "host=127.0.0.1 port=1 dbname=shop user=app sslpassword={} sslmode=prefer",
];

/// The characters of secrets: no four of them are a part of a word of a message, or of an address in memory.
const SECRET: &[u8] = b"jkvwxzJKVWXZ7";

/// Texts before a secret, as a part of the password. A number can be taken for a port.
const PREFIXES: &[&str] = &["", "", "12", "5432", "1#", "1/", "x"];

/// Characters that have a meaning in a connection string, or surprise a parser.
const SPECIAL: &[&str] = &[
    "@", "/", "?", "#", ":", "&", "=", ";", ",", "%", "'", "\"", "\\", " ", "\n", "\t", "[", "]", "+", "$",
    "|", "<", "\u{a0}", "ä", "\0", "%zz", "%00", "%40", "%", "://", "//", "''", "=''", " =", "= ", "&=",
    "\r\n",
];

const MARKS: &[(&str, &str)] = &[
    ("\"", "\""),
    ("'", "'"),
    ("`", "`"),
    ("“", "”"),
    ("„", "“"),
    ("‘", "’"),
    ("«", "»"),
    ("\"", ""),
    ("", "'"),
];

const SCHEMES: &[&str] = &[
    "mysql://",
    "POSTGRES://",
    "Postgresql://",
    "postgres:/",
    "postgres:",
    "postgre://",
    "jdbc:postgresql://",
    "http://",
    "",
    "//",
    "postgresql+psycopg2://",
    "postgres://postgres://",
];

const BEFORE: &[&str] = &[
    "DATABASE_URL=",
    "export DATABASE_URL=",
    "url: ",
    "psql ",
    "\u{feff}",
    " ",
    "\n",
    "DATABASE_URL='",
    "=",
];

const BETWEEN: &[&str] = &["", " ", "\n", ";", ",", "/", "?", "&"];

/// A connection string, and the secret in it.
pub(crate) struct Case {
    pub(crate) text: String,
    pub(crate) secret: String,
}

/// A generator of pseudo-random numbers: SplitMix64.
pub(crate) struct Generator(u64);

impl Generator {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`; 0 if the limit is 0.
    fn below(&mut self, limit: usize) -> usize {
        let limit = u64::try_from(limit).expect("a length").max(1);
        usize::try_from(self.next() % limit).expect("below a length")
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// A valid string with up to three mutations.
    pub(crate) fn case(&mut self) -> Case {
        let length = 8 + self.below(12);
        let secret: String = (0..length).map(|_| char::from(self.one(SECRET))).collect();
        let mut inserted = format!("{}{secret}", self.one(PREFIXES));
        // Half of the secrets contain special characters, of which a valid string would encode some.
        for _ in 0..self.below(6).saturating_sub(2) {
            let at = self.below(inserted.len() + 1);
            let at = floor(&inserted, at);
            inserted.insert_str(at, self.one(SPECIAL));
        }
        let mut text = self.one(VALID).replace("{}", &inserted);
        for _ in 0..self.below(4) {
            text = self.mutated(&text);
        }
        Case { text, secret }
    }

    fn place(&mut self, text: &str) -> usize {
        let at = self.below(text.len() + 1);
        floor(text, at)
    }

    fn mutated(&mut self, text: &str) -> String {
        let (one, other) = (self.place(text), self.place(text));
        let (from, to) = (one.min(other), one.max(other));
        match self.below(16) {
            0 => {
                let (open, close) = self.one(MARKS);
                format!("{open}{text}{close}")
            }
            1 | 2 => format!("{}{}{}", &text[..from], self.one(SPECIAL), &text[from..]),
            3 => {
                let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
                format!("{}{rest}", self.one(SCHEMES))
            }
            4 => format!("{}{text}", self.one(BEFORE)),
            // Cut in half, or cut out.
            5 => text[from..].to_owned(),
            6 => text[..to].to_owned(),
            7 => format!("{}{}", &text[..from], &text[to..]),
            8 => format!("{text}{}{text}", self.one(BETWEEN)),
            9 => {
                // A part is repeated, which may run into the next.
                format!("{}{}{}", &text[..to], self.one(BETWEEN), &text[from..])
            }
            10 => swapped(text, from, to),
            11 => without_character(text, from),
            12 => format!("{}{}{}", &text[..from], text[from..to].to_ascii_uppercase(), &text[to..]),
            13 => {
                let (of, by) = (self.one(&["&", " ", ":", "@", "/", "=", "?"]), self.one(SPECIAL));
                text.replacen(of, by, 1 + self.below(3))
            }
            14 => self.misspelt(text),
            _ => {
                let encoded: String = text[from..to].bytes().map(|byte| format!("%{byte:02x}")).collect();
                format!("{}{encoded}{}", &text[..from], &text[to..])
            }
        }
    }

    /// Changes a letter before an equals sign.
    fn misspelt(&mut self, text: &str) -> String {
        let signs: Vec<_> = text.match_indices('=').map(|(at, _)| at).collect();
        if signs.is_empty() {
            return text.to_lowercase();
        }
        let sign = self.one(&signs);
        let back = 1 + self.below(4);
        let at = floor(text, sign.saturating_sub(back));
        let letter = char::from(self.one(b"abcdefghijklmnopqrstuvwxyz"));
        let mut changed = without_character(text, at);
        changed.insert(at, letter);
        changed
    }
}

/// The begin of the character at a place.
fn floor(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

fn without_character(text: &str, at: usize) -> String {
    let mut rest = text[at..].chars();
    rest.next();
    format!("{}{}", &text[..at], rest.as_str())
}

/// Swaps the characters at two places.
fn swapped(text: &str, from: usize, to: usize) -> String {
    let mut characters: Vec<_> = text.chars().collect();
    let (from, to) = (text[..from].chars().count(), text[..to].chars().count());
    if to < characters.len() {
        characters.swap(from, to);
    }
    characters.into_iter().collect()
}
