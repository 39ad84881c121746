//! The rule that all back ends have the same public methods.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use proc_macro2::{Delimiter, TokenStream, TokenTree};
use quote::{ToTokens, format_ident};
use syn::visit_mut::{self, VisitMut};
use syn::{
    Attribute, Expr, GenericArgument, GenericParam, Ident, ImplItem, Item, Lit, Macro, Meta, PathArguments,
    PathSegment, ReturnType, Signature, Type, TypeParamBound, TypeReference, Visibility,
};

use super::modules::without_tests;
use super::repository::Repository;
use crate::workspace::{BACKENDS, rust_files};

/// The types that every back end has.
pub(super) const TYPES: [&str; 4] = ["PGMQueue", "BoundQueue", "Builder", "Listener"];

/// The types that are the driver's: generic in different ways.
const OF_THE_DRIVER: [&str; 5] = ["Pool", "Session", "Transaction", "PgConnection", "AsyncPgConnection"];

/// Among them, the transactions, which have different names.
const TRANSACTIONS: [&str; 3] = ["Transaction", "PgConnection", "AsyncPgConnection"];

/// The public inherent methods of a type by their names.
pub(super) type Methods = BTreeMap<String, Method>;

pub(super) struct Method {
    /// In a form that is the same for sync and async.
    signature: String,
    /// Its documentation, line by line.
    pub(super) docs: Vec<String>,
}

pub(super) fn backends_have_the_same_methods(repository: &Repository) -> Result<Vec<String>> {
    let mut findings = Vec::new();
    let mut reference: Option<(&str, [Methods; TYPES.len()])> = None;
    for backend in BACKENDS {
        let methods = of_backend(repository, backend)?;
        let Some((model, expected)) = &reference else {
            reference = Some((backend, methods));
            continue;
        };
        for ((type_name, expected), methods) in TYPES.iter().zip(expected).zip(&methods) {
            let drift = drift(&format!("pgmq-{model}"), expected, methods);
            findings.extend(drift.into_iter().map(|text| format!("pgmq-{backend}: {type_name} {text}")));
        }
    }
    Ok(findings)
}

/// The methods of each of [`TYPES`], from all files of a back end.
pub(super) fn of_backend(repository: &Repository, backend: &str) -> Result<[Methods; TYPES.len()]> {
    let mut all = TYPES.map(|_| Methods::new());
    for path in rust_files(&repository.sources_of(backend))? {
        let items = without_tests(&repository.text(&path)?);
        let items = items.with_context(|| format!("cannot parse {}", repository.shown(&path)))?;
        for (type_name, all) in TYPES.iter().zip(&mut all) {
            all.extend(methods(&items, type_name));
        }
    }
    Ok(all)
}

/// The differences between the methods and those of a model.
fn drift(model: &str, expected: &Methods, methods: &Methods) -> Vec<String> {
    let missing = expected.keys().filter(|name| !methods.contains_key(*name));
    let missing = missing.map(|name| format!("lacks {name}, which {model} has; add it"));
    let surplus = methods.keys().filter(|name| !expected.contains_key(*name));
    let surplus = surplus.map(|name| format!("has {name}, which {model} lacks; add it there"));
    let changed = methods.iter().filter_map(|(name, Method { signature, .. })| {
        let expected = &expected.get(name).filter(|expected| expected.signature != *signature)?.signature;
        Some(format!(
            "has {name} as\n      {signature}\n  and {model} as\n      {expected}\n  make them the same"
        ))
    });
    missing.chain(surplus).chain(changed).collect()
}

/// The public inherent methods in a file. The call of a macro that makes methods counts as one.
fn methods(items: &[Item], type_name: &str) -> Methods {
    let mut methods = Methods::new();
    let mut keep_call = |call: &Macro| {
        let signature = shown_call(call);
        methods.insert(signature.clone(), Method { signature, docs: Vec::new() });
    };
    let mut found = Vec::new();
    for item in items {
        match item {
            Item::Impl(block) if block.trait_.is_none() && is_named(&block.self_ty, type_name) => {
                for item in &block.items {
                    match item {
                        ImplItem::Fn(method) if matches!(method.vis, Visibility::Public(_)) => {
                            found.push(method);
                        }
                        ImplItem::Macro(call) => keep_call(&call.mac),
                        _ => {}
                    }
                }
            }
            Item::Macro(call) if call.ident.is_none() && makes_methods(&call.mac, type_name) => {
                keep_call(&call.mac);
            }
            _ => {}
        }
    }
    methods.extend(found.into_iter().map(|method| {
        let docs = method.attrs.iter().filter_map(doc_line).collect();
        (method.sig.ident.to_string(), Method { signature: unified(method.sig.clone()), docs })
    }));
    methods
}

/// Returns `true` for a call of `operations!` that names the type.
fn makes_methods(call: &Macro, type_name: &str) -> bool {
    let is_operations = call.path.segments.last().is_some_and(|segment| segment.ident == "operations");
    is_operations && has_name(call.tokens.clone(), type_name)
}

fn has_name(tokens: TokenStream, name: &str) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Ident(found) => found == name,
        TokenTree::Group(group) => has_name(group.stream(), name),
        TokenTree::Punct(_) | TokenTree::Literal(_) => false,
    })
}

/// The call of a macro without what may differ: the type and crate in braces, and `async_`.
fn shown_call(call: &Macro) -> String {
    let is_context =
        |token: &TokenTree| matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace);
    let tokens: TokenStream = call.tokens.clone().into_iter().filter(|token| !is_context(token)).collect();
    format!("{}!({tokens})", call.path.to_token_stream()).replace(' ', "").replace("async_", "")
}

/// The text of `#[doc = ".."]`, the long form of `///`.
fn doc_line(attribute: &Attribute) -> Option<String> {
    let Meta::NameValue(pair) = &attribute.meta else { return None };
    match &pair.value {
        Expr::Lit(literal) if pair.path.is_ident("doc") => match &literal.lit {
            Lit::Str(text) => Some(text.value()),
            _ => None,
        },
        _ => None,
    }
}

fn is_named(type_: &Type, name: &str) -> bool {
    matches!(type_, Type::Path(path) if path.path.segments.last().is_some_and(|segment| segment.ident == name))
}

/// A signature without what may differ: `async`, the driver's types, the names of generics, and whether a
/// queue borrows its connection mutably.
fn unified(mut signature: Signature) -> String {
    signature.asyncness = None;
    signature.inputs.pop_punct();
    if let ReturnType::Type(_, output) = &mut signature.output
        && let Some(awaited) = awaited(output)
    {
        **output = awaited;
    }
    let generics = signature.generics.params.iter().filter_map(|generic| match generic {
        GenericParam::Type(parameter) => Some(parameter.ident.to_string()),
        GenericParam::Lifetime(parameter) => Some(parameter.lifetime.ident.to_string()),
        GenericParam::Const(_) => None,
    });
    let binds = signature.ident == "with";
    Unify { generics: generics.collect(), binds }.visit_signature_mut(&mut signature);
    let text = signature.to_token_stream().to_string();
    // As people write it.
    let spaces = [(" (", "("), (" <", "<"), ("< ", "<"), (" >", ">"), ("& ", "&"), (" ,", ","), (" :", ":")];
    spaces.iter().fold(text, |text, (from, to)| text.replace(from, to))
}

/// The output of `impl Future<Output = T> + Send`.
fn awaited(type_: &Type) -> Option<Type> {
    let Type::ImplTrait(bounds) = type_ else { return None };
    bounds.bounds.iter().find_map(|bound| {
        let TypeParamBound::Trait(bound) = bound else { return None };
        let segment = bound.path.segments.last().filter(|segment| segment.ident == "Future")?;
        let PathArguments::AngleBracketed(arguments) = &segment.arguments else { return None };
        arguments.args.iter().find_map(|argument| match argument {
            GenericArgument::AssocType(output) if output.ident == "Output" => Some(output.ty.clone()),
            _ => None,
        })
    })
}

/// Gives the same names to the same things, all over a signature.
struct Unify {
    /// The names of the generics, in their order.
    generics: Vec<String>,
    /// `true` for the method that binds a queue to a connection.
    binds: bool,
}

impl VisitMut for Unify {
    /// Sees the names of types, traits, arguments and lifetimes.
    fn visit_ident_mut(&mut self, name: &mut Ident) {
        let text = name.to_string();
        if let Some(number) = self.generics.iter().position(|generic| *generic == text) {
            *name = format_ident!("G{number}");
        } else if TRANSACTIONS.contains(&text.as_str()) {
            *name = format_ident!("Transaction");
        } else if let Some(closure) = text.strip_prefix("Async").filter(|rest| rest.starts_with("Fn")) {
            *name = format_ident!("{closure}");
        }
    }

    fn visit_path_segment_mut(&mut self, segment: &mut PathSegment) {
        if OF_THE_DRIVER.iter().any(|name| segment.ident == name) {
            segment.arguments = PathArguments::None;
        }
        visit_mut::visit_path_segment_mut(self, segment);
    }

    fn visit_type_reference_mut(&mut self, reference: &mut TypeReference) {
        reference.mutability = reference.mutability.filter(|_| !self.binds);
        visit_mut::visit_type_reference_mut(self, reference);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SYNC: &str = "
        impl PGMQueue { pub fn connect(url: &str) -> Result<Self, Error> {} }
        impl<S: Tls> PGMQueue<S> {
            pub fn pool(&self) -> &Pool<S> {}
            pub fn session(&self) -> Result<Session<S>, Error> {}
            pub fn with<'c, C: Connection>(&self, connection: &'c mut C) -> BoundQueue<'c> {}
            pub fn transaction<R, E: From<Error>>(
                &self,
                work: impl FnOnce(&mut Transaction<'_>) -> Result<R, E>,
            ) -> Result<R, E> {}
            pub fn send(&self, queue: &str) -> Result<i64, Error> {}
            pub(crate) fn own() {}
            pgmq_core::operations!(pgmq_core::inherent_methods);
        }
        impl Clone for PGMQueue {}";

    const ASYNC: &str = "
        impl PGMQueue {
            pub async fn connect(url: &str) -> Result<Self, Error> {}
            pub fn pool(&self) -> &Pool {}
            pub async fn session(&self) -> Result<Session, Error> {}
            pub fn with<'q, X: Connection>(&self, connection: &'q X) -> BoundQueue<'q> {}
            pub async fn transaction<T, F: From<Error>>(
                &self, work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, F>
            ) -> Result<T, F> {}
            pub fn send(&self, queue: &str) -> impl Future<Output = Result<i64, Error>> + Send {}
            pgmq_core::operations!(pgmq_core::inherent_async_methods);
        }";

    fn parsed(source: &str) -> Methods {
        methods(&without_tests(source).unwrap(), "PGMQueue")
    }

    fn found(source: &str) -> Vec<String> {
        let [expected, methods] = [SYNC, source].map(parsed);
        drift("pgmq-model", &expected, &methods)
    }

    #[test]
    fn the_five_back_ends_have_the_same_methods() {
        let repository = Repository::read().unwrap();
        assert_eq!(backends_have_the_same_methods(&repository).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn sync_and_async_may_differ_in_what_they_have_to() {
        assert_eq!(found(ASYNC), Vec::<String>::new());
        let methods = parsed(ASYNC);
        assert_eq!(methods["send"].signature, "fn send(&self, queue: &str) -> Result<i64, Error>");
        assert_eq!(
            methods["with"].signature,
            "fn with<'G0, G1: Connection>(&self, connection: &'G0 G1) -> BoundQueue<'G0>"
        );
    }

    #[test]
    fn a_list_that_has_drifted_is_found() {
        assert_eq!(
            found(&ASYNC.replace("fn pool", "fn the_pool")),
            [
                "lacks pool, which pgmq-model has; add it",
                "has the_pool, which pgmq-model lacks; add it there"
            ]
        );
        let drift = found(&ASYNC.replace("queue: &str", "queue: String"));
        assert!(
            matches!(drift.as_slice(), [one] if one.contains("queue: String") && one.contains("queue: &str"))
        );
        assert_eq!(found(&ASYNC.replace("url: &str", "address: &str")).len(), 1);
        assert_eq!(found(&ASYNC.replace("Result<i64,", "Result<u64,")).len(), 1);
        assert_eq!(
            found(&ASYNC.replace("pgmq_core::operations!(pgmq_core::inherent_async_methods);", "")).len(),
            1
        );
    }

    #[test]
    fn operations_may_be_made_outside_of_an_impl_block() {
        let at_item = |emitter: &str, type_name: &str| {
            format!(
                "pgmq_core::operations!([pgmq_core::{emitter}] {{ example \"x\" impl [<M: N>] {type_name}<M> }});"
            )
        };
        let [sync, other] =
            [at_item("inherent_methods", "PGMQueue"), at_item("inherent_async_methods", "PGMQueue")];
        assert_eq!(drift("pgmq-model", &parsed(&sync), &parsed(&other)), [""; 0]);
        assert_eq!(parsed(&sync).len(), 1);
        assert!(parsed(&at_item("inherent_methods", "BoundQueue")).is_empty());
        assert_eq!(drift("pgmq-model", &parsed(&sync), &Methods::new()).len(), 1);
    }
}
