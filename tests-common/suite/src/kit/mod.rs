//! The kit that cases and faults are written with: the interface to a back end, the context of a case, and
//! the harness.

pub(crate) mod adapter;
pub(crate) mod backend;
pub(crate) mod blocking;
pub(crate) mod case;
pub(crate) mod check;
pub(crate) mod child;
pub(crate) mod connect;
pub(crate) mod context;
pub(crate) mod every_operation;
pub(crate) mod failure;
pub(crate) mod harness;
pub(crate) mod older;
pub(crate) mod parts;
pub(crate) mod recorder;
pub(crate) mod runtime;
pub(crate) mod table;
