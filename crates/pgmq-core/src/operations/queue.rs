//! The traits that have a method for each operation, and the macros that give back ends the same as inherent
//! methods.

use std::future::Future;

use crate::backend::prelude::*;
use crate::decode::Output;
use crate::error::{Error, QueueError};
use crate::statement::{self, Action, Query, Statement};

/// Everything that runs operations and blocks until they are done: a back end's `PGMQueue`, or its
/// `BoundQueue` over a connection or a transaction.
///
/// The trait is for generic code: a function over `&impl Queue` works with either, of any sync back end. Back
/// ends have the same methods as inherent ones, so applications need not import it.
pub trait Queue {
    /// The back end's error.
    type Error: QueueError + From<Error>;

    /// Runs a query on a connection. A back end implements this method, and every operation ends in it.
    ///
    /// # Errors
    ///
    /// The errors of the server, the connection and the decoding.
    fn run_query<O: Output>(&self, query: Query<'_, O>) -> Result<O, Self::Error>;

    /// Runs a statement: returns its result if that is known without the server, and runs its query
    /// otherwise.
    ///
    /// # Errors
    ///
    /// The errors of the arguments, the server, the connection and the decoding.
    fn run<O: Output>(&self, statement: Statement<'_, O>) -> Result<O, Self::Error> {
        match statement.into_action() {
            Action::Return(result) => Ok(result?),
            Action::Run(query) => self.run_query(query),
        }
    }

    crate::operations!([methods] {});
}

/// The async twin of [`Queue`]: every method returns a future that is [`Send`].
///
/// A future does nothing before it is polled. One that is dropped while it waits for the server may or may
/// not have had its effect there.
pub trait AsyncQueue {
    /// The back end's error.
    type Error: QueueError + From<Error>;

    /// Runs a query on a connection. A back end implements this method, and every operation ends in it.
    ///
    /// # Errors
    ///
    /// The errors of the server, the connection and the decoding.
    fn run_query<O: Output>(
        &self,
        query: Query<'_, O>,
    ) -> impl Future<Output = Result<O, Self::Error>> + Send;

    /// Runs a statement: returns its result if that is known without the server, and runs its query
    /// otherwise.
    ///
    /// # Errors
    ///
    /// The errors of the arguments, the server, the connection and the decoding.
    fn run<O: Output>(
        &self,
        statement: Statement<'_, O>,
    ) -> impl Future<Output = Result<O, Self::Error>> + Send {
        // The future of the query is made here, so that the returned future need not borrow a queue that may
        // not be `Sync`.
        let running = match statement.into_action() {
            Action::Return(result) => Err(result),
            Action::Run(query) => Ok(self.run_query(query)),
        };
        async move {
            match running {
                Ok(running) => running.await,
                Err(result) => Ok(result?),
            }
        }
    }

    crate::operations!([async_methods] {});
}

/// Runs a statement like [`AsyncQueue::run`], on a queue that is `Sync`.
///
/// The future borrows the queue and creates the future of the query when it is polled, so it has room for
/// that future once. The provided method cannot borrow a queue that may not be `Sync`, and needs the room
/// twice.
///
/// # Errors
///
/// The error of the arguments, the server, the connection or the decoding.
pub async fn run_async<Q: AsyncQueue + Sync, O: Output>(
    queue: &Q,
    statement: Statement<'_, O>,
) -> Result<O, Q::Error> {
    match statement.into_action() {
        Action::Return(result) => Ok(result?),
        Action::Run(query) => queue.run_query(query).await,
    }
}

/// The methods of [`Queue`].
macro_rules! methods {
    ({} $(
        $(#[doc $($group_doc:tt)*])*
        mod $group:ident {$(
            $(#[doc $($doc:tt)*])* #[operation $about:tt]
            fn $name:ident $(<$T:ident: ($($bound:tt)+)>)? ($($arg:ident: $type:ty),* $(,)?) -> $output:ty;
        )*}
    )*) => {$($(
        $(#[doc $($doc)*])*
        #[doc = $crate::operation_calls!($about)]
        #[doc = $crate::operation_errors!($about)]
        fn $name $(<$T: $($bound)+>)? (&self, $($arg: $type),*) -> Result<$output, Self::Error> {
            self.run(statement::$name($($arg),*))
        }
    )*)*};
}

/// The methods of [`AsyncQueue`].
macro_rules! async_methods {
    ({} $(
        $(#[doc $($group_doc:tt)*])*
        mod $group:ident {$(
            $(#[doc $($doc:tt)*])* #[operation $about:tt]
            fn $name:ident $(<$T:ident: ($($bound:tt)+)>)? ($($arg:ident: $type:ty),* $(,)?) -> $output:ty;
        )*}
    )*) => {$($(
        $(#[doc $($doc)*])*
        #[doc = $crate::operation_calls!($about)]
        #[doc = $crate::operation_errors!($about)]
        fn $name $(<$T: $($bound)+>)? (
            &self, $($arg: $type),*
        ) -> impl Future<Output = Result<$output, Self::Error>> + Send {
            self.run(statement::$name($($arg),*))
        }
    )*)*};
}

use {async_methods, methods};

/// The inherent methods of a back end's type that is a [`Queue`]: a block for each group of operations. For
/// back ends.
///
/// The context is `{ example "the_crate" impl [<generics>] Type }`, or with `example none`, which leaves the
/// examples out.
#[doc(hidden)]
#[macro_export]
macro_rules! inherent_methods {
    ($context:tt $(
        $(#[doc $($group_doc:tt)*])*
        mod $group:ident { $($row:tt)* }
    )*) => {$(
        $crate::inherent_methods!(@group $context [$(#[doc $($group_doc)*])*] $($row)*);
    )*};
    (@group { example $krate:tt impl [$($generics:tt)*] $self:ty } [$($group_doc:tt)*] $(
        $(#[doc $($doc:tt)*])* #[operation $about:tt]
        fn $name:ident $(<$T:ident: ($($bound:tt)+)>)? ($($arg:ident: $type:ty),* $(,)?) -> $output:ty;
    )*) => {
        $($group_doc)*
        impl $($generics)* $self {$(
            $(#[doc $($doc)*])*
            #[doc = $crate::operation_calls!($about)]
            #[doc = $crate::operation_errors!($about)]
            #[doc = $crate::operation_example!(sync $krate $about)]
            pub fn $name $(<$T: $($bound)+>)? (&self, $($arg: $type),*) -> Result<$output, Error> {
                $crate::Queue::run(self, $crate::statement::$name($($arg),*))
            }
        )*}
    };
}

/// The inherent methods of a back end's type that is an [`AsyncQueue`]; the twin of [`inherent_methods`]. For
/// back ends.
///
/// The context also names what each future captures of the type: `captures [lifetimes] [types]`.
#[doc(hidden)]
#[macro_export]
macro_rules! inherent_async_methods {
    ($context:tt $(
        $(#[doc $($group_doc:tt)*])*
        mod $group:ident { $($row:tt)* }
    )*) => {$(
        $crate::inherent_async_methods!(@group $context [$(#[doc $($group_doc)*])*] $($row)*);
    )*};
    (@group { example $krate:tt impl [$($generics:tt)*] captures $lifetimes:tt $types:tt $self:ty }
        [$($group_doc:tt)*] $(
        $(#[doc $($doc:tt)*])* #[operation $about:tt]
        fn $name:ident $(<$T:ident: ($($bound:tt)+)>)? ($($args:tt)*) -> $output:ty;
    )*) => {
        $($group_doc)*
        impl $($generics)* $self {$(
            $crate::inherent_async_methods!(@method $lifetimes $types {
                $(#[doc $($doc)*])*
                #[doc = $crate::operation_calls!($about)]
                #[doc = $crate::operation_errors!($about)]
                #[doc = $crate::operation_example!(async $krate $about)]
            } $name [$($T: ($($bound)+))?] ($($args)*) -> $output);
        )*}
    };
    // A message is serialized before the future exists, which therefore does not borrow it.
    (@method [$($lifetime:lifetime)*] [$($type:ident)*] {$($docs:tt)*}
        $name:ident [$T:ident: (Serialize $($bound:tt)*)]
        ($queue:ident: &str $(, $arg:ident: $arg_type:ty)* $(,)?) -> $output:ty
    ) => {
        $($docs)*
        pub fn $name<'q, $T: Serialize $($bound)*>(
            &self, $queue: &'q str, $($arg: $arg_type),*
        ) -> impl Future<Output = Result<$output, Error>> + Send + use<'_, 'q, $($lifetime,)* $T, $($type,)*> {
            $crate::backend::run_async(self, $crate::statement::$name($queue, $($arg),*))
        }
    };
    (@method [$($lifetime:lifetime)*] [$($type:ident)*] {$($docs:tt)*}
        $name:ident [] ($queue:ident: &str $(, $arg:ident: $arg_type:ty)* $(,)?) -> $output:ty
    ) => {
        $($docs)*
        pub fn $name<'q>(
            &self, $queue: &'q str, $($arg: $arg_type),*
        ) -> impl Future<Output = Result<$output, Error>> + Send + use<'_, 'q, $($lifetime,)* $($type,)*> {
            $crate::backend::run_async(self, $crate::statement::$name($queue, $($arg),*))
        }
    };
    (@method [$($lifetime:lifetime)*] [$($type:ident)*] {$($docs:tt)*}
        $name:ident [$T:ident: (Into $($bound:tt)*)]
        ($queue:ident: &str $(, $arg:ident: $arg_type:ty)* $(,)?) -> $output:ty
    ) => {
        $($docs)*
        pub fn $name<'q, $T: Into $($bound)*>(
            &self, $queue: &'q str, $($arg: $arg_type),*
        ) -> impl Future<Output = Result<$output, Error>> + Send + use<'_, 'q, $($lifetime,)* $T, $($type,)*> {
            $crate::backend::run_async(self, $crate::statement::$name($queue, $($arg),*))
        }
    };
    // A read takes an `impl Into`, whose type cannot be named, and borrows nothing but the name of the queue
    // and its options.
    (@method $lifetimes:tt $types:tt {$($docs:tt)*}
        $name:ident [$($T:ident: ($($bound:tt)+))?] ($($arg:ident: $arg_type:ty),* $(,)?) -> $output:ty
    ) => {
        $($docs)*
        pub fn $name $(<$T: $($bound)+>)? (
            &self, $($arg: $arg_type),*
        ) -> impl Future<Output = Result<$output, Error>> + Send {
            $crate::backend::run_async(self, $crate::statement::$name($($arg),*))
        }
    };
}
