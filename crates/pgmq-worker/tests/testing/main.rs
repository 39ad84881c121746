//! The helpers for tests of users.

mod world;
