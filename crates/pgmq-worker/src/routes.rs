//! The choice of a handler by the type of a message.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use pgmq_core::{Message, RawJson};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};

use crate::failure::{Failure, Reason};
use crate::meta::Meta;
use crate::outcome::Outcome;
use crate::panics::caught_in;
use crate::rules::On;

/// The fate of a message for which a router has no handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Unknown {
    /// Move it to the dead-letter queue, with the reason `unknown-type`.
    #[default]
    DeadLetter,
    /// Make it visible again after a time, for a worker that knows its type. For deployments in which old
    /// and new workers run at the same time.
    Release {
        /// The time, which the server rounds up to whole seconds.
        after: Duration,
    },
    /// Take it as a failure: retry it by the policy, and move it to the dead-letter queue at the limit.
    Retry,
}

/// A function that finds the type of a message.
type Choose = dyn Fn(&Message<RawJson>) -> Option<String> + Send + Sync;

/// The place of a message's type.
#[derive(Clone)]
pub(crate) enum Key {
    Header(String),
    Field(String),
    By(Arc<Choose>),
}

impl Key {
    fn find(&self, job: &Meta) -> Option<String> {
        match self {
            Self::Header(name) => job.headers().get(name).and_then(name_of),
            Self::Field(name) => {
                let mut payload = serde_json::Deserializer::from_str(job.raw().get());
                Field(name).deserialize(&mut payload).ok().flatten().as_ref().and_then(name_of)
            }
            Self::By(choose) => match caught_in(|| choose(job.message())) {
                Ok(kind) => kind,
                Err(failure) => {
                    log::error!("message {} of queue {:?} has no type: {failure}", job.id(), job.queue());
                    None
                }
            },
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(name) => write!(f, "header {name:?}"),
            Self::Field(name) => write!(f, "field {name:?}"),
            Self::By(_) => f.write_str("function of the router"),
        }
    }
}

/// The name that a JSON value is: the text of a string, and the JSON text of a number or a boolean.
fn name_of(value: &RawJson) -> Option<String> {
    match value.parse() {
        Ok(serde_json::Value::String(name)) => Some(name),
        Ok(serde_json::Value::Number(_) | serde_json::Value::Bool(_)) => Some(value.get().to_owned()),
        _ => None,
    }
}

/// Finds one field of an object, and passes over the others without building them.
struct Field<'a>(&'a str);

impl<'de> DeserializeSeed<'de> for Field<'_> {
    type Value = Option<RawJson>;

    fn deserialize<D: Deserializer<'de>>(self, payload: D) -> Result<Self::Value, D::Error> {
        payload.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Field<'_> {
    type Value = Option<RawJson>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(name) = fields.next_key::<String>()? {
            if name == self.0 {
                found = Some(fields.next_value()?);
            } else {
                fields.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

/// The handlers of a router, by the types of their messages.
#[derive(Clone)]
pub(crate) struct Routes<H> {
    key: Key,
    handlers: HashMap<String, (On, H)>,
    unknown: Unknown,
}

impl<H> Routes<H> {
    pub(crate) fn new(key: Key) -> Self {
        Self { key, handlers: HashMap::new(), unknown: Unknown::default() }
    }

    pub(crate) fn on(mut self, kind: String, rules: On, handler: H) -> Self {
        self.handlers.insert(kind, (rules, handler));
        self
    }

    pub(crate) fn unknown(mut self, unknown: Unknown) -> Self {
        self.unknown = unknown;
        self
    }

    pub(crate) fn rules(&self, job: &Meta) -> Option<&On> {
        self.route(job).map(|(rules, _)| rules)
    }

    /// The largest `max_reads` of all handlers, if there is one.
    pub(crate) fn max_reads(&self) -> Option<u32> {
        self.handlers.values().filter_map(|(rules, _)| rules.max_reads).max()
    }

    /// The handler of a message, or the outcome of a message that no handler may see.
    pub(crate) fn find(&self, job: &Meta) -> Result<&H, Outcome> {
        let Some((rules, handler)) = self.route(job) else { return Err(self.unknown_outcome(job)) };
        match rules.max_reads {
            Some(max) if job.reads().unsigned_abs() > max => {
                let why = format!("the message was read {} times, and its handler is for {max}", job.reads());
                Err(Outcome::DeadLetter { why: Failure::from(why).permanent().because(Reason::Exhausted) })
            }
            _ => Ok(handler),
        }
    }

    fn route(&self, job: &Meta) -> Option<&(On, H)> {
        self.handlers.get(job.kind_or(|| self.key.find(job))?)
    }

    fn unknown_outcome(&self, job: &Meta) -> Outcome {
        let why = match job.kind() {
            Some(kind) => format!("no handler is registered for messages of type {kind:?}"),
            None => format!("the message has no type: its {} names none", self.key),
        };
        let why = Failure::from(why).because(Reason::UnknownType);
        match self.unknown {
            Unknown::DeadLetter => Outcome::DeadLetter { why },
            Unknown::Release { after } => Outcome::Snooze { after },
            Unknown::Retry => Outcome::Retry { after: None, why },
        }
    }
}

impl<H> fmt::Debug for Routes<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut kinds: Vec<_> = self.handlers.keys().collect();
        kinds.sort_unstable();
        write!(f, "Router(by the {}, {kinds:?})", self.key)
    }
}

/// The methods and conversions of a `Router`, which has its [`Routes`] as its only field. The names of
/// handlers are those of the caller's: async or sync.
macro_rules! router {
    () => {
        impl Router {
            /// Creates a router by the header of this name.
            pub fn by_header(name: impl Into<String>) -> Self {
                Self(Routes::new(Key::Header(name.into())))
            }

            /// Creates a router by the field of this name of a payload that is a JSON object.
            pub fn by_field(name: impl Into<String>) -> Self {
                Self(Routes::new(Key::Field(name.into())))
            }

            /// Creates a router by a function, which returns `None` if the message has no type.
            pub fn by(kind: impl Fn(&Message<RawJson>) -> Option<String> + Send + Sync + 'static) -> Self {
                Self(Routes::new(Key::By(Arc::new(kind))))
            }

            /// Adds the handler of a type, or replaces it.
            pub fn on<Kind>(
                self,
                kind: impl Into<String>,
                handler: impl IntoHandler<Kind, Typed: RunnableOne>,
            ) -> Self {
                self.on_with(kind, On::new(), handler)
            }

            /// Adds the handler of a type, with rules that differ from those of the queue, or replaces it.
            pub fn on_with<Kind>(
                self,
                kind: impl Into<String>,
                rules: On,
                handler: impl IntoHandler<Kind, Typed: RunnableOne>,
            ) -> Self {
                Self(self.0.on(kind.into(), rules, handler.into_handler().into_one().0))
            }

            /// Sets what becomes of a message for which there is no handler; the default is the dead-letter
            /// queue.
            pub fn unknown(self, unknown: Unknown) -> Self {
                Self(self.0.unknown(unknown))
            }
        }

        /// The kind of routers.
        #[derive(Debug)]
        pub struct OfTypes;

        impl IntoHandler<OfTypes> for Router {
            type Typed = Self;

            fn into_handler(self) -> Self {
                self
            }
        }

        impl Runnable for Router {
            fn into_any(self) -> AnyHandler {
                AnyHandler(Registered::One(self.into_one().0))
            }
        }

        impl RunnableOne for Router {
            fn into_one(self) -> OneHandler {
                OneHandler(Arc::new(self))
            }
        }
    };
}
pub(crate) use router;
