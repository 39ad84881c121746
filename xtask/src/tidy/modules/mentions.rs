//! The paths that code mentions.

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};
use syn::ItemUse;

/// A path in code, such as `crate::error::Error` or `Error`.
#[derive(Debug)]
pub(super) struct Mention {
    pub(super) path: Vec<String>,
    pub(super) line: usize,
    /// The path is followed by `!`.
    pub(super) is_macro: bool,
}

/// Collects the paths in `tokens`, macro arguments included, and the `use` declarations inside of functions.
pub(super) fn mentions(tokens: TokenStream) -> (Vec<Mention>, Vec<ItemUse>) {
    let mut scan = Scan { is_definition: false, found: Vec::new(), uses: Vec::new() };
    scan.tokens(tokens);
    (scan.found, scan.uses)
}

/// Collects the paths that begin with `crate` or `$crate` in the definition of a macro. Other names in it
/// belong to the place where the macro is called.
pub(super) fn mentions_in_definition(tokens: TokenStream) -> Vec<Mention> {
    let mut scan = Scan { is_definition: true, found: Vec::new(), uses: Vec::new() };
    scan.tokens(tokens);
    scan.found
}

struct Scan {
    is_definition: bool,
    found: Vec<Mention>,
    uses: Vec<ItemUse>,
}

impl Scan {
    fn tokens(&mut self, tokens: TokenStream) {
        let tokens: Vec<_> = tokens.into_iter().collect();
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            at += match token {
                TokenTree::Group(group) => {
                    self.tokens(group.stream());
                    1
                }
                TokenTree::Punct(mark) => match (mark.as_char(), tokens.get(at + 1)) {
                    ('#', Some(TokenTree::Group(group))) if group.delimiter() == Delimiter::Bracket => 2,
                    // A lifetime.
                    ('\'', Some(TokenTree::Ident(_))) => 2,
                    ('$', Some(TokenTree::Ident(name))) if name != "crate" => 2,
                    // A field or method, but not the end of a range.
                    ('.', Some(TokenTree::Ident(_))) if !is_mark(before(&tokens, at), '.') => 2,
                    _ => 1,
                },
                TokenTree::Ident(name) if name == "use" && !is_mark(tokens.get(at + 1), '<') => {
                    self.nested_use(&tokens[at..])
                }
                TokenTree::Ident(_) => self.path(&tokens, at),
                TokenTree::Literal(_) => 1,
            };
        }
    }

    /// Keeps a `use` declaration, and returns its length in tokens.
    fn nested_use(&mut self, tokens: &[TokenTree]) -> usize {
        let end =
            tokens.iter().position(|token| is_mark(Some(token), ';')).map_or(tokens.len(), |end| end + 1);
        let declaration: TokenStream = tokens[..end].iter().cloned().collect();
        if !self.is_definition {
            self.uses.extend(syn::parse2(declaration));
        }
        end
    }

    /// Keeps the path that begins at `at`, and returns its length in tokens.
    fn path(&mut self, tokens: &[TokenTree], at: usize) -> usize {
        let mut path = Vec::new();
        let mut end = at;
        while let Some(TokenTree::Ident(name)) = tokens.get(end) {
            path.push(name.to_string());
            end += 1;
            let goes_on =
                is_colons(&tokens[end..]) && matches!(tokens.get(end + 2), Some(TokenTree::Ident(_)));
            if !goes_on {
                break;
            }
            end += 2;
        }
        // The rest of `<T>::name`, or a path from outside the crate such as `::std`.
        let is_rest = at >= 2 && is_colons(&tokens[at - 2..]);
        let is_macro =
            is_mark(tokens.get(end), '!') && matches!(tokens.get(end + 1), Some(TokenTree::Group(_)));
        let is_called = matches!(tokens.get(end), Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Parenthesis);
        // A single lower-case word is a variable or a field.
        let is_name = path.len() > 1
            || is_macro
            || is_called
            || path.first().is_some_and(|name| name.starts_with(char::is_uppercase));
        let counts = !self.is_definition || path.first().is_some_and(|first| first == "crate");
        if !is_rest && is_name && counts {
            self.found.push(Mention { path, line: tokens[at].span().start().line, is_macro });
        }
        end - at
    }
}

fn before(tokens: &[TokenTree], at: usize) -> Option<&TokenTree> {
    at.checked_sub(1).and_then(|at| tokens.get(at))
}

fn is_mark(token: Option<&TokenTree>, mark: char) -> bool {
    matches!(token, Some(TokenTree::Punct(found)) if found.as_char() == mark)
}

fn is_colons(tokens: &[TokenTree]) -> bool {
    matches!(tokens, [TokenTree::Punct(first), TokenTree::Punct(second), ..]
        if first.as_char() == ':' && first.spacing() == Spacing::Joint && second.as_char() == ':')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(source: &str) -> Vec<String> {
        let (found, _) = mentions(source.parse().unwrap());
        found.into_iter().map(|mention| mention.path.join("::")).collect()
    }

    #[test]
    fn paths_are_found_in_code_and_in_macro_arguments() {
        assert_eq!(
            paths("fn f(x: crate::a::A) { assert_eq!(super::g(x.field), Kind::One); h(y) }"),
            ["f", "crate::a::A", "assert_eq", "super::g", "Kind::One", "h"]
        );
    }

    #[test]
    fn fields_lifetimes_attributes_and_foreign_paths_are_not_names_of_the_crate() {
        assert_eq!(paths("#[derive(Debug)] struct A<'a> { b: ::std::Vec<u8>, c: &'a u8 }"), ["A"]);
        assert_eq!(paths("<T as Into<B>>::into(a.Method)"), ["T", "Into", "B"]);
    }

    #[test]
    fn use_declarations_in_functions_are_kept() {
        let (found, uses) = mentions("{ use crate::a::{A, B}; A }".parse().unwrap());
        assert_eq!((found.len(), uses.len()), (1, 1));
    }

    #[test]
    fn a_macro_definition_counts_with_its_paths_from_the_crate() {
        let found =
            mentions_in_definition("($a:ident) => { $crate::a::B::$a(Other, c::d()) }".parse().unwrap());
        let paths: Vec<_> = found.into_iter().map(|mention| mention.path.join("::")).collect();
        assert_eq!(paths, ["crate::a::B"]);
    }
}
