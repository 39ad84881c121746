//! The parts of an operation's documentation that come from the description in its row.

/// The PGMQ function that an operation calls, and the version that brought it.
#[doc(hidden)]
#[macro_export]
macro_rules! operation_calls {
    ({
        calls: $function:literal, $(manual: $manual:literal,)?
        $(since: ($major:literal, $minor:literal, $patch:literal),)?
        $(needs: [$($feature:ident ($needs_major:literal, $needs_minor:literal, $needs_patch:literal)),*],)?
        $(properties: [$($property:ident),*],)?
        errors: $errors:tt, $($example:tt)*
    }) => {
        concat!(
            "\n\nUses [`", $function, "`](https://pgmq.github.io/pgmq/api/sql/functions/", $("#", $manual,)? ")",
            $(", which came with PGMQ ", $major, ".", $minor, ".", $patch,)?
            ".",
            $($("\n", $crate::operation_feature!($feature), " PGMQ ", $needs_major, ".", $needs_minor, ".", $needs_patch, ".",)*)?
        )
    };
}

/// The beginning of the sentence that names the version for a feature.
#[doc(hidden)]
#[macro_export]
macro_rules! operation_feature {
    (Headers) => {
        "Headers need"
    };
    (PointInTime) => {
        "A point in time needs"
    };
    (Condition) => {
        "A condition needs"
    };
    (Premake) => {
        "`premake` needs"
    };
}

/// The kinds of errors to expect.
#[doc(hidden)]
#[macro_export]
macro_rules! operation_errors {
    ({
        calls: $function:literal, $(manual: $manual:literal,)? $(since: $since:tt,)? $(needs: $needs:tt,)?
        $(properties: $properties:tt,)?
        errors: [$($kind:ident),*], $($example:tt)*
    }) => {
        concat!(
            "\n\n# Errors\n\n",
            $("[`", stringify!($kind), "`](crate::ErrorKind::", stringify!($kind), "): ", $crate::operation_error!($kind), "\n\n",)*
            "Any round trip to the server can also end with one of the other [kinds](crate::ErrorKind)."
        )
    };
}

/// The reason for which an operation fails with a kind of error.
#[doc(hidden)]
#[macro_export]
macro_rules! operation_error {
    (InvalidArgument) => {
        "an argument is invalid. The text of the error names the reason."
    };
    (QueueNotFound) => {
        "the queue does not exist."
    };
    (Unsupported) => {
        "the server's PGMQ, or an extension that it needs, lacks the function or an option of it."
    };
    (Encode) => {
        "a value has no JSON text, or one that `jsonb` cannot hold. Nothing was sent."
    };
    (Decode) => {
        "a payload does not fit `T`. The error carries the messages."
    };
    (Database) => {
        "the server or an extension refuses the call. The source of the error has the server's text."
    };
}

/// The example of an operation, for a sync or an async back end.
#[doc(hidden)]
#[macro_export]
macro_rules! operation_example {
    ($style:ident none $about:tt) => {
        ""
    };
    (sync $krate:literal $about:tt) => {
        $crate::operation_example!($krate, "fn", "?;", $about)
    };
    (async $krate:literal $about:tt) => {
        $crate::operation_example!($krate, "async fn", ".await?;", $about)
    };
    ($krate:literal, $fn:literal, $end:literal, {
        calls: $function:literal, $(manual: $manual:literal,)? $(since: $since:tt,)? $(needs: $needs:tt,)?
        $(properties: $properties:tt,)?
        errors: $errors:tt,
        $(given: $given:literal,)?
        example: $example:literal,
    }) => {
        concat!(
            "\n\n# Examples\n\n```no_run\n",
            "# #[allow(unused_imports)]\n# use std::time::Duration;\n",
            "# #[allow(unused_imports)]\n# use ", $krate, "::*;\n",
            "# ", $fn, " example(queue: PGMQueue) -> Result<(), Error> {\n",
            $($given, ";\n",)?
            $example, $end, "\n",
            "# Ok(())\n# }\n```"
        )
    };
}
