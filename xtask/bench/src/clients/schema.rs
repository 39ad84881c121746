//! The application's table in Diesel's schema.

diesel::table! {
    sales (id) {
        id -> BigInt,
        customer -> Text,
    }
}
