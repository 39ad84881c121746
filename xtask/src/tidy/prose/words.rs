//! The words that comments must not open with, and those that prose avoids.

/// Words that hide the subject when a comment opens with them.
pub(super) const OPENERS: [(&str, &str); 15] = [
    ("How", "name the thing: \"The number of ..\""),
    ("It", "repeat the noun"),
    ("Says", "write Returns, Reports or Documents"),
    ("Tells", "write Returns, Reports or Distinguishes"),
    ("That", "name the thing"),
    ("These", "name the things"),
    ("They", "repeat the noun"),
    ("This", "name the thing"),
    ("Those", "name the things"),
    ("What", "name the thing: \"A read message is hidden ..\""),
    ("Where", "name the place, or write If"),
    ("Whether", "write: Returns `true` if .., or: `true` if .."),
    ("Who", "name the one that acts"),
    ("Whoever", "name the one that acts"),
    ("Whose", "name the owner"),
];

/// A phrase that the field has a better word for.
pub(super) struct Avoided {
    /// Lower-case words, with one blank between them.
    pub(super) phrase: &'static str,
    pub(super) instead: &'static str,
    /// The phrase is in order if one of these follows in the same sentence.
    pub(super) unless: &'static [&'static str],
}

/// The phrases to avoid, in prose outside of code.
pub(super) const AVOIDED: [Avoided; 32] = [
    avoid(", else", ", otherwise"),
    avoid("; else", "; otherwise"),
    avoid("anew", "again, or the exact verb: reconnects, recreates"),
    avoid("are said", "the verb of the one that reports"),
    avoid("are told", "the verb of the one that reports"),
    avoid("back-off", "backoff"),
    avoid("back-offs", "backoffs"),
    avoid("beside", "besides, next to, in addition to or outside"),
    avoid("gave up", GIVE_UP),
    avoid("give up", GIVE_UP),
    avoid("given up", GIVE_UP),
    avoid("gives up", GIVE_UP),
    avoid("giving up", GIVE_UP),
    avoid("hundredth", "percent"),
    avoid("hundredths", "percent"),
    avoid("is said", "the verb of the one that reports: returns, reports, documents"),
    avoid("is told", "the verb of the one that reports: receives, is notified, learns"),
    avoid("nobody", "no caller, no task, no client"),
    avoid("of our own", "custom, dedicated or our"),
    avoid("of your own", "your, custom or dedicated"),
    avoid("or else", "otherwise"),
    Avoided { phrase: "so many", instead: "the given number of, or `n`", unless: &["that"] },
    Avoided { phrase: "stand in", instead: "are in", unless: &["for", "way"] },
    Avoided { phrase: "stands in", instead: "is in", unless: &["for", "way"] },
    avoid("for this long", "for `duration`"),
    avoid("those who", "the callers, tasks or users that"),
    avoid("time-out", "timeout"),
    avoid("time-outs", "timeouts"),
    avoid("was said", "the verb of the one that reports"),
    avoid("was told", "the verb of the one that reports"),
    avoid("were told", "the verb of the one that reports"),
    avoid("whoever", "the caller, the task or the client that"),
];

const GIVE_UP: &str = "the exact verb: drops, cancels, discards, abandons, stops or fails";

/// Marks of unfinished work.
pub(super) const UNFINISHED: [&str; 3] = ["FIXME", "TODO", "XXX"];

const fn avoid(phrase: &'static str, instead: &'static str) -> Avoided {
    Avoided { phrase, instead, unless: &[] }
}
