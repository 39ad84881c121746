//! Emitters over the table of operations that adapt a back end's types.
//!
//! They override every method of the trait by the inherent method of the same name, so that these are what is tested.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

/// Methods of `AsyncQueue` for a local struct whose only field has blocking methods.
#[macro_export]
macro_rules! blocking_methods {
    ($($(#[$doc:meta])* fn $name:ident $(<$T:ident: ($($bound:tt)+)>)? ($($arg:ident: $type:ty),* $(,)?) -> $output:ty;)*) => {$(
        fn $name $(<$T: $($bound)+>)? (
            &self, $($arg: $type),*
        ) -> impl ::std::future::Future<Output = Result<$output, Self::Error>> + Send {
            ::std::future::ready(self.0.$name($($arg),*))
        }
    )*};
}

/// Methods of `AsyncQueue` for a local struct whose only field has async methods.
#[macro_export]
macro_rules! async_methods {
    ($($(#[$doc:meta])* fn $name:ident $(<$T:ident: ($($bound:tt)+)>)? ($($arg:ident: $type:ty),* $(,)?) -> $output:ty;)*) => {$(
        fn $name $(<$T: $($bound)+>)? (
            &self, $($arg: $type),*
        ) -> impl ::std::future::Future<Output = Result<$output, Self::Error>> + Send {
            self.0.$name($($arg),*)
        }
    )*};
}

/// The setters of [`Builder`](crate::conformance::Builder) for a local struct whose only field has them.
#[macro_export]
macro_rules! builder_setters {
    () => {
        $crate::builder_setters! {
            url: &str, host: &str, port: u16, database: &str, username: &str, password: &str, application_name: &str,
            listen_url: &str, pool_size: u32, acquire_timeout: ::std::time::Duration,
            connect_timeout: ::std::time::Duration, idle_timeout: ::std::time::Duration,
            max_lifetime: ::std::time::Duration, prepared_statements: bool, init: bool
        }
    };
    ($($name:ident: $type:ty),*) => {$(
        fn $name(self, value: $type) -> Self {
            Self(self.0.$name(value))
        }
    )*};
}

/// Runs a future of blocking work, which is ready when it is first asked.
///
/// # Panics
///
/// When it is not: something in it waits without blocking.
pub fn poll_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => panic!("a blocking client gave a future that waits"),
    }
}
