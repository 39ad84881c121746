//! The rule that all back ends have the same public methods.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result};
use quote::{ToTokens, format_ident};
use syn::visit_mut::{self, VisitMut};
use syn::{
    GenericArgument, GenericParam, Ident, ImplItem, Item, PathArguments, PathSegment, ReturnType, Signature,
    Type, TypeParamBound, TypeReference, Visibility,
};

use super::repository::Repository;
use crate::workspace::BACKENDS;

/// The types that every back end has, and where.
const TYPES: [(&str, &str); 4] = [
    ("queue.rs", "PGMQueue"),
    ("bound.rs", "BoundQueue"),
    ("config.rs", "Builder"),
    ("listen.rs", "Listener"),
];

/// The types that are the driver's: generic in different ways.
const OF_THE_DRIVER: [&str; 5] = ["Pool", "Session", "Transaction", "PgConnection", "AsyncPgConnection"];

/// Among them, the transactions, which have different names.
const TRANSACTIONS: [&str; 3] = ["Transaction", "PgConnection", "AsyncPgConnection"];

/// The methods of a type by their names, in a form that is the same for sync and async.
type Methods = BTreeMap<String, String>;

pub(super) fn backends_have_the_same_methods(repository: &Repository) -> Result<Vec<String>> {
    let mut findings = Vec::new();
    for (file, type_name) in TYPES {
        let mut reference: Option<(&str, Methods)> = None;
        for backend in BACKENDS {
            let path = repository.sources_of(backend).join(file);
            let place = repository.shown(&path);
            let source = fs::read_to_string(&path).with_context(|| format!("cannot read {place}"))?;
            let methods = methods(&source, type_name).with_context(|| format!("cannot parse {place}"))?;
            match &reference {
                None => reference = Some((backend, methods)),
                Some((model, expected)) => {
                    let drift = drift(&format!("pgmq-{model}"), expected, &methods);
                    findings.extend(drift.into_iter().map(|text| format!("{place}: {type_name} {text}")));
                }
            }
        }
    }
    Ok(findings)
}

/// Says where the methods differ from those of a model.
fn drift(model: &str, expected: &Methods, methods: &Methods) -> Vec<String> {
    let missing = expected.keys().filter(|name| !methods.contains_key(*name));
    let missing = missing.map(|name| format!("lacks {name}, which {model} has"));
    let surplus = methods.keys().filter(|name| !expected.contains_key(*name));
    let surplus = surplus.map(|name| format!("has {name}, which {model} lacks"));
    let changed = methods.iter().filter_map(|(name, method)| {
        let expected = expected.get(name).filter(|expected| *expected != method)?;
        Some(format!("has {name} as\n      {method}\n  and {model} as\n      {expected}"))
    });
    missing.chain(surplus).chain(changed).collect()
}

/// Lists the public inherent methods of a type; a macro that makes some stands for those that it makes.
fn methods(source: &str, type_name: &str) -> Result<Methods> {
    let mut methods = Methods::new();
    for item in syn::parse_file(source)?.items {
        let Item::Impl(block) = item else { continue };
        if block.trait_.is_some() || !is_named(&block.self_ty, type_name) {
            continue;
        }
        for item in block.items {
            match item {
                ImplItem::Fn(method) if matches!(method.vis, Visibility::Public(_)) => {
                    methods.insert(method.sig.ident.to_string(), unified(method.sig));
                }
                ImplItem::Macro(call) => {
                    let text = call.mac.to_token_stream().to_string().replace(' ', "").replace("async_", "");
                    methods.insert(text.clone(), text);
                }
                _ => {}
            }
        }
    }
    Ok(methods)
}

fn is_named(type_: &Type, name: &str) -> bool {
    matches!(type_, Type::Path(path) if path.path.segments.last().is_some_and(|segment| segment.ident == name))
}

/// A signature without what may differ: `async`, the driver's types, the names of generics, and whether a queue is bound to
/// a `&mut` connection.
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
    /// Whether this is the method that binds a queue to a connection.
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

    fn found(source: &str) -> Vec<String> {
        let [expected, methods] = [SYNC, source].map(|source| methods(source, "PGMQueue").unwrap());
        drift("pgmq-model", &expected, &methods)
    }

    #[test]
    fn the_back_ends_have_the_same_methods() {
        let repository = Repository::read().unwrap();
        assert_eq!(backends_have_the_same_methods(&repository).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn sync_and_async_may_differ_in_what_they_have_to() {
        assert_eq!(found(ASYNC), Vec::<String>::new());
        let methods = methods(ASYNC, "PGMQueue").unwrap();
        assert_eq!(methods["send"], "fn send(&self, queue: &str) -> Result<i64, Error>");
        assert_eq!(
            methods["with"],
            "fn with<'G0, G1: Connection>(&self, connection: &'G0 G1) -> BoundQueue<'G0>"
        );
    }

    #[test]
    fn a_list_that_has_drifted_is_found() {
        assert_eq!(
            found(&ASYNC.replace("fn pool", "fn the_pool")),
            ["lacks pool, which pgmq-model has", "has the_pool, which pgmq-model lacks"]
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
}
