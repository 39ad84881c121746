//! The application's table, as Diesel knows it.

diesel::table! {
    sales (id) {
        id -> BigInt,
        customer -> Text,
    }
}
