//! The rules about the language of comments and Markdown.

mod comment;
mod markdown;
mod rule;
mod text;
mod words;

pub(super) use rule::{comments_are_plain, markdown_is_plain};
