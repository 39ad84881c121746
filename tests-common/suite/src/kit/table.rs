//! The tables that list the cases of a file.

/// Declares the cases of a group. Each row names the places where the case runs, the operations that it
/// covers, and its function:
///
/// ```text
/// cases! { read:
///     everywhere [read] read_hides_the_message_for_vt;
///     standalone [read, delete] no_message_is_read_by_two_at_once;
/// }
/// ```
///
/// The function of a case that runs `everywhere`, on a `pool` or in a `transaction` takes `queue:
/// &QueueUnderTest<'_, impl AsyncQueue>`. All other functions have a type parameter `B: Backend` and take
/// `context: &TestContext<'_>`.
macro_rules! cases {
    ($group:ident: $($runs:ident [$($operation:ident),*] $name:ident;)*) => {
        pub(crate) const CASES: &[$crate::kit::case::CaseInfo] = &[$($crate::kit::case::CaseInfo::new(
            stringify!($group),
            stringify!($name),
            &[$(stringify!($operation)),*],
            $crate::kit::case::Runs::$runs,
        )),*];

        pub(crate) fn add<B: $crate::kit::backend::Backend>(trials: &mut $crate::kit::harness::Trials<B>) {
            trials.begin_group(stringify!($group));
            $($crate::kit::table::cases!(@$runs trials $name);)*
        }
    };
    (@everywhere $trials:ident $name:ident) => {
        $crate::kit::table::cases!(@pool $trials $name);
        $crate::kit::table::cases!(@transaction $trials $name);
    };
    (@pool $trials:ident $name:ident) => {
        $trials.on_pool(stringify!($name), $crate::kit::table::case!($name));
        $trials.on_prepared(stringify!($name), $crate::kit::table::case!($name));
    };
    (@transaction $trials:ident $name:ident) => {
        $trials.in_transaction(stringify!($name), $crate::kit::table::case!($name));
        $trials.in_prepared_transaction(stringify!($name), $crate::kit::table::case!($name));
    };
    (@$other:ident $trials:ident $name:ident) => {
        $trials.$other(stringify!($name), |context| B::block_on($name::<B>(context)));
    };
}

/// Turns a function over a queue into a [`QueueCase`](crate::kit::case::QueueCase).
macro_rules! case {
    ($name:ident) => {{
        struct Case;
        impl $crate::kit::case::QueueCase for Case {
            async fn run(
                &self,
                queue: &$crate::kit::context::QueueUnderTest<'_, impl ::pgmq_core::AsyncQueue>,
            ) -> $crate::kit::failure::Outcome {
                $name(queue).await
            }
        }
        Case
    }};
}

pub(crate) use {case, cases};
