//! The table of operations as data.

use crate::error_kind::ErrorKind;
use crate::version::Version;

/// One row of the table of operations.
///
/// ```
/// use pgmq_core::{OPERATIONS, Version};
///
/// let old = Some(Version::new(1, 10, 0));
/// let newer_than_1_10 = OPERATIONS.iter().filter(|operation| operation.since > old);
/// assert!(newer_than_1_10.map(|operation| operation.name).any(|name| name == "send_topic"));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Operation {
    /// The name of the method.
    pub name: &'static str,
    /// The group of operations that it belongs to.
    pub group: Group,
    /// The PGMQ function that it calls, such as `pgmq.send`, or the table that it reads, such as `pgmq.q_*`.
    pub function: &'static str,
    /// The PGMQ version that brought the operation; `None` if every supported version has it.
    pub since: Option<Version>,
    /// Features of its arguments that came with a later PGMQ version than the operation itself.
    pub needs: &'static [(Feature, Version)],
    /// The names of its arguments, in their order.
    pub arguments: &'static [&'static str],
    /// Properties of its PGMQ function that a client has to know.
    pub properties: &'static [Property],
    /// The kinds of errors to expect, besides those of any round trip to the server.
    pub errors: &'static [ErrorKind],
    /// A call on a `queue`, without `?` and `.await`, and above it a line that it needs, if any.
    pub example: &'static str,
}

/// A feature of an argument or an option that not every supported PGMQ version has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Feature {
    /// Headers of messages.
    Headers,
    /// A point in time as a delay.
    PointInTime,
    /// A condition on the payload.
    Condition,
    /// The number of partitions that are created ahead.
    Premake,
}

/// A property of a PGMQ function that a client has to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Property {
    /// The server may wait for messages, for as long as the caller asks it to.
    Polls,
    /// The function needs the extension `pg_partman`.
    NeedsPartman,
}

impl Operation {
    /// The operation of this name.
    pub fn find(name: &str) -> Option<&'static Self> {
        OPERATIONS.iter().find(|operation| operation.name == name)
    }

    /// The PGMQ version that brought a feature of the operation's arguments, if it came later than the
    /// operation.
    pub fn since_with(&self, feature: Feature) -> Option<Version> {
        self.needs.iter().find(|(needed, _)| *needed == feature).map(|(_, since)| *since)
    }

    /// Returns `true` if the PGMQ function has a property.
    pub fn has(&self, property: Property) -> bool {
        self.properties.contains(&property)
    }
}

/// A value of a row: `operation!(name group arguments { .. })`.
macro_rules! operation {
    ($name:ident $group:ident [$($argument:ident)*] {
        calls: $function:literal, $(manual: $manual:literal,)?
        $(since: ($major:literal, $minor:literal, $patch:literal),)?
        $(needs: [$($feature:ident ($needs_major:literal, $needs_minor:literal, $needs_patch:literal)),*],)?
        $(properties: [$($property:ident),*],)?
        errors: [$($error:ident),*],
        $(given: $given:literal,)?
        example: $example:literal,
    }) => {
        Operation {
            name: stringify!($name),
            group: Group::$group,
            function: $function,
            since: [$(Some(Version::new($major, $minor, $patch)),)? None][0],
            needs: &[$($((Feature::$feature, Version::new($needs_major, $needs_minor, $needs_patch))),*)?],
            arguments: &[$(stringify!($argument)),*],
            properties: &[$($(Property::$property),*)?],
            errors: &[$(ErrorKind::$error),*],
            example: concat!($($given, "\n",)? $example),
        }
    };
}

macro_rules! catalog {
    ({} $(
        $(#[doc $($group_doc:tt)*])*
        mod $group:ident {$(
            $(#[doc $($doc:tt)*])+ #[operation $about:tt]
            fn $name:ident $(<$T:ident: ($($bound:tt)+)>)? ($($argument:ident: $type:ty),* $(,)?) -> $output:ty;
        )*}
    )*) => {
        /// A group of operations: a part of the table.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Group {
            $($(#[doc $($group_doc)*])* $group,)*
        }

        /// The rows, by the names of their operations.
        #[allow(non_upper_case_globals, reason = "the names are those of the table")]
        pub(crate) mod rows {
            use super::{ErrorKind, Feature, Group, Operation, Property, Version};

            $($(
                pub(crate) const $name: Operation = operation!($name $group [$($argument)*] $about);
            )*)*
        }

        /// All operations, in the order of the table.
        pub const OPERATIONS: &[Operation] = &[$($(rows::$name,)*)*];
    };
}

crate::operations!([catalog] {});

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_name_is_there_once() {
        let names: HashSet<_> = OPERATIONS.iter().map(|operation| operation.name).collect();
        assert_eq!(names.len(), OPERATIONS.len());
        assert_eq!(Operation::find("send").map(|operation| operation.function), Some("pgmq.send"));
        assert_eq!(Operation::find("no_such_operation"), None);
    }

    #[test]
    fn the_errors_of_a_row_agree_with_its_arguments_and_versions() {
        for operation in OPERATIONS {
            let expects = |kind, reason: bool| {
                assert_eq!(operation.errors.contains(&kind), reason, "{kind:?} of {}", operation.name);
            };
            let takes = |names: &[&str]| operation.arguments.iter().any(|argument| names.contains(argument));
            let is_newer = operation.since.is_some() || !operation.needs.is_empty();
            expects(ErrorKind::Unsupported, is_newer || operation.has(Property::NeedsPartman));
            expects(
                ErrorKind::Encode,
                takes(&["message", "messages", "moves"])
                    || operation.since_with(Feature::Condition).is_some(),
            );
            assert!(
                !takes(&["queue"]) || operation.errors.contains(&ErrorKind::InvalidArgument),
                "{}",
                operation.name
            );
        }
    }

    #[test]
    fn a_feature_comes_later_than_its_operation() {
        for operation in OPERATIONS {
            for (feature, since) in operation.needs {
                assert!(Some(*since) > operation.since, "{feature:?} of {}", operation.name);
            }
        }
    }

    #[test]
    fn an_example_calls_its_operation() {
        for operation in OPERATIONS {
            let call = operation.example.lines().last().unwrap_or_default();
            assert!(call.contains(&format!("queue.{}", operation.name)), "{}: {call}", operation.name);
            assert!(!operation.example.contains([';', '?']), "{}: {call}", operation.name);
        }
    }
}
